"""Source: what every dataset offers, and the one that holds its arrays in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from layerkit.blob import Array, Shape, shape_text
from layerkit.datasets.picture import Picture
from layerkit.errors import DataError

_BLOCK = 1 << 22  # elements looked at in one go, so that a check takes no memory to speak of
_ROWS = 4096  # labels read in one go


@dataclass(frozen=True)
class Header:
    """What is known of a dataset before it is opened: each array's sample shape and type, in the order of the tops."""

    shapes: Mapping[str, Shape]
    """Name of each array -> shape of one sample, without the sample axis; a label's is ()."""
    dtypes: Mapping[str, np.dtype[Any]]
    """Name of each array -> type of its values."""
    length: int | None = None
    """Number of samples; None where only the opened files can tell."""
    class_names: tuple[str, ...] = ()
    """Names of the classes, by label."""
    overlap: int = 0
    """How many samples after one share values with it, as windows of a text do."""
    varies: bool = False
    """Whether samples of the first array may differ in their last two axes; its shape is then that of the first one."""
    channel_order: Literal["RGB", "BGR"] = "RGB"
    """Order that a net gets three channels in unless it asks for another; of samples themselves it is RGB always."""
    feature_names: tuple[str, ...] = ()
    """Names of the numbers that a sample of a table has, in their order."""
    table: Mapping[str, Any] | None = None
    """Of a table: what it has taught of its columns, as plain data, so that others are read as it was."""

    @classmethod
    def of(cls, arrays: Mapping[str, Any], class_names: Iterable[str] = ()) -> Header:
        """The header of arrays (or of anything with `shape` and `dtype`) that share their first axis."""
        return cls(
            {name: tuple(array.shape[1:]) for name, array in arrays.items()},
            {name: array.dtype for name, array in arrays.items()},
            min((array.shape[0] for array in arrays.values()), default=0),
            tuple(class_names),
        )


class Source:
    """Base of every opened dataset: samples by index. It has no position, and several threads may read it."""

    header: Header
    """Names, shapes and types of its arrays, and class names."""
    in_memory: bool = False
    """Whether samples lie in memory, so that reading them costs next to nothing."""
    note: str = ""
    """What somebody who wants an answer for each sample is to be told, in words that follow the source's name."""
    left_out: Sequence[DataError] = ()
    """What is wrong with samples that were left out when it was opened."""
    starts: Sequence[int] | None = None
    """Where samples lie in several files of which one is held at a time: each file's first number, then the length."""

    def __len__(self) -> int:
        """Number of samples."""
        return self.header.length or 0

    def read(self, indices: Array, out: Mapping[str, Array] | None = None) -> tuple[Array, ...]:
        """Samples `indices` (int64, (k,)) of each array, (k, *sample shape), in the order of `header.shapes`.

        `out` names the arrays to read and gives C-contiguous ones of the header's shapes and types to write into, which
        are then returned in its order. Raises DataError where a file cannot be read.
        """
        header = self.header
        if out is None:
            shapes = {name: (len(indices), *shape) for name, shape in header.shapes.items()}
            out = {name: np.empty(shape, header.dtypes[name]) for name, shape in shapes.items()}
        for row, index in enumerate(indices.tolist()):
            sample = self.sample(index)
            for name, into in out.items():
                if sample[name].shape != into.shape[1:]:
                    found = f"{shape_text(sample[name].shape)}, not {shape_text(into.shape[1:])} as the first"
                    raise DataError(f"{self.place(index)}: {name!r} is {found}")
                into[row] = sample[name]
        return tuple(out.values())

    def sample(self, index: int) -> Mapping[str, Array]:
        """One sample's arrays by name; where `header.varies`, they may differ in size from sample to sample."""
        arrays = self.read(np.array([index]))
        return {name: array[0] for name, array in zip(self.header.shapes, arrays, strict=True)}

    def shape_of(self, index: int) -> Shape:
        """The shape of a sample's first array; of an image in a file, by the file's header. Raises DataError."""
        return tuple(next(iter(self.sample(index).values())).shape)

    def as_read(self, index: int) -> Mapping[str, Array | Picture]:
        """As `sample`; but an image may not be an array yet, so that less than all of it need become one."""
        return self.sample(index)

    def labels(self) -> Array:
        """The label of every sample, (N,). Raises DataError where there is not one number a sample."""
        header = self.header
        if header.shapes.get("label") != ():
            raise DataError("the dataset has no single label a sample, which dividing or drawing by class needs")
        label = np.empty(len(self), header.dtypes["label"])
        for start in range(0, len(self), _ROWS):
            rows = np.arange(start, min(start + _ROWS, len(self)))
            self.read(rows, {"label": label[start : start + len(rows)]})
        return label

    def place(self, index: int) -> str:
        """How messages name a sample: by its file, where it has one of its own."""
        return f"sample {index}"

    def mark(self, index: int) -> str:
        """What answers put behind the source's name to tell its samples apart."""
        return f"[{index}]"

    def verify(self) -> None:
        """Raise DataError for samples that are known to be missing before any is read."""

    def close(self) -> None:
        """Let go of files."""


