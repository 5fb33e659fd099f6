"""HDF5 files of samples, whole or by rows, and one that is written batch by batch. Needs h5py."""

from __future__ import annotations

import contextlib
import itertools
import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from layerkit.arrayfile import BOMB_RATIO, BOMB_SIZE
from layerkit.blob import Array, Shape, shape_text
from layerkit.datasets.files.class_names import KEY, MOST
from layerkit.datasets.files.hdf5_disk import Disk
from layerkit.datasets.files.lists import Listed
from layerkit.datasets.optional import need
from layerkit.datasets.source import Header, Source, check, check_headers, in_order
from layerkit.datasets.writing.placing import expect_shape, explained
from layerkit.errors import DataError

HELD = 1 << 29
"""Bytes of samples up to which a file is read whole: random access to it is quicker then, and much so if compressed."""

_LISTED = 12  # datasets that a message names
_numbers = itertools.count()


class _Held(NamedTuple):
    """A file that is being read."""

    number: int
    arrays: Mapping[str, Any]
    """Arrays in memory, or h5py's datasets."""
    file: Any
    """What keeps the datasets open; None where they are in memory."""


class Files(Source):
    """Files that each have the datasets `names` (array -> dataset), of equally many samples.

    Files of up to HELD bytes are read whole, and the last two kept; of larger ones only the rows that are asked for.
    Without names all datasets of the first file are meant, but for `class_names`, which holds texts: the names of the
    classes, where none are given.

    Raises DataError, naming the file, where one is missing or broken, lacks a dataset, or has other sample shapes.
    """

    def __init__(self, listed: Sequence[Listed], names: Mapping[str, str], class_names: Sequence[str] = ()):
        self._listed = listed
        self._names = dict(names)
        self._class_names = class_names
        self._kept: tuple[_Held, ...] = ()
        shapes: dict[str, Shape] = {}
        dtypes: dict[str, np.dtype[Any]] = {}
        starts = [0]
        for each in listed:
            with _reading(each) as file:
                if len(starts) == 1 and not self._class_names:
                    self._class_names = _class_names(file)
                found = self._found(each, file)
                check_headers(repr(each.path), found)
                for name, dataset in found.items():
                    shape, first = tuple(dataset.shape[1:]), shapes.setdefault(name, tuple(dataset.shape[1:]))
                    if shape != first:
                        what = f"samples of {name!r} are {shape_text(shape)}, but {shape_text(first)}"
                        raise DataError(f"{_where(each)}in {each.path!r} {what} in {listed[0].path!r}")
                    dtypes[name] = np.result_type(dtypes.get(name, dataset.dtype), dataset.dtype)
                starts.append(starts[-1] + min(dataset.shape[0] for dataset in found.values()))
        self._starts = np.array(starts)
        self.starts = starts if len(listed) > 1 else None
        self.header = Header(shapes, dtypes, starts[-1], tuple(self._class_names))

    def read(self, indices: Array, out: Mapping[str, Array] | None = None) -> tuple[Array, ...]:
        """Samples `indices`; see Source. Raises DataError for a file that has become unreadable or is not finite."""
        header = self.header
        if out is None:
            shapes = {name: (len(indices), *shape) for name, shape in header.shapes.items()}
            out = {name: np.empty(shape, header.dtypes[name]) for name, shape in shapes.items()}
        numbers = np.searchsorted(self._starts, indices, side="right") - 1
        for number in np.unique(numbers).tolist():
            at = np.flatnonzero(numbers == number)
            held, rows = self._open(number), indices[at] - self._starts[number]
            for name, into in out.items():
                array = held.arrays[name]
                into[at] = array[rows] if held.file is None else self._rows(number, name, array, rows)
        return tuple(out.values())

    def place(self, index: int) -> str:
        """The sample's number in its file."""
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return f"sample {index - self._starts[number]} of {self._listed[number].path!r}"

    def close(self) -> None:
        """Let go of the files; one that another thread still reads is closed when that ends."""
        self._kept = ()

    def _open(self, number: int) -> _Held:
        """A file. Two are kept, for threads may read on both sides of a file's end."""
        for held in self._kept:
            if held.number == number:
                return held
        listed = self._listed[number]
        with _explained(listed):
            file = _open(listed)
            found = self._found(listed, file)
            if _size(found) > HELD:
                held = _Held(number, found, file)
            else:
                held = _Held(number, {name: np.asarray(dataset[()]) for name, dataset in found.items()}, None)
                file.close()
                check(repr(listed.path), held.arrays, self._class_names)
        if any(len(array) != self._starts[number + 1] - self._starts[number] for array in held.arrays.values()):
            raise DataError(f"{listed.path!r} has changed since it was opened")
        self._kept = (*self._kept[-1:], held)
        return held

    def _rows(self, number: int, name: str, dataset: Any, rows: Array) -> Array:
        """Rows of a dataset in a file, read in their order, neighbours together, and checked."""
        listed = self._listed[number]
        wanted, places = np.unique(rows, return_inverse=True)
        found = np.empty((len(wanted), *dataset.shape[1:]), dataset.dtype)
        runs = np.split(np.arange(len(wanted)), np.flatnonzero(np.diff(wanted) > 1) + 1)
        with _explained(listed):
            for run in runs:
                first, last = run[0], run[-1]
                found[first : last + 1] = dataset[wanted[first] : wanted[last] + 1]
        try:
            check(repr(listed.path), {name: found}, self._class_names)
        except DataError:  # it counts from the first row that was read
            for row, one in zip(wanted.tolist(), found, strict=True):
                check(f"row {row} of {listed.path!r}", {name: one[np.newaxis]}, self._class_names)
        return found[places]

    def _found(self, listed: Listed, file: Any) -> dict[str, Any]:
        """The datasets in a file by the names of the arrays. Raises DataError."""
        h5py = need("h5py", "h5py", "HDF5")
        if not self._names:
            names = [name for name in file if isinstance(file.get(name), h5py.Dataset)]
            self._names = in_order({name: name for name in names if name != KEY or not _are_texts(file[name])})
            paths = [] if self._names else _paths(file)
            if paths:
                what = f"only in groups: {', '.join(paths)}"
                hint = f"name them by the field 'datasets', as datasets: {{data: {paths[0]}}}"
                raise DataError(f"{_where(listed)}{listed.path!r} holds datasets {what}; {hint}")
        for name in self._names.values():
            if not isinstance(file.get(name), h5py.Dataset):
                held = ", ".join(_paths(file)) or "nothing"
                raise DataError(f"{_where(listed)}{listed.path!r} has no dataset {name!r}; it holds: {held}")
        found = {name: file[dataset] for name, dataset in self._names.items()}
        size = _size(found)
        if size > max(BOMB_SIZE, BOMB_RATIO * os.path.getsize(listed.path)):
            what = f"it declares {size / 1e6:,.0f} MB of samples, far more than it holds"
            raise DataError(f"{_where(listed)}{listed.path!r} is damaged: {what}")
        return found


