"""Datum: one sample of Caffe's databases, an image with its label, as protobuf bytes."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from layerkit import wire
from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import DataError
from layerkit.wire import WireError
from layerkit.words import counted

_CHANNELS, _HEIGHT, _WIDTH, _DATA, _LABEL, _FLOAT_DATA, _ENCODED = range(1, 8)


class Datum(NamedTuple):
    """A sample: its pixels, or the image file that holds them, and its label."""

    pixels: Array | None
    """(C, H, W), uint8 or float32, the channels of colour images blue, green, red; None where they are encoded."""
    encoded: memoryview | None
    """An image file as it is (JPEG, PNG), to be decoded; None where there are pixels."""
    label: int


def parse(data: bytes | memoryview, where: str) -> Datum:
    """Read a Datum; `where` names it in messages. Raises DataError for bytes that are none, or hold no whole image."""
    try:
        message = wire.Message(data)
        label = message.integer(_LABEL)
        if message.flag(_ENCODED):
            return Datum(None, _image_file(message, where), label)
        shape = (message.integer(_CHANNELS), message.integer(_HEIGHT), message.integer(_WIDTH))
        held = message.data(_DATA)
        values: Array = np.frombuffer(held, np.uint8) if len(held) else message.floats(_FLOAT_DATA)
    except WireError as error:
        raise DataError(f"{where} is no Datum, or is damaged: {error}") from None
    if min(shape) <= 0 or shape[0] * shape[1] * shape[2] != values.size:
        raise DataError(
            f"{where} is damaged: it says that it is {shape_text(shape)}, but holds {counted(values.size, 'value')}"
        )
    return Datum(values.reshape(shape), None, label)


class Alike:
    """Reads Datums of bytes of one shape, (C, H, W), with their fields in order, as Caffe writes them, by their head.

    It is much quicker than `parse`, and gives what that gives, or None for a Datum that is otherwise.
    """

    def __init__(self, shape: Shape):
        self._shape = shape
        size = math.prod(shape)
        fields = [wire.varint(number, length) for number, length in enumerate(shape, _CHANNELS)]
        self._head = b"".join([*fields, wire.data(_DATA, bytes(size))[:-size]])
        self._end = len(self._head) + size

    def read(self, data: bytes) -> Datum | None:
        """A Datum, whose pixels are not copied."""
        if len(data) < self._end or not data.startswith(self._head):
            return None
        try:
            rest = wire.Message(data[self._end :])
            if any(number in rest for number in (_CHANNELS, _HEIGHT, _WIDTH, _DATA)) or rest.flag(_ENCODED):
                return None
            label = rest.integer(_LABEL)
        except WireError:
            return None
        pixels = np.frombuffer(data, np.uint8, self._end - len(self._head), len(self._head))
        return Datum(pixels.reshape(self._shape), None, label)


def turned(pixels: Array) -> Array:
    """Bytes of three channels from blue, green, red to red, green, blue, or back; all else as it is."""
    return pixels[::-1] if pixels.dtype == np.uint8 and len(pixels) == 3 else pixels


def serialise(pixels: Array, label: int = 0) -> bytes:
    """A Datum of pixels (C, H, W): uint8 as bytes, all else as float32. Raises DataError for another number of axes."""
    if pixels.ndim != 3:
        raise DataError(
            f"a Datum holds an image of channels, height and width, not an array {shape_text(pixels.shape)}"
        )
    fields = [wire.varint(number, size) for number, size in enumerate(pixels.shape, _CHANNELS)]
    if pixels.dtype == np.uint8:
        fields += [wire.data(_DATA, pixels.tobytes()), wire.varint(_LABEL, label)]
    else:
        fields += [wire.varint(_LABEL, label), wire.floats(_FLOAT_DATA, pixels)]
    return b"".join(fields)


def serialise_encoded(content: bytes, label: int = 0) -> bytes:
    """A Datum of an image file as it is, which says nothing of the image's size."""
    return wire.data(_DATA, content) + wire.varint(_LABEL, label) + wire.varint(_ENCODED, 1)


def _image_file(message: wire.Message, where: str) -> memoryview:
    content = memoryview(message.data(_DATA))
    if not content:
        raise DataError(f"{where} is damaged: it says that its image is encoded, but holds no image file")
    return content
