"""Writes prototxt: messages as lists of fields, laid out as Caffe's own files are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Word(str):
    """An enumeration's name, which stands without quotes."""


COMMENT = "#"
"""In the place of a field's name: the value is a line of comment, as it stands."""

Message = list[tuple[str, Any]]
"""Fields in order, each a Message, Word, string, number or boolean; a repeated field stands several times."""


def dump(message: Message) -> str:
    """The text of a message."""
    return "".join(f"{line}\n" for line in _lines(message, ""))


def _lines(message: Message, indent: str) -> Iterator[str]:
    for name, value in message:
        if name == COMMENT:
            yield f"{indent}{value}"
        elif isinstance(value, list):
            inside = list(_lines(value, indent + "  "))
            if not inside:
                yield f"{indent}{name} {{ }}"
                continue
            yield f"{indent}{name} {{"
            yield from inside
            yield f"{indent}}}"
        else:
            yield f"{indent}{name}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Word):
        return str(value)
    if isinstance(value, str):
        return f'"{"".join(_ESCAPES.get(c, c if c.isprintable() else _octal(c)) for c in value)}"'
    if isinstance(value, float):
        short = float(str(np.float32(value)))
        return str(int(short)) if short.is_integer() and abs(short) < 1e6 else repr(short)
    return str(value)


def _octal(character: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in character.encode())