class ArraySource(Source):
    """A source over arrays in memory, (N, *sample shape) each; they are not copied.

    Raises DataError, naming the array and the index, unless all hold the same number of finite numbers and labels lie
    within the class names.
    """

    in_memory = True

    def __init__(self, where: str, arrays: Mapping[str, Array], class_names: Iterable[str] = ()):
        names = tuple(class_names)
        check(where, arrays, names)
        self._where = where
        self._arrays = dict(arrays)
        self.header = Header.of(arrays, names)

    def read(self, indices: Array, out: Mapping[str, Array] | None = None) -> tuple[Array, ...]:
        """Samples `indices` of each array; see Source."""
        if out is None:
            return tuple(array.take(indices, axis=0) for array in self._arrays.values())
        for name, into in out.items():
            self._arrays[name].take(indices, axis=0, out=into, mode="clip")  # "raise" would go through a buffer
        return tuple(out.values())

    def place(self, index: int) -> str:
        """The sample's number, and where it lies."""
        return f"sample {index} of {self._where}"


def in_order(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays as tops want them: `data`, `label`, then the rest in their own order."""
    first = [name for name in ("data", "label") if name in arrays]
    return {name: arrays[name] for name in [*first, *(name for name in arrays if name not in first)]}


def check_headers(where: str, arrays: Mapping[str, Any]) -> None:
    """Raise DataError unless these (arrays, or their headers) are numeric and hold equally many samples, not 0."""
    if not arrays:
        raise DataError(f"{where} holds no arrays")
    lengths = {}
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise DataError(f"{where}: {name!r} holds values of type {array.dtype}, but a net takes real numbers")
        if not array.shape:
            raise DataError(f"{where}: {name!r} is a single number, but its first axis must count samples")
        lengths[name] = array.shape[0]
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise DataError(f"{where}: the arrays must have the same number of samples, but have: {listed}")
    for name, array in arrays.items():
        if 0 in array.shape:
            raise DataError(f"{where}: {name!r} of shape {shape_text(array.shape)} holds nothing")


def check(where: str, arrays: Mapping[str, Array], class_names: Sequence[str]) -> None:
    """`check_headers`, and raise DataError at the first value that is not finite or label that names no class."""
    check_headers(where, arrays)
    for name, array in arrays.items():
        if array.dtype.kind == "f":
            _check_finite(where, name, array)
    labels = arrays.get("label")
    if class_names and labels is not None:
        wrong = (labels < 0) | (labels >= len(class_names))
        if wrong.any():
            index = tuple(map(int, np.argwhere(wrong)[0]))
            raise DataError(
                f"{where}: label {labels[index]} of sample {index[0]} does not lie within 0 to {len(class_names) - 1}"
            )


def check_label(label: int, class_names: Sequence[str], where: str) -> None:
    """Raise DataError, which begins with `where`, for a label that names no class, where classes have names."""
    if class_names and not 0 <= label < len(class_names):
        raise DataError(f"{where} has the label {label}, which does not lie within 0 to {len(class_names) - 1}")


def _check_finite(where: str, name: str, array: Array) -> None:
    rows = max(1, _BLOCK * len(array) // array.size)
    for start in range(0, len(array), rows):
        bad = ~np.isfinite(array[start : start + rows])
        if bad.any():
            index = tuple(map(int, np.argwhere(bad)[0]))
            value = array[start : start + rows][index]
            raise DataError(f"{where}: {name!r} holds {value} in sample {start + index[0]}; every value must be finite")
