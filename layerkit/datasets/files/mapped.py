"""MappedSource: samples in arrays that lie in files and are read from there as they are needed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from layerkit.blob import Array
from layerkit.datasets.source import Header, Source, check, check_headers
from layerkit.errors import DataError

LARGE = 1 << 26
"""Bytes beyond which arrays are not looked through when they are opened."""


class MappedSource(Source):
    """A source over memory-mapped arrays, (N, *sample shape) each.

    Where they hold more than LARGE bytes together, values that are not finite are found only when a batch has them.
    Labels are looked through where classes have names. Raises DataError, naming the array and the index.
    """

    def __init__(self, where: str, arrays: Mapping[str, Array], class_names: Sequence[str] = ()):
        self._where = where
        if sum(array.nbytes for array in arrays.values()) <= LARGE:
            check(where, arrays, class_names)
        elif class_names and "label" in arrays:
            check(where, {"label": arrays["label"]}, class_names)
        check_headers(where, arrays)
        self.header = Header.of(arrays, class_names)
        # Samples are copied as bytes: a file may hold numbers where the processor cannot read them as such, and NumPy
        # would copy the whole array first. One whose first axis varies fastest has no samples in a row: it is read.
        self._rows = {name: _as_bytes(np.ascontiguousarray(array)) for name, array in arrays.items()}

    def read(self, indices: Array, out: Mapping[str, Array] | None = None) -> tuple[Array, ...]:
        """Samples `indices` of each array; see Source. Raises DataError for a value that is not finite."""
        if out is None:
            header = self.header
            shapes = {name: (len(indices), *shape) for name, shape in header.shapes.items()}
            out = {name: np.empty(shape, header.dtypes[name]) for name, shape in shapes.items()}
        for name, into in out.items():
            self._rows[name].take(indices, axis=0, out=_as_bytes(into), mode="clip")  # "raise" would use a buffer
            if into.dtype.kind == "f" and not np.isfinite(into).all():
                index = tuple(map(int, np.argwhere(~np.isfinite(into))[0]))
                what = f"{name!r} holds {into[index]} in sample {indices[index[0]]}"
                raise DataError(f"{self._where}: {what}; every value must be finite")
        return tuple(out.values())

    def place(self, index: int) -> str:
        """The sample's number in its file."""
        return f"sample {index} of {self._where}"

    def close(self) -> None:
        """Let go of the files."""
        self._rows = {}


def _as_bytes(array: Array) -> Array:
    """A view of an array, a row of bytes for each sample."""
    flat = np.asarray(array).reshape(len(array), math.prod(array.shape[1:]), copy=False)
    return flat.view(np.uint8)
