"""Samples from an .npy file that someone wrote with `np.save(path, x)`, and their labels from another one.

`data` has N samples along its first axis, `label`, where there is one, a number for each. The files are memory-mapped,
so they may be larger than the memory; nothing in them is ever unpickled. Values that are not finite are found when the
files are opened, and in files of more than 64 MB when a batch has them.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from layerkit import arrayfile
from layerkit.blob import Array
from layerkit.datasets.dataset import Dataset
from layerkit.datasets.files.mapped import MappedSource
from layerkit.datasets.source import Header, Source, check_headers
from layerkit.errors import DataError, SnapshotError


class Npy(Dataset):
    """The array of an .npy file. The source is its path."""

    parts: ClassVar[tuple[str, ...]] = ()
    suffixes: ClassVar[tuple[str, ...]] = (".npy",)

    type: Literal["npy"] = "npy"
    label: str | None = Field(None, description="Path of an .npy file of the labels.")

    def describe(self, source: str | None, part: str) -> Header:
        """Shapes and length, from the files' headers."""
        arrays = self._arrays(source)
        check_headers(repr(source), arrays)
        return Header.of(arrays)

    def open(self, source: str | None, part: str) -> Source:
        """The file's samples."""
        return MappedSource(repr(source), self._arrays(source))

    def _arrays(self, source: str | None) -> dict[str, Array]:
        paths = {"data": self.path(source, "the path of an .npy file")} | ({"label": self.label} if self.label else {})
        for path in paths.values():
            if not path.lower().endswith(".npy"):
                raise DataError(f"{path!r} is no .npy file, by its name")
        try:
            return {name: arrayfile.mapped(path)["data"] for name, path in paths.items()}
        except SnapshotError as error:
            raise DataError(str(error)) from None
