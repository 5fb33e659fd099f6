"""`mnist`: 70,000 handwritten digits of 28x28 pixels: 60,000 to train with and 10,000 to test with.

Pixels are 0..255 in sample shape (1, 28, 28), labels 0..9. The four IDX files, as Caffe's examples have them, are read
from a folder, gzipped or not. Other sets in the same files (Fashion-MNIST, EMNIST's digits) work too.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits"; the format is described there.
"""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from layerkit.blob import Array
from layerkit.datasets.source import ArraySource, Header, Source
from layerkit.errors import DataError

FOLDER = "data/mnist"
URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
CLASS_NAMES = tuple("0123456789")

_PREFIX = {"train": "train", "test": "t10k"}
_KINDS = {"images": (3, 28, 28), "labels": (1,)}  # number of axes, then the sizes of a sample's
_MOST = 1_000_000  # samples that a header may declare; beyond that it is damaged
_PACKED = 1100  # bytes that one byte of a gzipped file can stand for, at most


def describe(source: str | None, part: str) -> Header:
    """Shapes are known without the files; the length is read from their headers and None while there are none.

    Raises DataError for files that are there but broken.
    """
    folder = Path(source if source is not None else FOLDER)
    byte = np.dtype(np.uint8)
    images, labels = (_find(folder, part, kind) for kind in _KINDS)
    length = _same_length(images, labels) if images and labels else None
    return Header({"data": (1, 28, 28), "label": ()}, {"data": byte, "label": byte}, length, CLASS_NAMES)


def open_source(source: str | None, part: str) -> Source:
    """The samples of one part. Raises DataError for files that are missing (with where to get them) or broken."""
    folder = Path(source if source is not None else FOLDER)
    images, labels = (_find(folder, part, kind) for kind in _KINDS)
    if images is None or labels is None:
        missing = [_names(part, kind)[0] for kind in _KINDS if _find(folder, part, kind) is None]
        raise DataError(
            f"MNIST's {' and '.join(missing)} (or .gz) cannot be found in the folder {str(folder)!r}; "
            f"download the four .gz files from {URL} into that folder (they may stay gzipped)"
        )
    _same_length(images, labels)
    data, label = _read(images, "images"), _read(labels, "labels")
    return ArraySource(str(folder), {"data": data[:, np.newaxis], "label": label}, CLASS_NAMES)


def _names(part: str, kind: str) -> tuple[str, ...]:
    axes = _KINDS[kind][0]
    stem = f"{_PREFIX[part]}-{kind}"
    plain = (f"{stem}-idx{axes}-ubyte", f"{stem}.idx{axes}-ubyte")  # unpacked files are found under both names
    return (*plain, *(f"{name}.gz" for name in plain))


def _find(folder: Path, part: str, kind: str) -> Path | None:
    return next((folder / name for name in _names(part, kind) if (folder / name).is_file()), None)


def _same_length(images: Path, labels: Path) -> int:
    counts = [_length(images, "images"), _length(labels, "labels")]
    if counts[0] != counts[1]:
        raise DataError(f"'{images}' holds {counts[0]} images, but '{labels}' holds {counts[1]} labels")
    return counts[0]


def _length(path: Path, kind: str) -> int:
    try:
        with _open(path) as file:
            return _read_header(file, path, kind)
    except (OSError, EOFError, zlib.error) as error:
        raise _broken(path, error) from error


def _read(path: Path, kind: str) -> Array:
    """The values of an IDX file, (N, 28, 28) or (N,), uint8."""
    sizes = _KINDS[kind][1:]
    try:
        with _open(path) as file:
            count = _read_header(file, path, kind)
            expected = count * int(np.prod(sizes))
            most = os.path.getsize(path) * (_PACKED if path.suffix == ".gz" else 1)
            data = file.read(min(expected, most) + 1)  # one more than there should be shows what is left over
    except (OSError, EOFError, zlib.error) as error:
        raise _broken(path, error) from error
    if len(data) != expected:
        found = "more" if len(data) > expected else f"only {len(data):,}"
        raise DataError(f"'{path}' is damaged: its header declares {expected:,} bytes of {kind}, but it holds {found}")
    return np.frombuffer(data, np.uint8).reshape(count, *sizes)


def _read_header(file: BinaryIO, path: Path, kind: str) -> int:
    """The number of samples; raises DataError unless this is an IDX file of bytes with the right axes."""
    axes, *sizes = _KINDS[kind]
    start = file.read(4 + 4 * axes)
    magic = 0x0800 + axes  # 0, 0, the type (8: unsigned byte), the number of axes
    if len(start) < 4 + 4 * axes or start[:4] != struct.pack(">I", magic):
        raise DataError(f"'{path}' is no IDX file of {kind}: it must begin with the number {magic} and {axes} sizes")
    count, *found = struct.unpack_from(f">{axes}I", start, 4)
    if found != sizes:
        raise DataError(f"'{path}' holds images of {found[0]}x{found[1]} pixels, but MNIST's are {sizes[0]}x{sizes[1]}")
    if not 0 < count <= _MOST:
        raise DataError(f"'{path}' is damaged: its header declares {count:,} {kind}")
    return int(count)


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else open(path, "rb")


def _broken(path: Path, error: Exception) -> DataError:
    reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return DataError(f"'{path}' cannot be read: {reason}")
