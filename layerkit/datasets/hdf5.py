"""HDF5 files of samples, read one at a time, and one that is written batch by batch. Needs h5py."""

from __future__ import annotations

import bisect
import contextlib
import itertools
import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from layerkit.arrayfile import BOMB_RATIO, BOMB_SIZE
from layerkit.blob import Array, Shape, shape_text
from layerkit.datasets.lists import Listed, read_files
from layerkit.datasets.optional import need
from layerkit.datasets.source import Header, Source, check, check_headers
from layerkit.errors import DataError

_numbers = itertools.count()


class Files(Source):
    """The files that a list names, each with the datasets `names` of equally many samples; the last ones are kept.

    Raises DataError, naming the file, where one is missing or broken, lacks a dataset, or has other sample shapes.
    """

    def __init__(self, source: str, names: Sequence[str]):
        self._listed = read_files(source)
        self._names = names
        self._kept: tuple[tuple[int, dict[str, Array]], ...] = ()
        shapes: list[Shape] = []
        dtypes: list[np.dtype[Any]] = []
        starts = [0]
        for listed in self._listed:
            with _reading(listed) as file:
                found = self._found(listed, file)
                check_headers(repr(listed.path), found)
                here = [tuple(dataset.shape[1:]) for dataset in found.values()]
                shapes = shapes or here
                for name, shape, first in zip(names, here, shapes, strict=True):
                    if shape != first:
                        what = f"samples of {name!r} are {shape_text(shape)}, but {shape_text(first)}"
                        raise DataError(f"{listed.place}: in {listed.path!r} {what} in {self._listed[0].path!r}")
                types = [dataset.dtype for dataset in found.values()]
                dtypes = [np.result_type(*both) for both in zip(dtypes or types, types, strict=True)]
                starts.append(starts[-1] + min(dataset.shape[0] for dataset in found.values()))
        self.starts = starts
        self.header = Header(dict(zip(names, shapes, strict=True)), dict(zip(names, dtypes, strict=True)), starts[-1])

    def sample(self, index: int) -> Mapping[str, Array]:
        """A sample of each dataset. Raises DataError for a file that has become unreadable or is not finite."""
        assert self.starts is not None
        number = bisect.bisect_right(self.starts, index) - 1
        arrays = self._file(number)
        return {name: array[index - self.starts[number]] for name, array in arrays.items()}

    def _file(self, number: int) -> dict[str, Array]:
        """A file's arrays. Two files are kept, for threads may read on both sides of a file's end."""
        assert self.starts is not None
        for known, arrays in self._kept:
            if known == number:
                return arrays
        listed = self._listed[number]
        with _reading(listed) as file:
            arrays = {name: np.asarray(dataset[()]) for name, dataset in self._found(listed, file).items()}
        check(repr(listed.path), arrays, ())
        if len(arrays[self._names[0]]) != self.starts[number + 1] - self.starts[number]:
            raise DataError(f"{listed.path!r} has changed since it was opened")
        self._kept = (*self._kept[-1:], (number, arrays))
        return arrays

    def _found(self, listed: Listed, file: Any) -> dict[str, Any]:
        h5py = need("h5py", "h5py", "HDF5")
        for name in self._names:
            if not isinstance(file.get(name), h5py.Dataset):
                held = ", ".join(file) or "nothing"
                raise DataError(f"{listed.place}: {listed.path!r} has no dataset {name!r}; it holds: {held}")
        found = {name: file[name] for name in self._names}
        size = sum(dataset.size * dataset.dtype.itemsize for dataset in found.values())
        if size > max(BOMB_SIZE, BOMB_RATIO * os.path.getsize(listed.path)):
            what = f"it declares {size / 1e6:,.0f} MB of samples, far more than it holds"
            raise DataError(f"{listed.place}: {listed.path!r} is damaged: {what}")
        return found


@contextmanager
def _reading(listed: Listed) -> Iterator[Any]:
    h5py = need("h5py", "h5py", "HDF5")
    if not os.path.isfile(listed.path):
        raise DataError(f"{listed.place}: there is no file {listed.path!r}")
    try:
        with h5py.File(listed.path, "r") as file:
            yield file
    except DataError:
        raise
    except Exception as error:  # of a broken file HDF5 reports whatever it stumbles over, some of it on several lines
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{listed.place}: {listed.path!r} is no HDF5 file that can be read: {reason}") from error


class Writer:
    """An HDF5 file that grows along axis 0 and appears under its name when it is closed, whole or not at all."""

    def __init__(self, path: str):
        h5py = need("h5py", "h5py", "HDF5")
        self._path = Path(path)
        self._temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}-{next(_numbers)}.tmp")
        try:
            self._file = h5py.File(self._temporary, "w")
        except OSError:
            folder = str(self._path.parent)
            reason = f"there is no folder {folder!r}" if not self._path.parent.is_dir() else "it cannot be made"
            raise DataError(f"cannot write {path!r}: {reason}") from None
        self._forget = weakref.finalize(self, _remove, self._file, self._temporary)

    def append(self, **arrays: Array) -> None:
        """Add rows to each dataset. Raises DataError for rows of another shape, or where the disk is full."""
        for name, array in arrays.items():
            if name not in self._file:
                self._file.create_dataset(name, (0, *array.shape[1:]), array.dtype, maxshape=(None, *array.shape[1:]))
            dataset = self._file[name]
            if dataset.shape[1:] != array.shape[1:]:
                was, now = shape_text(dataset.shape[1:]), shape_text(array.shape[1:])
                raise DataError(f"the rows of {name!r} in {str(self._path)!r} are {was}, so {now} cannot follow")
            start = len(dataset)
            with self._explained():
                dataset.resize(start + len(array), axis=0)
                dataset[start:] = array

    def close(self) -> None:
        """Put the file in its place. Raises DataError."""
        with self._explained():
            self._file.flush()
            self._file.close()
            os.replace(self._temporary, self._path)
        self._forget.detach()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(f"cannot write {str(self._path)!r}: {error.strerror or error}") from error


def _remove(file: Any, temporary: Path) -> None:
    """What becomes of a file that is never closed."""
    with contextlib.suppress(Exception):  # at the end of the process h5py may be gone already
        file.close()
    temporary.unlink(missing_ok=True)
