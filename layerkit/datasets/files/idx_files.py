"""`idx`: samples in IDX files, MNIST's format: any type, any number of axes, gzipped or not.

`data` has N samples along its first axis. Three axes are those of grey images, (N, H, W), which get the axis of
channels that nets want: sample shape (1, H, W). Everything is read into memory.

Source: see layerkit/datasets/files/idx.py.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape
from layerkit.datasets.dataset import Dataset
from layerkit.datasets.files import idx
from layerkit.datasets.source import ArraySource, Header, Source, check_headers


class Idx(Dataset):
    """The array of an IDX file. The source is its path."""

    parts: ClassVar[tuple[str, ...]] = ()
    suffixes: ClassVar[tuple[str, ...]] = (".idx", ".idx.gz", "-ubyte", "-ubyte.gz")

    type: Literal["idx"] = "idx"
    label: str | None = Field(None, description="Path of an IDX file of the labels.")
    class_names: list[str] = Field([], description="Names of the classes, by label.")

    def describe(self, source: str | None, part: str) -> Header:
        """Shapes and length, from the files' headers. Raises DataError for files that are missing or broken."""
        found = {name: idx.header(path) for name, path in self._paths(source).items()}
        arrays = {name: idx.IdxHeader(_with_channels(name, each.shape), each.dtype) for name, each in found.items()}
        check_headers(repr(source), arrays)
        return Header.of(arrays, self.class_names)

    def open(self, source: str | None, part: str) -> Source:
        """The samples. Raises DataError for files that are missing or broken."""
        arrays: dict[str, Array] = {name: idx.read(path) for name, path in self._paths(source).items()}
        shaped = {name: np.reshape(array, _with_channels(name, array.shape)) for name, array in arrays.items()}
        return ArraySource(repr(source), shaped, self.class_names)

    def _paths(self, source: str | None) -> dict[str, str]:
        paths = {"data": self.path(source, "the path of an IDX file")}
        return paths if self.label is None else paths | {"label": self.label}


def _with_channels(name: str, shape: Shape) -> Shape:
    return (shape[0], 1, *shape[1:]) if name == "data" and len(shape) == 3 else shape
