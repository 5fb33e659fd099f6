"""Samples from an .npz file that someone wrote with `np.savez(path, data=x, label=y)`.

Arrays are offered as `data`, `label`, then the rest in the file's order; each has N samples along its first axis. A
file of more than 64 MB whose arrays are not compressed (`np.savez`) is memory-mapped: it may be larger than the memory,
and values that are not finite are found when a batch has them. Smaller and compressed ones are read when opened.
An array `class_names` of texts holds the names of the classes, in the order of their labels.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import ClassVar, Literal

from layerkit import arrayfile
from layerkit.blob import Array
from layerkit.datasets.dataset import Dataset
from layerkit.datasets.files.class_names import KEY, are_names, without_names
from layerkit.datasets.files.mapped import LARGE, MappedSource
from layerkit.datasets.source import ArraySource, Header, Source, check_headers, in_order
from layerkit.errors import DataError, SnapshotError


class Npz(Dataset):
    """Arrays of an .npz file."""

    parts: ClassVar[tuple[str, ...]] = ()
    suffixes: ClassVar[tuple[str, ...]] = (".npz",)

    type: Literal["npz"] = "npz"

    def describe(self, source: str | None, part: str) -> Header:
        """Names, shapes and length, from the file's headers."""
        path = self.path(source, "the path of an .npz file")
        try:
            arrays = arrayfile.header(path)
            names = _names(arrayfile.load(path, KEY)[0]) if KEY in arrays else ()
        except SnapshotError as error:
            raise DataError(str(error)) from None
        samples = in_order(without_names(arrays))
        check_headers(repr(path), samples)
        return Header.of(samples, names)

    def open(self, source: str | None, part: str) -> Source:
        """The file's samples."""
        path = self.path(source, "the path of an .npz file")
        try:
            if os.path.isfile(path) and os.path.getsize(path) > LARGE:
                arrays = arrayfile.mapped(path)
                return MappedSource(repr(path), in_order(without_names(arrays)), _names(arrays))
            arrays, _ = arrayfile.load(path)
        except SnapshotError as error:
            raise DataError(str(error)) from None
        return ArraySource(repr(path), in_order(without_names(arrays)), _names(arrays))


def _names(arrays: Mapping[str, Array]) -> tuple[str, ...]:
    """The names of the classes among a file's arrays, if they are there."""
    found = arrays.get(KEY)
    return tuple(map(str, found)) if found is not None and are_names(found) else ()
