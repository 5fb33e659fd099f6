"""Writes LMDB databases of Datums, as Caffe's tools do. Needs lmdb."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from layerkit.blob import Array, shape_text
from layerkit.datasets import datum, decode
from layerkit.datasets.optional import need
from layerkit.errors import DataError

Encoding = Literal["jpeg", "png"]

_numbers = itertools.count()
_BATCH = 1 << 24  # bytes that one transaction writes, about
_ROOM = 1 << 26  # bytes that a new database may take before it is given more


def write_lmdb(path: str, samples: Iterable[tuple[Array | bytes, Any]], encoded: Encoding | None = None) -> int:
    """Write samples, in their order, as a new database, a folder that appears when it is whole; how many there were.

    A sample is its data and its label, a whole number. Data are (C, H, W), or with fewer axes (C, 1, 1); bytes of three
    channels, red, green, blue, are stored blue, green, red as Caffe does, other types as 4-byte floats as they are.
    Image files as they are (`bytes`) are stored so, and with `encoded` images become such files.

    Raises DataError where `path` exists or cannot be written, and for a sample that does not fit or no sample at all;
    then nothing is left behind.
    """
    lmdb = need("lmdb", "lmdb", "writing LMDB")
    target = Path(path)
    if target.exists():
        raise DataError(f"{path!r} exists already; remove it, or choose another name")
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{next(_numbers)}.tmp")
    try:
        temporary.mkdir()
        count = _fill(lmdb, temporary, _datums(samples, encoded))
        if not count:
            raise DataError(f"there are no samples to write to {path!r}")
        (temporary / "lock.mdb").unlink(missing_ok=True)
        temporary.replace(target)
    except (OSError, lmdb.Error) as error:
        missing = not target.parent.is_dir()
        reason = f"there is no folder {str(target.parent)!r}" if missing else getattr(error, "strerror", 0) or error
        raise DataError(f"cannot write {path!r}: {reason}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return count


def _fill(lmdb: Any, folder: Path, values: Iterator[bytes]) -> int:
    """Put all values, each under its number, and make sure that they are on the disk."""
    count, room = 0, _ROOM
    with lmdb.open(str(folder), map_size=room, sync=False, metasync=False) as environment:
        while batch := _batch(values):
            while not _put(lmdb, environment, batch, count):
                room *= 2
                environment.set_mapsize(room)
            count += len(batch)
        environment.sync(True)
    return count


def _put(lmdb: Any, environment: Any, batch: list[bytes], first: int) -> bool:
    """Write a batch in one transaction; whether there was room for it."""
    try:
        with environment.begin(write=True) as transaction:
            for number, value in enumerate(batch, first):
                transaction.put(f"{number:010d}".encode(), value, append=True)
    except lmdb.MapFullError:
        return False
    return True


def _batch(values: Iterator[bytes]) -> list[bytes]:
    batch, size = [], 0
    for value in values:
        batch.append(value)
        size += len(value)
        if size >= _BATCH:
            break
    return batch


def _datums(samples: Iterable[tuple[Array | bytes, Any]], encoded: Encoding | None) -> Iterator[bytes]:
    for number, (data, label) in enumerate(samples):
        where = f"sample {number}"
        yield _datum(data, _whole(label, where), encoded, where)


def _datum(data: Array | bytes, label: int, encoded: Encoding | None, where: str) -> bytes:
    if isinstance(data, bytes):
        return datum.serialise_encoded(data, label)
    if encoded is not None:
        return datum.serialise_encoded(decode.encode(data, encoded, where), label)
    if data.ndim > 3:
        raise DataError(f"{where} is {shape_text(data.shape)}, but a Datum has at most channels x height x width")
    image = data.reshape(data.shape + (1,) * (3 - data.ndim))
    return datum.serialise(datum.turned(image), label)


def _whole(label: Any, where: str) -> int:
    value = np.asarray(label)
    if value.size != 1 or value.dtype.kind not in "biuf" or value != np.floor(value) or abs(value) >= 1 << 31:
        raise DataError(f"the label of {where} is {label}, but that of a Datum is one whole number of 32 bits")
    return int(value.item())
