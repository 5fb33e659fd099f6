"""`cifar10`: 60,000 photographs of 32x32 pixels in ten classes: 50,000 to train with and 10,000 to test with.

Pixels are 0..255 in sample shape (3, 32, 32), red, green, blue; labels 0..9. The files of the binary version are read
from a folder: data_batch_1.bin to data_batch_5.bin and test_batch.bin (there or in cifar-10-batches-bin), or the
published archive cifar-10-binary.tar.gz as it is.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009; the format is described on the
set's page.
"""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import numpy as np

from layerkit.blob import Array
from layerkit.datasets.source import ArraySource, Header, Source
from layerkit.errors import DataError

FOLDER = "data/cifar10"
ARCHIVE = "cifar-10-binary.tar.gz"
INSIDE = "cifar-10-batches-bin"
"""The folder that the archive unpacks to."""
URL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FILES = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}

_RECORD = 1 + 3 * 32 * 32  # bytes of a sample: its label, then red, green and blue, each row by row
_MOST = 10_000 * _RECORD  # bytes of a file in the archive


def describe(source: str | None, part: str) -> Header:
    """Shapes are known without the files; the length is theirs, None where there are none or only the archive.

    Raises DataError for files that are there but broken.
    """
    paths = _find(_folder(source), part)
    lengths = [_length(str(path), path.stat().st_size) for path in paths if path is not None]
    length = sum(lengths) if len(lengths) == len(paths) else None
    byte = np.dtype(np.uint8)
    return Header({"data": (3, 32, 32), "label": ()}, {"data": byte, "label": byte}, length, CLASS_NAMES)


def open_source(source: str | None, part: str) -> Source:
    """The samples of one part. Raises DataError for files that are missing (with where to get them) or broken."""
    folder = _folder(source)
    paths = _find(folder, part)
    if None not in paths:
        contents = {str(path): _read(path) for path in paths if path is not None}
    elif (folder / ARCHIVE).is_file():
        contents = _read_archive(folder / ARCHIVE, part)
    else:
        missing = [name for name, path in zip(FILES[part], paths, strict=True) if path is None]
        raise DataError(
            f"CIFAR-10's {', '.join(missing)} cannot be found in the folder {str(folder)!r}; "
            f"download {URL} into that folder (it may stay packed)"
        )
    records = np.concatenate([_records(name, content) for name, content in contents.items()])
    data = records[:, 1:].reshape(-1, 3, 32, 32)
    return ArraySource(str(folder), {"data": data, "label": records[:, 0]}, CLASS_NAMES)


def _folder(source: str | None) -> Path:
    return Path(source if source is not None else FOLDER)


def _find(folder: Path, part: str) -> list[Path | None]:
    """The path of each file of a part, None for one that is not there."""
    return [
        next((path for path in (folder / name, folder / INSIDE / name) if path.is_file()), None) for name in FILES[part]
    ]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _broken(str(path), error) from error


def _read_archive(path: Path, part: str) -> dict[str, bytes]:
    """The contents of a part's files, by a name for messages."""
    wanted, found = [f"{INSIDE}/{name}" for name in FILES[part]], {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:  # one after the other, so that nothing is unpacked that is too large
                if member.size > _MOST:
                    raise DataError(
                        f"'{path}' is not CIFAR-10's binary version: {member.name[:80]!r} in it is too large"
                    )
                if member.name in wanted and member.isreg():
                    content = archive.extractfile(member)
                    found[member.name] = content.read() if content else b""
                if len(found) == len(wanted):
                    break
    except DataError:
        raise
    except Exception as error:  # gzip, zlib and tarfile each have their own for broken bytes, some undocumented
        raise _broken(str(path), error) from error
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataError(f"'{path}' is not CIFAR-10's binary version: it holds no {missing[0]}")
    return {f"{path}/{name}": found[f"{INSIDE}/{name}"] for name in FILES[part]}


def _records(name: str, content: bytes) -> Array:
    return np.frombuffer(content, np.uint8).reshape(_length(name, len(content)), _RECORD)


def _length(name: str, size: int) -> int:
    """How many samples a file of this many bytes holds; raises DataError where that is no whole number."""
    if size == 0 or size % _RECORD:
        raise DataError(f"'{name}' is damaged: it has {size:,} bytes, which are no whole samples of {_RECORD:,} bytes")
    return size // _RECORD


def _broken(name: str, error: Exception) -> DataError:
    reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return DataError(f"'{name}' cannot be read: {reason}")
