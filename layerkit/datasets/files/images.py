"""Image files as samples."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.datasets.files import decode
from layerkit.datasets.files.lists import Listed, absent, expect_files, expect_inside
from layerkit.datasets.picture import Picture
from layerkit.datasets.source import Header, Source, check_label
from layerkit.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".jp2")
"""Endings, in small letters, of the files that are taken for images."""

TRIES = 10
"""Samples that are looked at to learn a shape: the first ones may be broken, and on_error: skip."""


class ImageFiles(Source):
    """Images of files, with their labels.

    `data` is (3, H, W) in red, green, blue or (1, H, W), bytes. Images may differ in size, and the header tells that of
    the first one that can be read. With `min_side` JPEGs are decoded smaller, see `decode`. With `root` no file may lie
    outside of that folder, links included.

    Raises DataError, naming the line of the list, for a label that names no class, or where no image can be read.
    """

    def __init__(
        self,
        listed: Sequence[Listed],
        color: bool = True,
        *,
        min_side: int = 0,
        class_names: Sequence[str] = (),
        root: str | None = None,
    ):
        decode.expect_pillow()
        for each in listed:
            check_label(each.label, class_names, f"{each.place}: {each.path!r}")
        self._listed = listed
        self._color = color
        self._min_side = min_side
        self._root = root
        self.header = header(first_shape(listed, color, min_side, root), len(listed), class_names)

    def sample(self, index: int) -> Mapping[str, Array]:
        """An image and its label. Raises DataError, naming the line of the list, where it cannot be read."""
        data, label = self._read(index)
        return {"data": data.pixels(), "label": label}

    def shape_of(self, index: int) -> Shape:
        """An image's shape, by its header."""
        listed = self._listed[index]
        if self._root is not None:
            expect_inside(listed, self._root)
        return (3 if self._color else 1, *size_of(listed, self._min_side))

    def as_read(self, index: int) -> Mapping[str, Array | Picture]:
        """An image that is no array yet, and its label."""
        data, label = self._read(index)
        return {"data": data, "label": label}

    def _read(self, index: int) -> tuple[Picture, Array]:
        listed = self._listed[index]
        if self._root is not None:
            expect_inside(listed, self._root)
        return read(listed, self._color, min_side=self._min_side), np.asarray(listed.label)

    def verify(self) -> None:
        """Raise DataError, naming the first three, where files are missing."""
        expect_files(self._listed)

    def place(self, index: int) -> str:
        """The line of the list, and the file."""
        return f"{self._listed[index].place}, {self._listed[index].path!r}"

    def labels(self) -> Array:
        """The labels of the list."""
        return np.array([listed.label for listed in self._listed])


def header(shape: Shape, length: int | None, class_names: Sequence[str]) -> Header:
    """The header of images, the first of which has this shape, and labels."""
    dtypes: dict[str, np.dtype[Any]] = {"data": np.dtype(np.uint8), "label": np.dtype(np.int64)}
    return Header({"data": shape, "label": ()}, dtypes, length, tuple(class_names), varies=True)


def first_shape(listed: Iterable[Listed], color: bool = True, min_side: int = 0, root: str | None = None) -> Shape:
    """Shape of the first image that can be read. Raises DataError if none of the first few can."""
    first: DataError | None = None
    for each in itertools.islice(listed, TRIES):
        try:
            if root is not None:
                expect_inside(each, root)
            return (3 if color else 1, *size_of(each, min_side))
        except DataError as error:
            first = first or error
    raise first or DataError("there are no images")


def size_of(listed: Listed, min_side: int = 0) -> tuple[int, int]:
    """Height and width, from the file's header. Raises DataError, naming the line of the list."""
    with _named(listed) as where:
        return decode.shape(listed.path, where, min_side=min_side)[1:]


def read(listed: Listed, color: bool = True, content: bytes | None = None, min_side: int = 0) -> Picture:
    """An image in red, green and blue or in grey; from `content` if the file was read.

    Raises DataError, naming the line of the list, for a file that is missing, broken or has more than 8 bits a value.
    """
    with _named(listed) as where:
        return decode.picture(listed.path if content is None else content, where, color, min_side)


def read_bytes(listed: Listed) -> bytes:
    """The file as it is, to be decoded later. Raises DataError."""
    try:
        with _named(listed), open(listed.path, "rb") as file:
            return file.read()
    except OSError as error:
        raise DataError(f"{listed.place}: {listed.path!r} cannot be read: {error.strerror or error}") from error


@contextmanager
def _named(listed: Listed) -> Iterator[str]:
    """How messages name the file; says so where it is missing."""
    try:
        yield f"{listed.place}: {listed.path!r}"
    except FileNotFoundError:
        raise DataError(absent(listed)) from None
