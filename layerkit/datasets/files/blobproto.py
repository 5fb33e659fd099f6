"""BlobProto: Caffe's message for one array, alone in a `.binaryproto` file (image means) or many in a caffemodel."""

from __future__ import annotations

import math
import os

from layerkit import arrayfile, wire
from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import DataError
from layerkit.wire import WireError
from layerkit.words import counted

_NUM, _CHANNELS, _HEIGHT, _WIDTH, _DATA, _DIFF, _SHAPE, _DOUBLE_DATA, _DOUBLE_DIFF = range(1, 10)
_LEGACY = (_NUM, _CHANNELS, _HEIGHT, _WIDTH)
_DIM = 1
MAX_AXES = 32


def load(path: str | os.PathLike[str]) -> Array:
    """The array of a `.binaryproto` file, float32 or float64; an image mean is (1, C, H, W), blue, green, red.

    Raises DataError for a file that is missing or is no such array.
    """
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:
            content = file.read()
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"cannot read {name!r}: {reason}") from None
    try:
        return parse(wire.Message(content))
    except WireError as error:
        raise DataError(f"{name!r} is no .binaryproto file, or is damaged: {error}") from None


def save(path: str | os.PathLike[str], array: Array) -> None:
    """Write an array to a `.binaryproto` file, atomically, as float32; 4 axes in the form that every Caffe reads.

    Raises SnapshotError where it cannot be written.
    """
    arrayfile.write_bytes(path, serialise(array, legacy=array.ndim == 4))


def parse(message: wire.Message) -> Array:
    """The array that a BlobProto holds, float32, or float64 where it holds doubles; no axes are a single number.

    Raises WireError, also where the shape and the number of values do not fit.
    """
    shape = _shape(message)
    values: Array = message.doubles(_DOUBLE_DATA)
    if not values.size:
        values = message.floats(_DATA)
    if len(shape) > MAX_AXES or min(shape, default=1) < 1 or math.prod(shape) != values.size:
        said = shape_text(shape) if len(shape) <= MAX_AXES else f"of {len(shape):,} axes"
        raise WireError(f"an array in it says that it is {said}, but holds {counted(values.size, 'value')}")
    return values.reshape(shape)


def serialise(array: Array, *, legacy: bool = False) -> bytes:
    """A BlobProto of an array, as float32; `legacy` writes the shape of its 4 axes as Caffe did until 2014.

    A scalar's has no shape, as Caffe writes it: OpenCV does not read an empty one.
    """
    if legacy:
        shape = b"".join(wire.varint(number, size) for number, size in zip(_LEGACY, array.shape, strict=True))
        return shape + wire.floats(_DATA, array)
    shape = wire.data(_SHAPE, wire.integers(_DIM, array.shape)) if array.shape else b""
    return wire.floats(_DATA, array) + shape


def _shape(message: wire.Message) -> Shape:
    if any(number in message for number in _LEGACY):
        return tuple(message.integer(number) for number in _LEGACY)
    return tuple(size for shape in message.messages(_SHAPE) for size in shape.integers(_DIM))