def _are_texts(dataset: Any) -> bool:
    h5py = need("h5py", "h5py", "HDF5")
    return h5py.check_string_dtype(dataset.dtype) is not None and dataset.ndim == 1 and len(dataset) <= MOST


def _class_names(file: Any) -> tuple[str, ...]:
    """The names of the classes that a file holds, if it does."""
    h5py = need("h5py", "h5py", "HDF5")
    found = file.get(KEY)
    return tuple(found.asstr()[()]) if isinstance(found, h5py.Dataset) and _are_texts(found) else ()


def _paths(file: Any) -> list[str]:
    """Where the datasets in a file lie, groups and all: the first of them."""
    h5py = need("h5py", "h5py", "HDF5")
    found: list[str] = []

    def note(path: str, held: Any) -> bool | None:
        found.extend([path] if isinstance(held, h5py.Dataset) else [])
        return True if len(found) == _LISTED else None  # anything but None ends the visit

    file.visititems(note)
    return found


def _size(datasets: Mapping[str, Any]) -> int:
    return sum(dataset.size * dataset.dtype.itemsize for dataset in datasets.values())


def _where(listed: Listed) -> str:
    """How messages begin that go on with the file."""
    return f"{listed.place}: " if listed.place else ""


@contextmanager
def _reading(listed: Listed) -> Iterator[Any]:
    with _explained(listed), _open(listed) as file:
        yield file


def _open(listed: Listed) -> Any:
    h5py = need("h5py", "h5py", "HDF5")
    if not os.path.isfile(listed.path):
        raise DataError(f"{_where(listed)}there is no file {listed.path!r}")
    return h5py.File(listed.path, "r")


@contextmanager
def _explained(listed: Listed) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # of a broken file HDF5 reports whatever it stumbles over, some of it on several lines
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{_where(listed)}{listed.path!r} is no HDF5 file that can be read: {reason}") from error


class Writer:
    """An HDF5 file that grows along axis 0 and appears under its name when it is closed, whole or not at all.

    Names of classes become a dataset of texts.
    """

    def __init__(self, path: str, class_names: Sequence[str] = ()):
        h5py = need("h5py", "h5py", "HDF5")
        self._path = Path(path)
        self._temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}-{next(_numbers)}.tmp")
        try:
            self._disk = Disk(self._temporary)
        except OSError:
            folder = str(self._path.parent)
            reason = f"there is no folder {folder!r}" if not self._path.parent.is_dir() else "it cannot be made"
            raise DataError(f"cannot write {path!r}: {reason}") from None
        self._file = h5py.File(self._disk, "w")
        self._class_names = list(class_names)
        self._forget = weakref.finalize(self, _remove, self._file, self._disk, self._temporary)

    def append(self, **arrays: Array) -> None:
        """Add rows to each dataset. Raises DataError for rows of another shape, or where the disk is full."""
        for name, array in arrays.items():
            if name not in self._file:
                self._file.create_dataset(name, (0, *array.shape[1:]), array.dtype, maxshape=(None, *array.shape[1:]))
            dataset = self._file[name]
            expect_shape(self._path, name, dataset.shape[1:], array.shape[1:])
            start = len(dataset)
            with explained(self._path):
                self._disk.check()
                dataset.resize(start + len(array), axis=0)
                dataset[start:] = array
                self._disk.check()

    def close(self) -> None:
        """Put the file in its place. Raises DataError."""
        h5py = need("h5py", "h5py", "HDF5")
        with explained(self._path):
            if self._class_names and KEY not in self._file:
                self._file.create_dataset(KEY, data=self._class_names, dtype=h5py.string_dtype())
            self._file.close()
            self._disk.check()
            self._disk.close()
            os.replace(self._temporary, self._path)
        self._forget.detach()

    def abandon(self) -> None:
        """Remove what there is of the file, unless it is closed."""
        self._forget()


def _remove(file: Any, disk: Disk, temporary: Path) -> None:
    """What becomes of a file that is never closed."""
    with contextlib.suppress(Exception):  # at the end of the process h5py may be gone already
        file.close()
    disk.close()
    temporary.unlink(missing_ok=True)
