"""Protobuf's wire format as bytes: what Caffe's models, means and datums are written in. It knows no message's meaning.

A message is a row of fields, each a tag (field number and kind, as a varint) and a value of one of four kinds: a varint
(7 bits a byte, the lowest first), 8 bytes, 4 bytes, or a length and as many bytes (text, a message, packed numbers).
Fields may stand in any order; of a field that is no list the last one counts. Values are little-endian.

Whatever is wrong with the bytes raises WireError, whose message goes on from "FILE is damaged: "; what is read
takes no more memory than a few times the bytes, or some tens of megabytes.

Source: the encoding's description in protobuf's documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerkit.words import counted

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""The kinds of values. 3 and 4 are groups, which protobuf gave up before Caffe was written."""

MAX_FIELDS = 100_000
"""Fields in one message, unpacked floats that follow each other counted once, and numbers in one packed list."""

_NAMES = {VARINT: "a varint", FIXED64: "an 8-byte value", BYTES: "a run of bytes", FIXED32: "a 4-byte value"}
_RUN = 1 << 16

Data = bytes | memoryview
Value = int | memoryview


class WireError(ValueError):
    """Bytes that are no message. Callers turn it into the error of what they read."""


class Message:
    """The fields of a message, by number; what is in a field's bytes is looked at when it is asked for.

    Every method gives a default for a field that is not there, and raises WireError for one of another kind.
    """

    def __init__(self, data: Data):
        self._fields: dict[int, list[tuple[int, Value]]] = {}
        for count, (number, kind, value) in enumerate(_fields(memoryview(data))):
            if count == MAX_FIELDS:
                raise WireError(f"a message in it has more than {MAX_FIELDS:,} fields")
            self._fields.setdefault(number, []).append((kind, value))

    @property
    def numbers(self) -> set[int]:
        """The numbers of the fields that are there."""
        return set(self._fields)

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def integer(self, number: int, default: int = 0) -> int:
        """A signed integer or enumeration."""
        return self.integers(number)[-1] if number in self._fields else default

    def flag(self, number: int, default: bool = False) -> bool:
        """A boolean."""
        return bool(self.integer(number, default))

    def text(self, number: int, default: str = "") -> str:
        """A text."""
        return self.texts(number)[-1] if number in self._fields else default

    def data(self, number: int, default: Data = b"") -> Data:
        """Bytes, not copied."""
        return self._all(number, BYTES)[-1] if number in self._fields else default

    def integers(self, number: int) -> list[int]:
        """A list of signed integers, packed or not."""
        found: list[int] = []
        for kind, value in self._fields.get(number, ()):
            if isinstance(value, int):
                found.append(_signed(value))
            elif kind == BYTES:
                found += _packed(number, value)
            else:
                raise _wrong(number, kind, "whole numbers")
            if len(found) > MAX_FIELDS:
                raise WireError(f"field {number} of a message in it lists more than {MAX_FIELDS:,} numbers")
        if not found and number in self._fields:
            raise WireError(f"field {number} of a message in it lists no numbers")
        return found

    def texts(self, number: int) -> list[str]:
        """A list of texts."""
        try:
            return [str(value, "utf-8") for value in self._all(number, BYTES)]
        except UnicodeDecodeError:
            raise WireError(f"field {number} of a message in it is no UTF-8 text") from None

    def floats(self, number: int) -> NDArray[np.float32]:
        """A list of 4-byte floats, packed or not, as one array of its own."""
        return self._array(number, FIXED32, np.dtype("<f4"))

    def doubles(self, number: int) -> NDArray[np.float64]:
        """A list of 8-byte floats, packed or not, as one array of its own."""
        return self._array(number, FIXED64, np.dtype("<f8"))

    def messages(self, number: int) -> Iterator[Message]:
        """A list of messages, read one by one as they are asked for."""
        return map(Message, self._all(number, BYTES))

    def _all(self, number: int, wanted: int) -> list[memoryview]:
        found = []
        for kind, value in self._fields.get(number, ()):
            if kind != wanted or isinstance(value, int):
                raise _wrong(number, kind, _NAMES[wanted])
            found.append(value)
        return found

    def _array(self, number: int, single: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        parts = []
        for kind, value in self._fields.get(number, ()):
            if kind not in (single, BYTES) or isinstance(value, int):
                raise _wrong(number, kind, f"{dtype.itemsize}-byte floats")
            if len(value) % dtype.itemsize:
                raise WireError(f"field {number} of a message in it ends within a number")
            parts.append(np.frombuffer(value, dtype))
        native = dtype.newbyteorder("=")
        return np.concatenate(parts, dtype=native) if parts else np.empty(0, native)


def varint(number: int, value: int) -> bytes:
    """A field that holds a signed integer of 64 bits, a boolean or an enumeration."""
    return _varint(number << 3 | VARINT) + _varint(value % (1 << 64))


def data(number: int, value: Data | str) -> bytes:
    """A field that holds bytes, a text or a message."""
    held = value.encode() if isinstance(value, str) else value
    return b"".join((_varint(number << 3 | BYTES), _varint(len(held)), held))


def integers(number: int, values: Iterable[int]) -> bytes:
    """A field that holds packed integers; no field for none."""
    packed = b"".join(_varint(value % (1 << 64)) for value in values)
    return data(number, packed) if packed else b""


def floats(number: int, values: NDArray[Any]) -> bytes:
    """A field that holds packed floats of 4 bytes, in C order; no field for none."""
    return data(number, np.ascontiguousarray(values, "<f4").tobytes()) if values.size else b""


def _fields(view: memoryview) -> Iterator[tuple[int, int, Value]]:
    """Number, kind and value of each field; neighbouring fixed-size values of one number come as one."""
    at, end = 0, len(view)
    while at < end:
        start = at
        tag, at = _read_varint(view, at)
        number, kind = tag >> 3, tag & 7
        if not 0 < number < 1 << 29 or kind not in _NAMES:
            raise WireError(f"at byte {start} of a message in it there is no field (its tag is {tag})")
        if kind == VARINT:
            value, at = _read_varint(view, at)
            yield number, kind, value
            continue
        size = {FIXED32: 4, FIXED64: 8}.get(kind)
        if size is None:
            size, at = _read_varint(view, at)
        if size > end - at:
            raise WireError(f"it ends within field {number} of a message, which has {counted(size, 'byte')}")
        held = view[at : at + size]
        at += size
        if kind != BYTES:
            held, at = _run(view, start, at, held)
        yield number, kind, held


def _run(view: memoryview, start: int, at: int, first: memoryview) -> tuple[memoryview, int]:
    """The values of all fields from `start` on that have the same tag as the first, one after the other, and their end.

    Old models hold each float in a field of its own, and there are millions: they are found by comparing columns.
    """
    stride, tag = at - start, at - start - len(first)
    parts = [first]
    while rows := min((len(view) - at) // stride, _RUN):
        table = np.frombuffer(view[at : at + rows * stride], np.uint8).reshape(rows, stride)
        same = (table[:, :tag] == np.frombuffer(view[start : start + tag], np.uint8)).all(axis=1)
        alike = rows if same.all() else int(same.argmin())
        if alike:
            parts.append(memoryview(table[:alike, tag:].tobytes()))
        at += alike * stride
        if alike < _RUN:
            break
    return (first if len(parts) == 1 else memoryview(b"".join(parts))), at


def _read_varint(view: memoryview, at: int) -> tuple[int, int]:
    """An unsigned varint and where it ends."""
    value = shift = 0
    for byte in view[at : at + 10]:
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value % (1 << 64), at
        shift += 7
    raise WireError("it ends within a number" if at == len(view) else "a number in it is longer than 10 bytes")


def _packed(number: int, view: memoryview) -> list[int]:
    found, at = [], 0
    while at < len(view):
        value, at = _read_varint(view, at)
        found.append(_signed(value))
        if len(found) > MAX_FIELDS:
            raise WireError(f"field {number} of a message in it lists more than {MAX_FIELDS:,} numbers")
    return found


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _wrong(number: int, kind: int, wanted: str) -> WireError:
    return WireError(f"field {number} of a message in it holds {_NAMES[kind]}, but should hold {wanted}")
