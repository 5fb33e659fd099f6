"""`cifar_binary`: samples in the layout of CIFAR's binary files, of any size.

A file is nothing but records: a byte for each label, then a byte for each pixel, red, green and blue, each row by row.
`labels` names the bytes in front, as CIFAR-100 has two: [coarse_label, label]. Everything is read into memory.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009; the format is described on the
sets' page.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveInt, field_validator

from layerkit.blob import Array
from layerkit.datasets.dataset import Dataset
from layerkit.datasets.source import ArraySource, Header, Source, in_order
from layerkit.errors import DataError


class CifarBinary(Dataset):
    """Records of labels and pixels, in a file or in a folder of them.

    Files of a folder are read in the order of their names.
    """

    parts: ClassVar[tuple[str, ...]] = ()

    type: Literal["cifar_binary"] = "cifar_binary"
    shape: list[PositiveInt] = Field(
        [3, 32, 32], min_length=3, max_length=3, description="Channels, height and width of an image."
    )
    labels: list[str] = Field(["label"], min_length=1, description="Names of the bytes in front of each image.")
    class_names: list[str] = Field([], description="Names of the classes, by `label`.")

    @field_validator("labels")
    @classmethod
    def _different(cls, labels: list[str]) -> list[str]:
        if len({*labels, "data"}) <= len(labels):
            raise ValueError("must be different names, and none of them data")
        return labels

    def describe(self, source: str | None, part: str) -> Header:
        """Shapes as said, and the length by the files' sizes. Raises DataError for files that are missing or broken."""
        length = sum(self._length(path, os.path.getsize(path)) for path in self._paths(source))
        shapes = in_order({"data": tuple(self.shape)} | dict.fromkeys(self.labels, ()))
        return Header(shapes, dict.fromkeys(shapes, np.dtype(np.uint8)), length, tuple(self.class_names))

    def open(self, source: str | None, part: str) -> Source:
        """The samples. Raises DataError for files that are missing or broken."""
        records = np.concatenate([self._read(path) for path in self._paths(source)])
        count = len(self.labels)
        arrays = {"data": records[:, count:].reshape(-1, *self.shape)}
        arrays |= {name: records[:, i] for i, name in enumerate(self.labels)}
        return ArraySource(repr(source), in_order(arrays), self.class_names)

    def _paths(self, source: str | None) -> list[Path]:
        path = Path(self.path(source, "a file or a folder of .bin files"))
        if path.is_file():
            return [path]
        if not path.is_dir():
            raise DataError(f"there is no file or folder {source!r}")
        found = sorted(each for each in path.glob("*.bin") if each.is_file())
        if not found:
            raise DataError(f"the folder {source!r} holds no .bin files")
        return found

    def _read(self, path: Path) -> Array:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"'{path}' cannot be read: {error.strerror or error}") from None
        return np.frombuffer(content, np.uint8).reshape(self._length(path, len(content)), -1)

    def _length(self, path: Path, size: int) -> int:
        record = len(self.labels) + math.prod(self.shape)
        if size == 0 or size % record:
            raise DataError(
                f"'{path}' is no file of such images: {size:,} bytes are no whole samples of {record:,} bytes"
            )
        return size // record
