"""A layer of layerkit as Caffe's LayerParameter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from layerkit.blob import Shape
from layerkit.convert.parameters import reads
from layerkit.convert.proto_text import Message, Word
from layerkit.convert.report import Report
from layerkit.convert.schema import FieldType, table
from layerkit.fillers import Filler
from layerkit.spec import LayerSpec
from layerkit.spec.layer import Rule

_BVLC = {
    "AbsVal", "Accuracy", "ArgMax", "BNLL", "BatchNorm", "BatchReindex", "Bias", "Clip", "Concat", "ContrastiveLoss",
    "Convolution", "Crop", "Data", "Deconvolution", "Dropout", "DummyData", "ELU", "Eltwise", "Embed",
    "EuclideanLoss", "Exp", "Filter", "Flatten", "HDF5Data", "HDF5Output", "HingeLoss", "Im2col", "ImageData",
    "InfogainLoss", "InnerProduct", "Input", "LRN", "LSTM", "LSTMUnit", "Log", "MVN", "MemoryData",
    "MultinomialLogisticLoss", "PReLU", "Parameter", "Pooling", "Power", "Python", "RNN", "ReLU", "Reduction",
    "Reshape", "SPP", "Scale", "Sigmoid", "SigmoidCrossEntropyLoss", "Silence", "Slice", "Softmax", "SoftmaxWithLoss",
    "Split", "Swish", "TanH", "Threshold", "Tile", "WindowData",
}  # fmt: skip
"""The types of BVLC's Caffe."""
_BRANCHES = {
    "DetectionOutput": "SSD", "MultiBoxLoss": "SSD", "Normalize": "SSD", "Permute": "SSD", "PriorBox": "SSD",
    "Proposal": "Faster R-CNN", "ROIPooling": "Fast R-CNN", "SmoothL1Loss": "Fast R-CNN", "Interp": "PSPNet",
    "Upsample": "SegNet", "Unpooling": "Noh et al.", "ShuffleChannel": "ShuffleNet", "Axpy": "SENet",
    "PSROIPooling": "R-FCN", "Reverse": "CTPN",
}  # fmt: skip
"""Types that a branch of Caffe has -> whose."""
_MEANINGLESS = {"workers", "worker_type"}
"""How layerkit computes, which is left out without a word."""


def convert(spec: LayerSpec, bottoms: Sequence[Shape], report: Report) -> list[Message]:
    """The layer as one LayerParameter, or as two that do the same together.

    `bottoms` are the shapes of its bottoms. What Caffe does not have is added to the report; an unknown type stays, an
    unknown parameter is left out.
    """
    kind, values = spec.type, {name: getattr(spec.params, name) for name in sorted(_said(spec), key=_order(spec))}
    if kind == "BatchNorm" and values.get("scale_bias"):
        return list(_with_scale(spec, values, report))
    if kind == "DepthwiseConvolution":  # the same thing in the words of every Caffe
        channels = bottoms[0][int(values.get("axis", 1))]
        kind, values = "Convolution", {**values, "group": values.get("group") or channels}
    if kind == "ReLU6":
        kind, values = "Clip", {"min": 0.0, "max": 6.0}
    if kind in _BRANCHES:
        report.notes.add(f"only the Caffe of {_BRANCHES[kind]} has the type {kind}")
    elif kind not in _BVLC:
        report.problems.found.append(spec.problem("no Caffe has a layer of this type", "type"))
    if kind == "Data":
        values = _database(values)
    return [_layer(spec, kind, values, report)]


