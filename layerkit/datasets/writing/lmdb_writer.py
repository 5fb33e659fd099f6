"""Writes LMDB databases of Datums, as Caffe's tools do. Needs lmdb."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from layerkit.arrayfile import FULL
from layerkit.blob import Array, shape_text
from layerkit.datasets.files import datum, decode
from layerkit.datasets.files.class_names import FILE, as_lines
from layerkit.datasets.files.decode import Encoding
from layerkit.datasets.optional import need
from layerkit.datasets.writing.placing import beside, explained, put, whole
from layerkit.errors import DataError

_BATCH = 1 << 24  # bytes that one transaction writes, about
_ROOM = 1 << 26  # bytes that a new database may take before it is given more


class LmdbWriter:
    """See Writer: a new database of Datums, each under its number, a folder that appears when it is closed.

    Data are (C, H, W), or with fewer axes (C, 1, 1); bytes of three channels, red, green, blue, are stored blue, green,
    red as Caffe does, other types as 4-byte floats as they are. With `encoded` images become image files.

    Names of classes become a text file beside it, which neither LMDB nor Caffe looks at. Raises DataError where it
    cannot be written, or a line cannot hold a name.
    """

    def __init__(self, path: Path, encoded: Encoding | None = None, class_names: tuple[str, ...] = ()):
        self._lmdb = need("lmdb", "lmdb", "writing LMDB")
        self._path = path
        self._encoded = encoded
        self._lines = as_lines(class_names)
        self._temporary = beside(path)
        self._waiting: list[bytes] = []
        self._size = 0
        self._room = _ROOM
        self.count = 0
        """How many samples were put."""
        with self._explained():
            self._temporary.mkdir()
            try:
                self._environment = self._lmdb.open(str(self._temporary), map_size=_ROOM, sync=False, metasync=False)
            except BaseException:
                shutil.rmtree(self._temporary, ignore_errors=True)
                raise

    def append(self, **arrays: Array) -> None:
        """Put samples, `data`, (k, ...), and if any `label`, (k,). Raises DataError for others."""
        if "data" not in arrays or not arrays.keys() <= {"data", "label"}:
            listed = ", ".join(arrays)
            raise DataError(f"a database holds samples as 'data' and numbers as 'label', not the arrays {listed}")
        labels = arrays.get("label", np.zeros(len(arrays["data"]), np.int64))
        for data, label in zip(arrays["data"], labels, strict=True):
            self.put(data, label)

    def put(self, data: Array | bytes, label: Any = 0) -> None:
        """Put one sample; an image file as it is may be its data. Raises DataError for one that does not fit."""
        where = f"sample {self.count}"
        self._waiting.append(_datum(data, _whole(label, where), self._encoded, where))
        self._size += len(self._waiting[-1])
        self.count += 1
        if self._size >= _BATCH:
            self._write()

    def close(self) -> None:
        """See to it that all is on the disk, and give the folder its name. Raises DataError."""
        self._write()
        with self._explained():
            self._environment.sync(True)
            self._environment.close()
            (self._temporary / "lock.mdb").unlink(missing_ok=True)
            if self._lines:
                (self._temporary / FILE).write_text(self._lines, "utf-8", newline="\n")
            put(self._temporary, self._path)

    def abandon(self) -> None:
        """Remove the folder, unless it has its name."""
        self._environment.close()
        shutil.rmtree(self._temporary, ignore_errors=True)

    def _write(self) -> None:
        """Write what waits in one transaction, with more room if it needs more."""
        first = self.count - len(self._waiting)
        with self._explained():
            while not _put(self._lmdb, self._environment, self._waiting, first):
                self._room *= 2
                self._environment.set_mapsize(self._room)
        self._waiting, self._size = [], 0

    @contextmanager
    def _explained(self) -> Iterator[None]:
        with explained(self._path):
            try:
                yield
            except self._lmdb.Error as error:
                raise DataError(f"cannot write {str(self._path)!r}: {_reason(str(error))}") from error


def write_lmdb(path: str, samples: Iterable[tuple[Array | bytes, Any]], encoded: Encoding | None = None) -> int:
    """Write samples, each its data and its label, in their order, as a new database; how many there were.

    Raises DataError where `path` exists or cannot be written, and for a sample that does not fit or no sample at all;
    then nothing is left behind. See LmdbWriter.
    """
    if Path(path).exists():
        raise DataError(f"{path!r} exists already; remove it, or choose another name")
    writer = LmdbWriter(Path(path), encoded)
    with whole(writer):
        for data, label in samples:
            writer.put(data, label)
        if not writer.count:
            raise DataError(f"there are no samples to write to {path!r}")
    return writer.count


def is_lmdb(folder: Path) -> bool:
    """Whether a folder holds an LMDB database and nothing else."""
    return {entry.name for entry in folder.iterdir()} <= {"data.mdb", "lock.mdb", FILE}


def _put(lmdb: Any, environment: Any, batch: list[bytes], first: int) -> bool:
    """Write a batch in one transaction; whether there was room for it."""
    try:
        with environment.begin(write=True) as transaction:
            for number, value in enumerate(batch, first):
                transaction.put(f"{number:010d}".encode(), value, append=True)
    except lmdb.MapFullError:
        return False
    return True


def _reason(said: str) -> str:
    """What an error of LMDB means. Its words end in the system's; a write that found too little room it calls EIO."""
    if said.endswith(os.strerror(errno.EIO)):
        return "the disk is full, or fails"
    return "the disk is full" if said.endswith(tuple(map(os.strerror, FULL))) else said


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
