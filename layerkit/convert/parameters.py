"""A layer's parameters: Caffe's messages made flat, as layerkit's YAML has them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import ValidationError

from layerkit.convert.report import Report
from layerkit.convert.schema import Fields
from layerkit.errors import Problems, did_you_mean
from layerkit.fillers import Filler
from layerkit.layer import Layer, LayerParams
from layerkit.spec.layer import describe
from layerkit.spec.sentences import Source, validate
from layerkit.text import Map, Seq

_MESSAGES = {
    "Convolution": "convolution", "Deconvolution": "convolution", "DepthwiseConvolution": "convolution",
    "Im2col": "convolution", "Normalize": "norm", "RNN": "recurrent", "LSTM": "recurrent", "GRU": "recurrent",
    "Data": "data transform", "ImageData": "image_data transform", "WindowData": "window_data transform",
    "MemoryData": "memory_data transform", "SoftmaxWithLoss": "softmax loss", "SigmoidCrossEntropyLoss": "loss",
    "InfogainLoss": "infogain_loss loss softmax", "MultiBoxLoss": "multibox_loss loss", "BN": "bn batch_norm",
    "DenseImageData": "dense_image_data transform", "AnnotatedData": "data annotated_data transform",
}  # fmt: skip
"""The messages that a type reads, without `_param`, where they are not called like the type."""

_WINDOW = {"pad": [0], "stride": [1], "dilation": [1]}
"""What windows have where nothing is said."""

COMMON = (
    "name", "type", "bottom", "top", "phase", "loss_weight", "param", "blobs", "propagate_down", "include", "exclude",
)  # fmt: skip
"""The fields of a layer that are no type's own parameters."""

_MEANINGLESS = {
    "engine", "conv_algos_override", "cudnn_convolution_algo_seeker", "cudnn_math_override", "forward_type",
    "backward_type", "forward_math", "backward_math", "debug", "device", "buffer", "prefetch", "threads",
    "parser_threads", "cache", "share_in_parallel", "save_output_param", "visualize", "visualize_threshold",
    "save_file", "debug_info", "use_gpu_transform", "local_gw_ratio",
}  # fmt: skip
"""How and where Caffe computes, and what it prints: left out without a word."""


def flat(layer: Fields, kinds: Collection[str], report: Report) -> Map:
    """The parameters of all of a layer's messages in one mapping, fillers and shapes in their short forms.

    Only the messages that a layer of these types reads count, as in Caffe, and others are noted; with no types all do.
    """
    params = Map(mark=layer.mark)
    for key, value in layer.items():
        if key in COMMON or key in _MEANINGLESS:
            continue
        if not key.endswith("_param") or not isinstance(value, Map):
            _put(params, key, value, layer)  # V0's, which were flat already, or a branch's
        elif kinds and not any(reads(kind, key) for kind in kinds):
            kind = str(layer.get("type", ""))
            message = f"{key} has no meaning for {kind} and is left out, as Caffe passes over it"
            report.notes.add(message, describe(str(layer.get("name", "")), kind), layer.key_marks.get(key))
        else:
            for name, inner in value.items():
                if name not in _MEANINGLESS:
                    _put(params, name, inner, value)
    return params


def kept(cls: type[Layer], params: Map, where: str, problems: Problems) -> Map:
    """The parameters that the type has and that are not its defaults anyway; what it lacks is added to `problems`."""
    fields = cls.Params.model_fields
    for name in [name for name in params if name not in fields]:
        hint = did_you_mean(name, fields)
        problems.add(f"layerkit's {cls.__name__} has no parameter {name!r}{hint}; it is left out", where,
                     params.key_marks.get(name))  # fmt: skip
    params = params.without(*(name for name in params if name not in fields))
    read = validate(cls.Params, params, Source(params, where), problems)
    if read is None:
        return params
    shorter = params.without(*(name for name in params if _is_default(read, name)))
    return shorter if _can_be_read(cls.Params, shorter) else params


def _is_default(read: LayerParams, name: str) -> bool:
    field, value = type(read).model_fields[name], getattr(read, name)
    usual = field.get_default(call_default_factory=True)
    return not field.is_required() and bool(value == usual or (usual == [] and value == _WINDOW.get(name)))


def _can_be_read(model: type[LayerParams], params: Map) -> bool:
    try:
        model.model_validate(dict(params))
    except ValidationError:  # there is a field that must be said, whatever it is
        return False
    return True


def reads(kind: str, key: str) -> bool:
    """Whether a layer of this type reads this message of a LayerParameter."""
    if kind in _MESSAGES:
        return key.removesuffix("_param") in _MESSAGES[kind].split()
    return key.removesuffix("_param").replace("_", "") == kind.lower()


def _put(params: Map, name: str, value: Any, around: Map) -> None:
    params.put(name, short(value), around.key_marks.get(name), around.value_marks.get(name))


def short(value: Any) -> Any:
    """A value as YAML has it: a filler by its type where that says all, a shape as a list, one of a list alone."""
    if isinstance(value, Fields) and value.kind == "BlobShape":
        return Seq(value.get("dim", ()), value.mark)
    if isinstance(value, Fields) and value.kind == "FillerParameter":
        return _filler(value)
    if isinstance(value, Map):
        inner = Map(mark=value.mark)
        for name, item in value.items():
            if name not in _MEANINGLESS:
                _put(inner, name, item, value)
        return inner
    if isinstance(value, Seq):
        items = Seq([short(item) for item in value], value.mark, value.marks)
        return items[0] if len(items) == 1 else items
    return value


def _filler(value: Fields) -> Any:
    filler = Map({"type": "constant"}, value.mark)
    for name, item in value.items():
        filler.put(name, item, value.key_marks.get(name), value.value_marks.get(name))
    try:
        read = Filler.model_validate(dict(filler))
    except ValidationError:
        return filler  # what is wrong with it is said of the layer
    needless = [name for name in filler if name != "type" and getattr(read, name) == getattr(Filler(), name)]
    filler = filler.without(*needless)
    return filler["type"] if len(filler) == 1 else filler
