"""One of Caffe's layers as a layer of layerkit's YAML."""

from __future__ import annotations

from typing import Any

from layerkit.convert import branches, parameters
from layerkit.convert.report import Report
from layerkit.convert.schema import Fields
from layerkit.errors import UnknownNameError
from layerkit.layer import Layer
from layerkit.registry import layer_class
from layerkit.spec.layer import describe
from layerkit.text import Map, Seq

NO_TYPE = "layerkit has no layer type"
"""How the sentence on an unknown type begins."""
_FOR_DATA = "it stays as it is; put a Data layer with a dataset, or an Input, in its place"
_FOR_OTHERS = (
    "it stays as it is, and you can write it in Python (type: Python), take it from a plug-in, or leave the layer out"
)


def known_class(kind: Any) -> type[Layer] | None:
    """The class of a layer type, or None where layerkit has none."""
    try:
        return layer_class(kind)
    except UnknownNameError:
        return None


def convert(layer: Fields, report: Report) -> Map:
    """The layer as a mapping whose parameters lie flat beside its name and type, defaults left out.

    What cannot be converted is added to the report, with its place, and left out; an unknown type stays.
    """
    written = str(layer.get("type", ""))
    kind = branches.rename(written, parameters.flat(layer, (), Report()))
    cls = known_class(kind)
    params = branches.adapt(layer, written, parameters.flat(layer, (written, kind) if cls else (), report), report)
    where = describe(str(layer.get("name", "")), written or "untyped")
    if cls is not None:
        params = parameters.kept(cls, params, where, report.problems)
    elif written:
        instead = _FOR_DATA if written.endswith("Data") else _FOR_OTHERS
        report.problems.add(f"{NO_TYPE} {written!r}: {instead}", where, layer.value_marks.get("type"))
    else:
        report.problems.add("needs the field 'type'", where, layer.mark)
    return _joined(layer, kind, cls, params)


def _joined(layer: Fields, kind: str, cls: type[Layer] | None, params: Map) -> Map:
    """Common fields and parameters in the order in which people write them."""
    tree = Map(mark=layer.mark)

    def put(name: str, value: Any) -> None:
        tree.put(name, value, layer.key_marks.get(name, layer.mark), layer.value_marks.get(name, layer.mark))

    for name in ("name", "bottom", "top"):
        if name in layer:
            put(name, Seq(layer[name], layer[name].mark, layer[name].marks) if name != "name" else layer[name])
        if name == "name":
            put("type", kind)
    for name, value in params.items():
        tree.put(name, value, params.key_marks.get(name), params.value_marks.get(name))
    if specs := _specs(layer, kind):
        put("param", specs)
    if "loss_weight" in layer and not (cls is not None and cls.loss and list(layer["loss_weight"]) == [1]):
        put("loss_weight", parameters.short(layer["loss_weight"]))
    if "propagate_down" in layer:
        put("propagate_down", Seq(layer["propagate_down"], layer.mark))
    for name in ("include", "exclude"):
        if name in layer:
            put(name, _rules(layer[name]))
    return tree


def _specs(layer: Fields, kind: str) -> Seq:
    """How the weights are trained, without what is so anyway; a BatchNorm's statistics are never trained."""
    specs = Seq([], layer.mark)
    for spec in layer.get("param", ()):
        kept = Map(mark=spec.mark)
        for name, value in spec.items():
            if value != {"lr_mult": 1, "decay_mult": 1, "share_mode": "STRICT"}.get(name):
                kept.put(name, value, spec.key_marks.get(name), spec.value_marks.get(name))
        specs.append(kept)
        specs.marks.append(spec.mark)
    if kind == "BatchNorm" and all("name" not in spec for spec in specs):
        return Seq()
    while specs and not specs[-1]:
        specs.pop()
        specs.marks.pop()
    return specs


def _rules(rules: Seq) -> Any:
    """`include: train` for one rule of a phase alone."""
    found = Seq([], rules.mark, [])
    for rule in rules:
        tree = Map(mark=rule.mark)
        for name, value in rule.items():
            tree.put(name, value.lower() if name == "phase" else parameters.short(value), rule.key_marks.get(name),
                     rule.value_marks.get(name))  # fmt: skip
        found.append(tree["phase"] if list(tree) == ["phase"] else tree)
        found.marks.append(rule.mark)
    return found[0] if len(found) == 1 else found
