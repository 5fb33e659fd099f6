"""Samples of HDF5 files."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from layerkit.datasets.files import hdf5
from layerkit.datasets.files.lists import Listed, lines, read_files
from layerkit.datasets.files.named import Named
from layerkit.datasets.source import Header, Source
from layerkit.errors import DataError

_SUFFIXES = (".h5", ".hdf5", ".hdf")


class Hdf5(Named):
    """Datasets of an HDF5 file, or of those that a text file lists.

    Samples lie along the first axis. An epoch that shuffles takes files in another order, and the samples of each.
    """

    parts: ClassVar[tuple[str, ...]] = ()
    suffixes: ClassVar[tuple[str, ...]] = _SUFFIXES

    type: Literal["hdf5"] = "hdf5"
    datasets: dict[str, str] = Field(
        {},
        description="The arrays, each with its dataset, as {data: train/x, label: train/y}; by default all that do not "
        "lie in a group, by their own names: data, label, then the rest.",
    )

    @classmethod
    def knows(cls, path: Path) -> bool:
        """By its name, or as a text file whose first line is the name of such a file."""
        if path.suffix.lower() != ".txt":
            return super().knows(path)
        try:
            return next(lines(str(path)), ("", ""))[0].lower().endswith(_SUFFIXES)
        except DataError:
            return False

    def describe(self, source: str | None, part: str) -> Header:
        """Names, shapes and length, from the headers of all files."""
        opened = self.open(source, part)
        opened.close()
        return opened.header

    def open(self, source: str | None, part: str) -> Source:
        """The samples; of large files nothing is read yet."""
        path = self.path(source, "the path of an HDF5 file, or of a text file with the path of one a line")
        listed = read_files(path) if path.lower().endswith(".txt") else [Listed(path, 0, "")]
        return hdf5.Files(listed, self.datasets, self.names())