def _database(values: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a reader of an LMDB without what Caffe's Data layer does anyway."""
    dataset, usual = values.get("dataset"), {"shuffle": False, "channel_order": "BGR"}
    if getattr(dataset, "type", dataset) == "lmdb":
        values = {name: value for name, value in values.items() if name != "dataset"}
    return {name: value for name, value in values.items() if value != usual.get(name)} | {"backend": "LMDB"}


def _said(spec: LayerSpec) -> set[str]:
    """The parameters that are said and not left to their defaults."""
    fields, params = type(spec.params).model_fields, spec.params
    usual = {name: fields[name].get_default(call_default_factory=True) for name in params.model_fields_set}
    said = {name for name in usual if fields[name].is_required() or getattr(params, name) != usual[name]}
    return said - _MEANINGLESS


def _order(spec: LayerSpec) -> Any:
    return list(type(spec.params).model_fields).index


def _with_scale(spec: LayerSpec, values: dict[str, Any], report: Report) -> Iterator[Message]:
    """BVLC's BatchNorm has no scale and bias: a Scale behind it has."""
    filler, bias_filler = values.pop("scale_filler", None), values.pop("bias_filler", None)
    del values["scale_bias"]
    yield _layer(spec.replace(param=[]), "BatchNorm", values, report)
    top = spec.top or []
    scale = {"bias_term": True, "filler": filler, "bias_filler": bias_filler}
    after = spec.replace(
        name=scale_name(spec.name), bottom=top, loss_weight=None, propagate_down=None, param=spec.param[3:]
    )
    yield _layer(after, "Scale", {name: value for name, value in scale.items() if value is not None}, report)


def scale_name(name: str) -> str:
    """The name of the Scale that follows a BatchNorm of this name."""
    return f"{name}_scale"


def _layer(spec: LayerSpec, kind: str, values: dict[str, Any], report: Report) -> Message:
    layer: Message = [("name", spec.name), ("type", kind)]
    layer += [("bottom", name) for name in spec.bottom or []]
    layer += [("top", name) for name in spec.top or []]
    layer += [("loss_weight", weight) for weight in spec.loss_weight or []]
    layer += [("param", _model(param, "ParamSpec")) for param in spec.param]
    layer += [("propagate_down", value) for value in spec.propagate_down or []]
    for name, rules in (("include", spec.include), ("exclude", spec.exclude)):
        layer += [(name, _rule(rule)) for rule in rules if rule.phase != "predict"]
    return layer + _parameters(spec, kind, values, report)


def _parameters(spec: LayerSpec, kind: str, values: dict[str, Any], report: Report) -> Message:
    known = table().messages
    fields = known["LayerParameter"]
    homes = sorted((name for name in fields if name.endswith("_param") and reads(kind, name)), key=_deprecated_last)
    messages: dict[str, Message] = {}
    for name, value in values.items():
        home = next((home for home in homes if _has(kind, known[fields[home].type], name)), None)
        if home is None:
            report.problems.found.append(spec.problem(f"Caffe's {kind} has no {name}; it is left out", name))
            continue
        messages.setdefault(home, []).extend((name, item) for item in _values(value, known[fields[home].type][name]))
    return list(messages.items())


def _has(kind: str, message: Mapping[str, FieldType], name: str) -> bool:
    """Whether the type's message has a field, in BVLC's Caffe if the type is one of BVLC's."""
    return name in message and (not message[name].branch or kind in _BRANCHES)


def _deprecated_last(home: str) -> bool:
    """Scale, mirroring and the like were once parameters of each data layer; now they are in transform_param."""
    return home != "transform_param"


def _values(value: Any, field: FieldType) -> Sequence[Any]:
    """A parameter's value as the field's one value or several."""
    if field.type == "BlobShape":
        shapes = value if value and isinstance(value[0], list) else [value]
        return [[("dim", size) for size in shape] for shape in shapes]
    return [_value(item, field) for item in (value if isinstance(value, list) else [value])]


def _value(value: Any, field: FieldType) -> Any:
    if isinstance(value, BaseModel):
        return _model(value, field.type)
    if field.type in table().enums:
        return Word(value)
    return float(value) if field.type == "float" else value


def _model(model: BaseModel, kind: str) -> Message:
    """The fields of a model that are said."""
    known = table().messages[kind]
    names = [name for name in type(model).model_fields if name in model.model_fields_set]
    if isinstance(model, Filler) and "type" not in names:
        names = ["type", *names]
    return [(name, item) for name in names for item in _values(getattr(model, name), known[name])]


def _rule(rule: Rule) -> Message:
    fields: Message = [("phase", Word(rule.phase.upper()))] if rule.phase else []
    fields += [(name, level) for name in ("min_level", "max_level") if (level := getattr(rule, name)) is not None]
    return fields + [(name, stage) for name in ("stage", "not_stage") for stage in getattr(rule, name)]
