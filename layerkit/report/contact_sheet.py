"""A contact sheet: samples of a dataset side by side in one picture, a row a class. Needs Pillow."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from layerkit.blob import Array, shape_text
from layerkit.datasets.files.decode import expect_pillow
from layerkit.datasets.optional import need
from layerkit.datasets.source import Source
from layerkit.datasets.transforms.base import channels_hint
from layerkit.errors import DataError

ROWS = 20
"""Rows at most; of more classes some are shown, evenly spread."""
COLUMNS = 10
CELL = 96
"""Pixels of a cell's side at most; smaller images are shown whole-number times as large as fits into SMALL."""
SMALL = 64
GAP = 4
MARGIN = 8
_PAPER, _INK, _EMPTY = 255, 40, 224


class _Row(NamedTuple):
    title: str
    indices: list[int]


def contact_sheet(source: Source) -> Any:
    """A picture (Pillow's Image) of some samples; those of a class lie in a row, evenly spread over the class.

    Values are shown as grey or colours; unless they are bytes that use their range, the smallest one on the sheet is
    black and the greatest white. A sample that cannot be read is an empty cell. Raises DataError for samples that are
    no images of 1 or 3 channels.
    """
    name, shape = next(iter(source.header.shapes.items()))
    if len(shape) != 3 or shape[0] not in (1, 3):
        what = f"{shape_text(shape)}{channels_hint(shape)}"
        raise DataError(f"only images of 1 or 3 channels make a contact sheet, and the samples are {what}")
    rows = _rows(source)
    shown = {index: _sample(source, name, index) for row in rows for index in row.indices}
    found = [image for image in shown.values() if image is not None]
    low, high = _range(found)
    side = max((max(image.shape[1:]) for image in found), default=SMALL)
    cell = min(CELL, side * max(1, SMALL // side))
    font = need("PIL.ImageFont", "pillow", "drawing").load_default(12)
    title_width = max(int(font.getlength(row.title)) for row in rows)
    left = MARGIN + (title_width + MARGIN if title_width else 0)
    most = max(len(row.indices) for row in rows)
    size = left + most * (cell + GAP) - GAP + MARGIN, 2 * MARGIN + len(rows) * (cell + GAP) - GAP
    sheet = expect_pillow().new("RGB", size, (_PAPER,) * 3)
    draw = need("PIL.ImageDraw", "pillow", "drawing").Draw(sheet)
    for i, row in enumerate(rows):
        top = MARGIN + i * (cell + GAP)
        draw.text((MARGIN, top + cell // 2), row.title, fill=(_INK,) * 3, font=font, anchor="lm")
        for j, index in enumerate(row.indices):
            at = left + j * (cell + GAP), top
            image = shown[index]
            if image is None:
                draw.rectangle((*at, at[0] + cell - 1, at[1] + cell - 1), fill=(_EMPTY,) * 3)
            else:
                picture = _picture(image, low, high, cell)
                sheet.paste(picture, (at[0] + (cell - picture.width) // 2, at[1] + (cell - picture.height) // 2))
    return sheet


def _rows(source: Source) -> list[_Row]:
    """Which samples are shown, and what is written beside them."""
    if source.header.shapes.get("label") == ():
        labels, names = source.labels(), source.header.class_names
        classes, counts = np.unique(labels, return_counts=True)
        if (classes == classes.astype(np.int64)).all() and (names or counts.max() > 1):  # no quantities
            chosen = classes[_spread(len(classes), ROWS)].astype(int).tolist()
            members = [np.flatnonzero(labels == label) for label in chosen]
            titles = [_title(label, names) for label in chosen]
            return [
                _Row(title, of[_spread(len(of), COLUMNS)].tolist()) for title, of in zip(titles, members, strict=True)
            ]
    places = _spread(len(source), COLUMNS * COLUMNS).tolist()
    return [_Row("", places[i : i + COLUMNS]) for i in range(0, len(places), COLUMNS)]


def _spread(count: int, most: int) -> Array:
    """At most `most` of `count` numbers from 0 on, evenly spread."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)


def _sample(source: Source, name: str, index: int) -> Array | None:
    try:
        return source.sample(index)[name]
    except DataError:
        return None


def _range(images: list[Array]) -> tuple[float, float]:
    """Which values are black and white."""
    low = min((float(image.min()) for image in images), default=0.0)
    high = max((float(image.max()) for image in images), default=0.0)
    uses_bytes = bool(images) and images[0].dtype == np.uint8 and high > 127
    return (0.0, 255.0) if uses_bytes else (low, high)


def _picture(image: Array, low: float, high: float, cell: int) -> Any:
    """An image (1|3, H, W) as a picture that fills a cell in one direction at least."""
    pillow = expect_pillow()
    bright = np.clip((image.astype(np.float64) - low) * (255 / ((high - low) or 1.0)), 0, 255)
    pixels = np.ascontiguousarray(np.broadcast_to(bright, (3, *image.shape[1:])).transpose(1, 2, 0).round(), np.uint8)
    height, width = image.shape[1:]
    larger = max(height, width)
    size = max(1, width * cell // larger), max(1, height * cell // larger)
    method = pillow.Resampling.NEAREST if larger <= cell else pillow.Resampling.BOX
    return pillow.fromarray(pixels).resize(size, method)


def _title(label: int, names: Sequence[str]) -> str:
    """A class's name in the letters that Pillow's own font has, without accents; its number if it has others."""
    name = names[label] if 0 <= label < len(names) else str(label)
    parts = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
    plain = "".join(sign for sign in parts if not unicodedata.combining(sign))
    if not (plain.isascii() and plain.isprintable()):
        return str(label)
    return plain if len(plain) <= 24 else f"{plain[:21]}..."
