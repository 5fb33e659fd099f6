"""LMDB databases of Datums, as Caffe's convert_imageset and its like write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from layerkit.blob import Array, shape_text
from layerkit.datasets.files import class_names, datum, decode
from layerkit.datasets.files.images import TRIES
from layerkit.datasets.files.lmdb_file import FILE, Values
from layerkit.datasets.files.named import Named
from layerkit.datasets.source import Header, Source, check_label
from layerkit.errors import DataError

_SLACK = 20  # bytes by which Datums of one shape differ, for their labels are of 1 to 10


class Lmdb(Named):
    """Samples of an LMDB database, as Caffe's Data layer reads them.

    They come in the order of their keys. Colour images are stored blue, green, red, and encoded ones are put in that
    order by Caffe. A net gets them so unless the layer's `channel_order` is RGB. Data that are stored as floats stay
    as they are. Where no names of the classes are given, a file `class_names.txt` in the folder has them, one a line.
    """

    parts: ClassVar[tuple[str, ...]] = ()
    suffixes: ClassVar[tuple[str, ...]] = (".mdb", ".lmdb", "_lmdb")

    type: Literal["lmdb"] = "lmdb"
    color: bool | None = Field(
        None,
        description="Whether encoded images are read in colour, three channels, or else in grey, one; by default as "
        "the first one is.",
    )

    @classmethod
    def knows(cls, path: Path) -> bool:
        """By its name, or as a folder that has a database's file."""
        return super().knows(path) or (path / FILE).is_file()

    def describe(self, source: str | None, part: str) -> Header:
        """What the first sample is, and how many there are."""
        opened = self.open(source, part)
        opened.close()
        return opened.header

    def open(self, source: str | None, part: str) -> Source:
        """The samples, which stay in the file."""
        path = self.path(source, "the folder of an LMDB database")
        return Datums(path, self.color, self.names() or class_names.beside(path))


class Datums(Source):
    """A database of Datums: `data`, (C, H, W), bytes or float32, and `label`.

    Colour images of bytes come in red, green, blue, as from any source. Samples are taken to be of one shape if they
    are of nearly one length and not encoded. Raises DataError for what is no such database.
    """

    def __init__(self, path: str, color: bool | None = None, class_names: Sequence[str] = ()):
        self._path = path
        self._color = color
        self._class_names = class_names
        self._values = Values(path)
        self._alike: datum.Alike | None = None
        try:
            self.header = self._header()
        except BaseException:
            self.close()
            raise

    def sample(self, index: int) -> Mapping[str, Array]:
        """A Datum's image and label. Raises DataError, naming the sample, if it is broken or unlike the first."""
        where = self.place(index)
        value = self._values[index]
        found = self._alike.read(value) if self._alike is not None else None
        if found is None:
            found = datum.parse(value, where)
        check_label(found.label, self._class_names, where)
        if found.pixels is not None:
            data = datum.turned(found.pixels)
        else:
            assert found.encoded is not None
            data = decode.decode(found.encoded, where, self._color)
        header = self.header
        if data.dtype != header.dtypes["data"]:
            raise DataError(f"{where} is of type {data.dtype}, not {header.dtypes['data']} as the first")
        if not header.varies and data.shape != header.shapes["data"]:
            raise DataError(
                f"{where} is {shape_text(data.shape)}, not {shape_text(header.shapes['data'])} as the first"
            )
        if data.dtype.kind == "f" and not np.isfinite(data).all():
            raise DataError(f"{where} holds a value that is not finite")
        return {"data": data, "label": np.asarray(found.label)}

    def place(self, index: int) -> str:
        """The sample's number and the database."""
        return f"sample {index} of {self._path!r}"

    def close(self) -> None:
        """Let go of the file."""
        self._values.close()

    def _header(self) -> Header:
        """That of the first sample that can be read."""
        first: DataError | None = None
        for index in range(min(TRIES, len(self._values))):
            try:
                found = datum.parse(self._values[index], self.place(index))
                if found.pixels is not None:
                    shape, dtype = found.pixels.shape, found.pixels.dtype
                else:
                    assert found.encoded is not None
                    shape, dtype = decode.shape(found.encoded, self.place(index), self._color), np.dtype(np.uint8)
                break
            except DataError as error:
                first = first or error
        else:
            assert first is not None
            raise first
        if dtype == np.uint8 and found.pixels is not None:
            self._alike = datum.Alike(shape)
        if self._color is None and found.encoded is not None:
            self._color = shape[0] == 3
        return Header(
            {"data": shape, "label": ()},
            {"data": dtype, "label": np.dtype(np.int64)},
            len(self._values),
            tuple(self._class_names),
            varies=found.encoded is not None or self._values.spread() > _SLACK,
            channel_order="BGR" if shape[0] == 3 and dtype == np.uint8 else "RGB",
        )
