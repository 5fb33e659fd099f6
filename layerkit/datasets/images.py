"""Image files: their size and their pixels. Needs Pillow."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from layerkit.blob import Array
from layerkit.datasets.lists import Listed, expect_files
from layerkit.datasets.optional import need
from layerkit.datasets.source import Header, Source
from layerkit.errors import DataError


def expect_pillow() -> Any:
    """Pillow's module of images. Raises DataError, with how to install it."""
    return need("PIL.Image", "pillow", "reading images")


class ImageFiles(Source):
    """Images of files that a list names, with their labels.

    `data` is (3, H, W) in red, green, blue or (1, H, W), bytes. Images may differ in size, and the header tells the
    first one's. Raises DataError, naming the line of the list, for a file that is not there.
    """

    def __init__(self, listed: list[Listed], color: bool = True):
        expect_pillow()
        expect_files(listed)
        self._listed = listed
        self._color = color
        shape = (3 if color else 1, *size_of(listed[0]))
        self.header = Header(
            {"data": shape, "label": ()},
            {"data": np.dtype(np.uint8), "label": np.dtype(np.int64)},
            len(listed),
            varies=True,
        )

    def sample(self, index: int) -> Mapping[str, Array]:
        """An image and its label. Raises DataError, naming the line of the list, where it cannot be read."""
        listed = self._listed[index]
        return {"data": read(listed, self._color), "label": np.asarray(listed.label)}

    def place(self, index: int) -> str:
        """The line of the list, and the file."""
        return f"{self._listed[index].place}, {self._listed[index].path!r}"

    def labels(self) -> Array:
        """The labels of the list."""
        return np.array([listed.label for listed in self._listed])


def size_of(listed: Listed) -> tuple[int, int]:
    """Height and width, from the file's header. Raises DataError, naming the line of the list."""
    with _opened(listed, None) as image:
        return image.height, image.width


def read(listed: Listed, color: bool = True, content: bytes | None = None) -> Array:
    """Pixels of 0..255, uint8, (3, H, W) in red, green, blue or (1, H, W); from `content` if the file was read.

    Raises DataError, naming the line of the list, for a file that is missing, broken or has more than 8 bits a value.
    """
    with _opened(listed, content) as image:
        if image.mode.startswith(("I", "F")):
            raise DataError(f"{listed.place}: the pixels of {listed.path!r} are not of 8 bits (mode {image.mode})")
        if "transparency" in image.info:
            image = image.convert("RGBA")  # without this step Pillow would warn of what is lost
        pixels = np.asarray(image.convert("RGB" if color else "L"))  # (H, W, 3) or (H, W)
    planes: Array = np.atleast_3d(pixels).transpose(2, 0, 1)
    return planes


def read_bytes(listed: Listed) -> bytes:
    """The file as it is, to be decoded later. Raises DataError."""
    try:
        with open(listed.path, "rb") as file:
            return file.read()
    except OSError as error:
        raise _broken(listed, error) from error


@contextmanager
def _opened(listed: Listed, content: bytes | None) -> Iterator[Any]:
    pillow = expect_pillow()
    try:
        with pillow.open(listed.path if content is None else io.BytesIO(content)) as image:
            yield image
    except DataError:
        raise
    except Exception as error:  # of a broken file Pillow's decoders raise whatever they stumble over
        raise _broken(listed, error) from error


def _broken(listed: Listed, error: Exception) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{listed.place}: there is no file {listed.path!r}")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return DataError(f"{listed.place}: {listed.path!r} is no image that can be read: {reason}")
