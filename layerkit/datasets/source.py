"""Source: what every dataset offers, and the one that holds its arrays in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import DataError

Part = Literal["train", "test"]

_BLOCK = 1 << 22  # elements looked at in one go, so that a check takes no memory to speak of


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

    @classmethod
    def of(cls, arrays: Mapping[str, Any], class_names: Iterable[str] = ()) -> Header:
        """The header of arrays (or of anything with `shape` and `dtype`) that share their first axis."""
        return cls(
            {name: tuple(array.shape[1:]) for name, array in arrays.items()},
            {name: array.dtype for name, array in arrays.items()},
            min((array.shape[0] for array in arrays.values()), default=0),
            tuple(class_names),
        )


class Source(Protocol):
    """An opened dataset: samples by index. A source is read by one layer and has no position of its own."""

    @property
    def header(self) -> Header:
        """Names, shapes and types of its arrays, and class names."""
        ...

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def read(self, indices: Array, out: Mapping[str, Array] | None = None) -> tuple[Array, ...]:
        """Samples `indices` (int64, (k,)) of each array, (k, *sample shape), in the order of `header.shapes`.

        `out` names the arrays to read and gives C-contiguous ones of the header's shapes and types to write into, which
        are then returned in its order. Raises DataError where a file cannot be read.
        """
        ...


class ArraySource:
    """A source over arrays in memory, (N, *sample shape) each; they are not copied.

    Raises DataError, naming the array and the index, unless all hold the same number of finite numbers and labels lie
    within the class names.
    """

    def __init__(self, where: str, arrays: Mapping[str, Array], class_names: Iterable[str] = ()):
        names = tuple(class_names)
        check(where, arrays, names)
        self._arrays = dict(arrays)
        self.header = Header.of(arrays, names)

    def __len__(self) -> int:
        return self.header.length or 0

    def read(self, indices: Array, out: Mapping[str, Array] | None = None) -> tuple[Array, ...]:
        """Samples `indices` of each array; see Source."""
        if out is None:
            return tuple(array.take(indices, axis=0) for array in self._arrays.values())
        for name, into in out.items():
            self._arrays[name].take(indices, axis=0, out=into, mode="clip")  # "raise" would go through a buffer
        return tuple(out.values())


def refuse_source(dataset: str, source: str | None) -> None:
    """Raise DataError if a set that comes with layerkit is given a path."""
    if source is not None:
        raise DataError(f"the dataset {dataset!r} is bundled and takes no source, but is given {source!r}")


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


def _check_finite(where: str, name: str, array: Array) -> None:
    rows = max(1, _BLOCK * len(array) // array.size)
    for start in range(0, len(array), rows):
        bad = ~np.isfinite(array[start : start + rows])
        if bad.any():
            index = tuple(map(int, np.argwhere(bad)[0]))
            value = array[start : start + rows][index]
            raise DataError(f"{where}: {name!r} holds {value} in sample {start + index[0]}; every value must be finite")
