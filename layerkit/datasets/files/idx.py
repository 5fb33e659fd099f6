"""IDX files, MNIST's format: one array of any type and shape, gzipped or not.

A file is two zero bytes, a byte for the type, a byte for the number of axes, each axis's size in four bytes, then the
values in C order; numbers of more than one byte begin with their highest.

Source: the description of the format on the page of Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten
digits".
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np

from layerkit.blob import Array, shape_text
from layerkit.errors import DataError

GZIP = b"\x1f\x8b"
"""How a gzipped file begins; an IDX file begins with zeros. Names do not tell: browsers unpack without renaming."""

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_AXES = 32  # at most; NumPy's limit is 64
_PACKED = 1100  # bytes that one byte of a gzipped file can stand for, at most


class IdxHeader(NamedTuple):
    """What an IDX file says of its array; the type is in this machine's byte order."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def header(path: str | os.PathLike[str]) -> IdxHeader:
    """Shape and type of an IDX file's array; its values are not read.

    Raises DataError for a file that is missing, no IDX file, empty, or not of the size that its header declares (for a
    gzipped file: that could not be of that size).
    """
    path = Path(path)
    with _reading(str(path)), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        with _unpacked(file, size) as (plain, most):
            found = _header(plain, str(path))
            if plain is file:
                _compare(str(path), found, size - file.tell())
            elif _bytes(found) > most:
                raise _damaged(str(path), found, "cannot hold that many")
            return found


def read(path: str | os.PathLike[str]) -> Array:
    """The array of an IDX file, in this machine's byte order; read-only. Raises DataError as `header` does."""
    path = Path(path)
    with _reading(str(path)), open(path, "rb") as file:
        return _read(file, str(path), os.fstat(file.fileno()).st_size)


def read_from(file: BinaryIO, where: str, size: int) -> Array:
    """The array of an IDX file that is open at its beginning and can be sought, such as a member of an archive.

    `where` names it in messages, `size` is its length in bytes, packed if it is gzipped. Raises DataError as `header`.
    """
    with _reading(where):
        return _read(file, where, size)


def _read(file: BinaryIO, where: str, size: int) -> Array:
    with _unpacked(file, size) as (plain, most):
        found = _header(plain, where)
        expected = _bytes(found)
        data = plain.read(min(expected, most) + 1)  # one more than there should be shows what is left over
    _compare(where, found, len(data))
    values = np.frombuffer(data, found.dtype.newbyteorder(">")).reshape(found.shape)
    return values.astype(found.dtype, copy=False)


@contextmanager
def _unpacked(file: BinaryIO, size: int) -> Iterator[tuple[BinaryIO, int]]:
    """The file, or what unpacks it; and how many bytes come out of it at most."""
    packed = file.read(2) == GZIP
    file.seek(0)
    if not packed:
        yield file, size
        return
    with gzip.GzipFile(fileobj=file, mode="rb") as plain:
        yield cast(BinaryIO, plain), size * _PACKED


def _header(file: BinaryIO, where: str) -> IdxHeader:
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _TYPES or not 0 < start[3] <= _AXES:
        wanted = f"two zero bytes, the number of a type and 1 to {_AXES} axes"
        raise DataError(
            f"'{where}' is no IDX file: it must begin with {wanted}, but begins with 0x{start.hex() or '0'}"
        )
    sizes = file.read(4 * start[3])
    if len(sizes) < 4 * start[3]:
        raise DataError(f"'{where}' is damaged: it ends within its header")
    shape = struct.unpack(f">{start[3]}I", sizes)
    if 0 in shape:
        raise DataError(f"'{where}' holds nothing: its header declares the shape {shape_text(shape)}")
    return IdxHeader(shape, np.dtype(_TYPES[start[2]]).newbyteorder("="))


def _bytes(found: IdxHeader) -> int:
    return math.prod(found.shape) * found.dtype.itemsize


def _compare(where: str, found: IdxHeader, held: int) -> None:
    if held != _bytes(found):
        raise _damaged(where, found, "holds more" if held > _bytes(found) else f"holds only {held:,}")


def _damaged(where: str, found: IdxHeader, holds: str) -> DataError:
    declared = f"{_bytes(found):,} bytes ({shape_text(found.shape)} of {found.dtype})"
    return DataError(f"'{where}' is damaged: its header declares {declared}, but it {holds}")


@contextmanager
def _reading(where: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise DataError(f"'{where}' cannot be read: {reason}") from error
