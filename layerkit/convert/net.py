"""Caffe's nets as nets of layerkit: the layers in their order, each with the comments that stand before it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from layerkit.convert import layers, names, old
from layerkit.convert.layers import known_class
from layerkit.convert.prototxt import Text
from layerkit.convert.report import Report
from layerkit.convert.schema import Fields, read, unknown_fields
from layerkit.errors import ConfigError, Problem
from layerkit.text import Map

_PAIR = ("train", "test")
_ALIKE = ("name", "type", "bottom", "top", "param", "loss_weight", "propagate_down", "exclude")


@dataclass
class Net:
    """A converted net."""

    name: str
    layers: list[Map]
    force_backward: bool = False
    before: dict[int, list[str]] = field(default_factory=dict)
    """The comments in front of each layer, by its index; behind the last one at the number of layers."""
    heading: list[str] = field(default_factory=list)
    """The comments in front of everything."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Layers that have another name here -> that name."""


def convert(text: Text, report: Report) -> Net:
    """The net that a prototxt file holds. What cannot be converted is added to the report and left out.

    Raises ConfigError where it has no layers.
    """
    net = convert_fields(read(text.message, "NetParameter", report.problems), report)
    place_comments(net, dict(text.comments))
    finish(net)
    return net


def convert_fields(fields: Fields, report: Report) -> Net:
    """The net of a NetParameter, all bottoms, tops and rules still said. Raises ConfigError where it has no layers."""
    report.problems.found += unknown_fields(fields)
    for name in ("state", "debug_info"):
        if fields.get(name):
            report.notes.add(f"{name} is left out: a run says it in its solver", mark=fields.key_marks.get(name))
    found = [layers.convert(layer, report) for layer in old.layers(fields, report.problems)]
    if not found:
        raise ConfigError([*report.problems.found, Problem("the net has no layers", mark=fields.mark)])
    net = Net(str(fields.get("name", "")), found, bool(fields.get("force_backward", False)))
    net.renamed = names.clean(found, report)
    return net


def finish(net: Net) -> None:
    """Make it short: one layer of two that stand for each other in training and test; no bottoms and tops of course."""
    _merge_phases(net)
    for layer, current in zip(net.layers, list(_nearest_tops(net.layers)), strict=True):
        cls = known_class(layer.get("type"))
        if list(layer.get("bottom", ())) == [current] and (cls is None or cls.bottoms[0] > 0):
            del layer["bottom"]
        if list(layer.get("top", ())) == [layer.get("name")] and (cls is None or cls.tops != (0, 0)):
            del layer["top"]
        for key in ("bottom", "top"):
            if len(layer.get(key, ())) == 1:
                layer[key] = layer[key][0]


def place_comments(net: Net, comments: dict[int, str]) -> None:
    """Give each comment to the layer that it stands before or in; the net's `comments` are used up by this."""
    first = min((layer.mark.line for layer in net.layers if layer.mark), default=0)
    above = [line for line in sorted(comments) if line < first and _apart(line, comments, first)]
    net.heading = [comments.pop(line) for line in above]
    for i, layer in enumerate(net.layers):
        until = _last_line(layer)
        net.before[i] = [comments.pop(line) for line in sorted(comments) if line <= until]
    net.before[len(net.layers)] = [comments[line] for line in sorted(comments)]


def _apart(line: int, comments: Collection[int], first: int) -> bool:
    """Whether a comment is none of those that stand directly above the first layer."""
    return any(between not in comments for between in range(line + 1, first))


def _last_line(layer: Map) -> int:
    """The last line of what a layer was made of."""
    marks = [layer.mark, *layer.key_marks.values(), *layer.value_marks.values()]
    return max((mark.line for mark in marks if mark is not None), default=0)


def _nearest_tops(trees: list[Map]) -> Iterator[str | None]:
    """For each layer the blob that is its bottom where it says none; None where a rule makes that uncertain."""
    current: str | None = None
    for layer in trees:
        yield current
        cls = known_class(layer.get("type"))
        if layer.get("top") and not (cls is not None and (cls.loss or cls.metric)):
            current = None if "include" in layer or "exclude" in layer else layer["top"][0]


def _merge_phases(net: Net) -> None:
    """Make one layer of two that differ in phase and parameters alone, as readers of training and test samples do."""
    i = 0
    while i < len(net.layers):
        first = net.layers[i]
        for j in range(i + 1, len(net.layers) if first.get("include") in _PAIR else 0):
            second = net.layers[j]
            if _stand_for_each_other(first, second) and not _made_between(net.layers[i + 1 : j], first):
                net.layers[i] = _merged(first, second)
                _drop(net, j)
                break
        i += 1


def _stand_for_each_other(first: Map, second: Map) -> bool:
    same = all(first.get(key) == second.get(key) for key in _ALIKE)
    return same and second.get("include") in _PAIR and first["include"] != second["include"]


def _made_between(between: list[Map], layer: Map) -> bool:
    """Whether a layer in between reads or makes one of the layer's tops, so that the order counts."""
    tops = set(layer.get("top", ()))
    return any(tops & {*each.get("bottom", ()), *each.get("top", ())} for each in between)


def _merged(first: Map, second: Map) -> Map:
    train, test = (first, second) if first["include"] == "train" else (second, first)
    merged = Map(mark=first.mark)
    for key in dict.fromkeys([*first, *second]):
        if key == "include":
            continue
        source = first if key in first else second
        value: Any = source[key]
        if train.get(key) != test.get(key):
            value = Map(mark=first.mark)
            for phase, layer in zip(_PAIR, (train, test), strict=True):
                if key in layer:
                    value.put(phase, layer[key], layer.key_marks.get(key), layer.value_marks.get(key))
        merged.put(key, value, source.key_marks.get(key), source.value_marks.get(key))
    return merged


def _drop(net: Net, index: int) -> None:
    """Take a layer away; its comments go to what follows."""
    del net.layers[index]
    comments = net.before
    net.before = {i: texts for i, texts in comments.items() if i < index}
    net.before[index] = [*comments.get(index, ()), *comments.get(index + 1, ())]
    net.before |= {i - 1: texts for i, texts in comments.items() if i > index + 1}
