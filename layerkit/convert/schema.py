"""What Caffe's messages may hold, and prototxt trees read as such: values of the types that their fields have.

The table is `caffe_fields.txt`. Fields that it does not know are kept, with their types guessed, for layers of other
branches have parameters of their own; who uses a message decides what becomes of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import numpy as np

from layerkit.convert.prototxt import Message, Scalar
from layerkit.errors import Mark, Problem, Problems, did_you_mean
from layerkit.text import Map, Seq

_BOUNDS = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
_TRUE, _FALSE = ("true", "True", "t", "1"), ("false", "False", "f", "0")
_OPEN = "LayerType"
"""The enumeration that every branch adds words to."""
_OTHER_BASE = re.compile(r"-?0([xX]|\d+$)")
_WHOLE = re.compile(r"-?(0[xX][0-9a-fA-F]+|\d+)")


class FieldType(NamedTuple):
    """What a field holds: a scalar type, or the name of an enumeration or message."""

    type: str
    repeated: bool
    number: int | None
    """Its number in the wire format; None for branches' fields that have none here."""
    default: str | None
    """As it is written; None where there is none of its own."""
    branch: str
    """Empty for BVLC's own."""


class Table(NamedTuple):
    """All messages and enumerations, by their names."""

    messages: dict[str, dict[str, FieldType]]
    enums: dict[str, dict[str, int]]


class Fields(Map):
    """A message: by field a value of its type, a Fields or, where it is repeated, a Seq of them."""

    def __init__(self, kind: str, mark: Mark | None, last_line: int = 0):
        super().__init__(mark=mark)
        self.kind = kind
        """The message's name; empty for one that is not in the table."""
        self.last_line = last_line
        self.unknown: set[str] = set()
        """The fields that the table does not know."""


@cache
def table() -> Table:
    """The messages and enumerations of Caffe and its branches."""
    text = resources.files("layerkit.convert").joinpath("caffe_fields.txt").read_text(encoding="utf-8")
    found = Table({}, {})
    for line in re.sub(r"\n {4}", " ", re.sub(r"(?m)^#.*\n", "", text)).splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "message":
            found.messages[rest] = message = {}
        elif kind == "enum":
            name, _, values = rest.partition(": ")
            found.enums[name] = {word: int(number) for word, number in map(str.split, values.split(";"))}
        else:
            branch = re.match(r" *@(\w+) ", line)
            for field in line[branch.end() if branch else 0 :].split(";"):
                written, _, default = field.partition(" = ")
                type_, name, *number = written.split()
                message[name] = FieldType(
                    type_.rstrip("*"), type_.endswith("*"), int(number[0]) if number else None, default or None,
                    branch[1] if branch else "",
                )  # fmt: skip
    return found


def read(message: Message, kind: str, problems: Problems) -> Fields:
    """The message as one of this kind. What is wrong with a value is added to `problems`, and the value left out."""
    known = table().messages.get(kind, {})
    if kind == "V1LayerParameter":  # branches added their messages to old layers, too
        known = {**table().messages["LayerParameter"], **known}
    fields = Fields(kind, message.mark, message.last_line)
    for field in message.fields:
        expected = known.get(field.name)
        if expected is None:
            fields.unknown.add(field.name)
        value = _value(field.value, expected.type if expected else "", problems, field.name)
        if value is None:
            continue
        place = field.value.mark
        if expected is None and field.name in fields:  # what comes twice must be a list
            old = fields[field.name]
            fields[field.name] = _added(old if isinstance(old, Seq) else Seq([old], fields.mark), value, place)
        elif expected is not None and expected.repeated:
            fields.put(field.name, _added(fields.get(field.name, Seq(mark=place)), value, place), field.mark, place)
        elif field.name in fields:
            problems.add(f"{field.name} is given twice, but is no list; leave one out", mark=field.mark)
        else:
            fields.put(field.name, value, field.mark, place)
    return fields


def unknown_fields(fields: Fields) -> Iterator[Problem]:
    """A sentence for each field that Caffe's message of this kind does not have."""
    for name in sorted(fields.unknown):
        hint = did_you_mean(name, table().messages[fields.kind])
        yield Problem(f"{fields.kind} has no field {name!r}{hint}", mark=fields.key_marks.get(name))


def _added(values: Seq, value: Any, mark: Mark) -> Seq:
    values.append(value)
    values.marks.append(mark)
    return values


def _value(value: Scalar | Message, kind: str, problems: Problems, name: str) -> Any:
    known = table()
    if isinstance(value, Message):
        if kind and kind not in known.messages:
            problems.add(f"{name} must be {_meant(kind)}, not a message in braces", mark=value.mark)
            return None
        return read(value, kind, problems)
    found = _scalar(value, kind, known)
    if found is None:
        problems.add(f"{name} must be {_meant(kind)}, not {value.text!r}{_hint(value, kind, known)}", mark=value.mark)
    return found


def _scalar(value: Scalar, kind: str, known: Table) -> Any:
    """The value as one of this kind, or None where it is none."""
    text = value.text
    if not kind:
        return _guess(value)
    if kind in ("string", "bytes"):
        return text if value.kind == "string" else None
    if value.kind == "string":
        return None
    if kind == "bool":
        return True if text in _TRUE else False if text in _FALSE else None
    if kind in ("float", "double"):
        return _number(text, kind) if value.kind == "number" and not _OTHER_BASE.match(text) else None
    if kind in _BOUNDS:
        whole = _whole(text)
        return whole if whole is not None and _BOUNDS[kind][0] <= whole <= _BOUNDS[kind][1] else None
    if kind in known.enums:
        names: dict[int | None, str] = {number: word for word, number in known.enums[kind].items()}
        found = text if text in known.enums[kind] else names.get(_whole(text))
        return text if found is None and kind == _OPEN and value.kind == "word" else found
    return None


def _guess(value: Scalar) -> Any:
    """A value of a field that nobody knows."""
    if value.kind == "number":
        whole = _whole(value.text)
        return _number(value.text, "double") if whole is None else whole
    if value.kind == "word" and value.text in (*_TRUE, *_FALSE):
        return value.text in _TRUE
    return value.text


def _whole(text: str) -> int | None:
    if not _WHOLE.fullmatch(text):
        return None
    digits = text.lstrip("-")
    base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" else 10
    try:
        return int(text, base)
    except ValueError:  # 08
        return None


def _number(text: str, kind: str) -> float | int:
    """The number; of a float of 4 bytes the shortest that means the same, and a whole one as such."""
    number = float(text.rstrip("fF")) if text[-1:] in "fF" and not text.lower().endswith("inf") else float(text)
    if kind == "float":
        with np.errstate(over="ignore"):
            number = float(str(np.float32(number)))
    return int(number) if number.is_integer() and abs(number) < 1e6 else number


def _meant(kind: str) -> str:
    words = {"string": "a string in quotes", "bool": "true or false", "float": "a number", "double": "a number",
             "int32": "a whole number", "int64": "a whole number", "uint32": "a whole number from 0 on",
             "uint64": "a whole number from 0 on"}  # fmt: skip
    if kind in table().enums:
        return f"one of {', '.join(table().enums[kind])}"
    return words.get(kind, "a message in braces")


def _hint(value: Scalar, kind: str, known: Table) -> str:
    return did_you_mean(value.text, known.enums[kind]) if kind in known.enums else ""


__all__ = ["FieldType", "Fields", "Table", "read", "table", "unknown_fields"]
