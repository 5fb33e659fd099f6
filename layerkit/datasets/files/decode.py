"""Image files as pixels and back. Needs Pillow, whose decoders are kept to formats that are data and nothing else.

An image is turned as its EXIF orientation says, as OpenCV does (and Caffe, where it is built with OpenCV 3.1 or newer).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from layerkit.blob import Array, shape_text
from layerkit.datasets.optional import need
from layerkit.datasets.picture import Picture
from layerkit.errors import DataError

MOST_PIXELS = 89_478_485
"""Pixels that an image may declare; Pillow's own limit, a quarter of a gigabyte of colours."""

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000")
"""What is read. Pillow knows more, some of which call other programs (EPS does)."""

Encoding = Literal["jpeg", "png"]
"""What is written."""

Content = str | bytes | memoryview
"""The path of an image file, or what is in it."""

_ORIENTATION = 0x0112  # EXIF's tag
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""What brings an image of an EXIF orientation into the right one, in Pillow's words."""


def expect_pillow() -> Any:
    """Pillow's module of images. Raises DataError, with how to install it."""
    return need("PIL.Image", "pillow", "reading images")


def decode(content: Content, where: str, color: bool | None = True, min_side: int = 0) -> Array:
    """Pixels of 0..255, uint8, (3, H, W) in red, green, blue or (1, H, W), the right way up; see `picture`."""
    return picture(content, where, color, min_side).pixels()


def picture(content: Content, where: str, color: bool | None = True, min_side: int = 0) -> Picture:
    """The image of a file, in red, green and blue or in grey, the right way up.

    `color` None keeps grey images grey. With `min_side` a JPEG is decoded at a half, a quarter or an eighth of its
    size, the smallest of which both sides are that long, which is quicker. Raises DataError, which begins with `where`,
    for a file that is broken, too large or has more than 8 bits a value; FileNotFoundError where there is none.
    """
    with _opened(content, where, min_side) as image:
        if image.mode.startswith(("I", "F")):
            raise DataError(f"{where} has pixels that are not of 8 bits (mode {image.mode})")
        mode = "RGB" if (_in_color(image) if color is None else color) else "L"
        if "transparency" in image.info:
            image = image.convert("RGBA")  # without this step Pillow would warn of what is lost
        turn = _orientation(image.info.get("exif"))
        image.load()  # a mode that it has already is given by the same object, not read yet
        image = image if image.mode == mode else image.convert(mode)
        if turn != 1:
            image = image.transpose(expect_pillow().Transpose[_TURNS[turn]])
    return Picture(image)


def shape(content: Content, where: str, color: bool | None = True, min_side: int = 0) -> tuple[int, int, int]:
    """Channels, height and width of what `decode` gives, from the file's header. Raises as `decode` does."""
    with _opened(content, where, min_side) as image:
        channels = 3 if (_in_color(image) if color is None else color) else 1
        if _orientation(image.info.get("exif")) >= 5:
            return channels, image.width, image.height
        return channels, image.height, image.width


def encode(pixels: Array, kind: Encoding, where: str) -> bytes:
    """An image file of pixels uint8, (3, H, W) in red, green, blue or (1, H, W). Raises DataError for others."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[0] not in (1, 3):
        what = f"{shape_text(pixels.shape)} of type {pixels.dtype}"
        raise DataError(f"{where} is {what}, but an image file holds bytes of 1 or 3 channels x height x width")
    flat = pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
    file = io.BytesIO()
    expect_pillow().fromarray(flat).save(file, kind, **({"quality": 95} if kind == "jpeg" else {}))
    return file.getvalue()


@contextmanager
def _opened(content: Content, where: str, min_side: int) -> Iterator[Any]:
    """Pillow's image, of which only the header was read."""
    pillow = expect_pillow()
    file = content if isinstance(content, str) else io.BytesIO(content)
    try:
        with pillow.open(file, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise pillow.DecompressionBombError
            if min_side:
                image.draft(None, (min_side, min_side))
            yield image
    except (DataError, FileNotFoundError):
        raise
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning):
        raise DataError(f"{where} is refused: it declares more than {MOST_PIXELS / 1e6:.0f} million pixels") from None
    except Exception as error:  # of a broken file Pillow's decoders raise whatever they stumble over
        raise DataError(f"{where} is no image that can be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if type(error).__name__ == "UnidentifiedImageError":  # its message names an object in memory
        return f"it is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
    return " ".join(str(error).split())[:200] or type(error).__name__


def _in_color(image: Any) -> bool:
    return image.mode not in ("1", "L", "LA", "La")


def _orientation(exif: bytes | None) -> int:
    """How an image is to be turned, 1 to 8, 1 being as it is; 1 for EXIF data that is broken or says nothing of it.

    Source: the TIFF 6.0 and EXIF 2.3 specifications: a header that says where a table lies, of 12 bytes an entry.
    """
    tiff = (exif or b"").removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, at)
            if (tag, kind) == (_ORIENTATION, 3):
                return value if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1
