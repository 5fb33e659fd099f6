"""The net inside a caffemodel, for models of which the prototxt is lost.

Caffe saves all parameters beside the weights, by the numbers of their fields; and as branches of Caffe use one number
for different things, it must be known whose Caffe wrote the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from layerkit.convert.schema import Fields, FieldType, table
from layerkit.errors import Problems, SnapshotError, UnknownNameError
from layerkit.text import Seq
from layerkit.wire import Message, WireError

BVLC = "bvlc"
_MAX_DEPTH = 20
_WEIGHTS = "BlobProto"
_SPLIT = "Split"


def branches() -> list[str]:
    """The branches whose numbers are known; `bvlc` is Caffe's own."""
    fields = [field for message in table().messages.values() for field in message.values()]
    return [BVLC, *sorted({field.branch for field in fields if field.branch and field.number is not None})]


def read_net(content: bytes, path: str | os.PathLike[str], branch: str, problems: Problems) -> Fields:
    """The NetParameter of a caffemodel without its weights and without the Split layers that Caffe put in.

    Fields that neither BVLC's Caffe nor the branch has are added to `problems`. Raises UnknownNameError for another
    branch, SnapshotError for a file that is no caffemodel.
    """
    if branch not in branches():
        raise UnknownNameError("branch of Caffe", branch, branches())
    try:
        net = _Reader(branch, problems).read(Message(content), "NetParameter", "the net", _MAX_DEPTH)
    except WireError as error:
        raise SnapshotError(f"{os.fspath(path)!r} is no caffemodel, or is damaged: {error}") from None
    for name in ("layer", "layers"):
        if name in net:
            net[name] = Seq(_without_splits(net[name]))
    return net


class _Reader:
    def __init__(self, branch: str, problems: Problems):
        self.branch = branch
        self.problems = problems

    def read(self, message: Message, kind: str, where: str, depth: int) -> Fields:
        """The message as one of this kind."""
        if depth == 0:
            raise WireError("its messages are nested too deep")
        fields, numbers = Fields(kind, None), set[int]()
        for name, field in self.known(kind).items():
            if field.number is None or field.number not in message:
                continue
            numbers.add(field.number)
            if field.type != _WEIGHTS:
                values = self.values(message, field, field.number, where, depth)
                fields[name] = Seq(values) if field.repeated else values[-1]
        for number in sorted(message.numbers - numbers):
            self.problems.add(
                f"{kind} has no field of number {number} in this Caffe ({self.branch}); it is left out", where
            )
        return fields

    def known(self, kind: str) -> dict[str, FieldType]:
        """The fields of a kind of message, those of the branch in the place of others that have their numbers."""
        found = table().messages[kind]
        own = {name: field for name, field in found.items() if field.branch == self.branch}
        taken = {field.number for field in own.values()}
        return {name: field for name, field in found.items() if not field.branch and field.number not in taken} | own

    def values(self, message: Message, field: FieldType, number: int, where: str, depth: int) -> list[Any]:
        """All values of a field; there is at least one."""
        known = table()
        if field.type in known.messages:
            inside = list(message.messages(number))
            return [self.read(each, field.type, _place(each, field, where), depth - 1) for each in inside]
        if field.type in known.enums:
            words = {value: word for word, value in known.enums[field.type].items()}
            return [words.get(value, str(value)) for value in message.integers(number)]
        if field.type == "string":
            return list(message.texts(number))
        if field.type in ("float", "double"):
            numbers = message.floats(number) if field.type == "float" else message.doubles(number)
            if not numbers.size:
                raise WireError(f"field {number} of a message in it lists no numbers")
            return [_shortest(value) for value in numbers]
        return [bool(value) if field.type == "bool" else value for value in message.integers(number)]


def _place(layer: Message, field: FieldType, where: str) -> str:
    """How messages name what is read: a layer by its name."""
    if field.type not in ("LayerParameter", "V1LayerParameter"):
        return where
    return f"layer {layer.text(table().messages[field.type]['name'].number or 1)!r}"


def _shortest(value: Any) -> float | int:
    number = float(str(value)) if isinstance(value, np.floating) else float(value)
    return int(number) if number.is_integer() and abs(number) < 1e6 else number


def _without_splits(layers: Iterable[Fields]) -> list[Fields]:
    """Caffe copies a blob that several layers read; the copies have names of their own."""
    kept, original = [], {}
    for layer in layers:
        if layer.get("type") in (_SPLIT, _SPLIT.upper()) and layer.get("bottom"):
            original.update(dict.fromkeys(layer.get("top", ()), layer["bottom"][0]))
            continue
        if "bottom" in layer:
            layer["bottom"] = Seq([original.get(name, name) for name in layer["bottom"]])
        kept.append(layer)
    return kept
