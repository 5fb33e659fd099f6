"""Samples from an .npz file that someone wrote with `np.savez(path, data=x, label=y)`.

Arrays are offered as `data`, `label`, then the rest in the file's order; each has N samples along its first axis.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from layerkit import arrayfile
from layerkit.datasets.dataset import Dataset
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
            arrays = in_order(arrayfile.header(path))
        except SnapshotError as error:
            raise DataError(str(error)) from None
        check_headers(repr(path), arrays)
        return Header.of(arrays)

    def open(self, source: str | None, part: str) -> Source:
        """The file's samples, all read into memory."""
        path = self.path(source, "the path of an .npz file")
        try:
            arrays, _ = arrayfile.load(path)
        except SnapshotError as error:
            raise DataError(str(error)) from None
        return ArraySource(repr(path), in_order(arrays))
