"""Many small images as one: what each value looks like, and where each image stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from layerkit.blob import Array
from layerkit.report.drawing.palette import CURVES, INK, PAPER
from layerkit.report.plotting import page, style
from layerkit.report.plotting.page import Part

SIGNED = (CURVES[0], PAPER, CURVES[1])
"""Colours of numbers from the most negative over 0 to the most positive."""
AMOUNT = (PAPER, CURVES[0], INK)
"""Colours of numbers from 0 on."""
MOST = 256
"""Images that are shown at most."""
_SIDE = 72
"""Pixels that the longer side of an image has at least; it grows by whole numbers."""
_LANDSCAPE = 2.6
"""How much wider than high a mosaic is, about."""


def extent(values: Array) -> tuple[float, float]:
    """The smallest and the greatest of those that are finite; zeros where none is."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def coloured(values: Array, colours: Sequence[str]) -> Array:
    """Numbers from 0 to 1 as colours (..., 3) of bytes, on a scale with these at even distances.

    What is not finite has the colour that it has beside curves.
    """
    stops = np.array([_bytes(colour) for colour in colours], np.float64)
    places = np.linspace(0, 1, len(stops))
    finite = np.isfinite(values)
    known = np.where(finite, values, 0.0)
    found = np.stack([np.interp(known, places, stops[:, channel]) for channel in range(3)], axis=-1)
    found[~finite] = _bytes(style.LOST)
    return found.round().astype(np.uint8)


def signed(values: Array, most: float | None = None) -> Array:
    """Numbers as colours of SIGNED; the ends are `most`, or the largest magnitude there is, away from 0."""
    most = max(map(abs, extent(values))) if most is None else most
    return coloured(0.5 + 0.5 * values / (most or 1.0), SIGNED)


def photo(image: Array, channel_order: str = "RGB") -> Array:
    """An image (1|3, H, W) as colours (H, W, 3) of bytes: its smallest value is black, its greatest is full."""
    low, high = extent(image)
    ordered = image[::-1] if channel_order == "BGR" and len(image) == 3 else image
    bright = np.nan_to_num((ordered.astype(np.float64) - low) / ((high - low) or 1.0), posinf=0.0, neginf=0.0)
    return (np.broadcast_to(bright, (3, *image.shape[1:])).transpose(1, 2, 0) * 255).round().astype(np.uint8)


def columns_for(count: int, height: int, width: int) -> int:
    """In how many columns so many images of this size make a mosaic that fits a page, with full rows where possible."""
    about = max(1, min(count, math.ceil(math.sqrt(count * _LANDSCAPE * height / width))))
    return math.ceil(count / math.ceil(count / about))


def mosaic(images: Sequence[Array], columns: int) -> Array:
    """Images (H, W, 3) of bytes and of one size, row by row, each in a thin frame, with gaps between them."""
    height, width = images[0].shape[:2]
    zoom = max(1, -(-_SIDE // max(height, width)))
    frame, gap = max(1, zoom * max(height, width) // 72), max(4, zoom * max(height, width) // 12)
    across, down = zoom * width + 2 * frame, zoom * height + 2 * frame
    rows = -(-len(images) // columns)
    whole = np.full((rows * (down + gap) - gap, columns * (across + gap) - gap, 3), _bytes(PAPER), np.uint8)
    for i, image in enumerate(images):
        top, left = (i // columns) * (down + gap), (i % columns) * (across + gap)
        whole[top : top + down, left : left + across] = _bytes(style.PALE)
        large = image.repeat(zoom, axis=0).repeat(zoom, axis=1)
        whole[top + frame : top + down - frame, left + frame : left + across - frame] = large
    return whole


@dataclass(frozen=True)
class Mosaic(Part):
    """A part of a page: images side by side."""

    title: str
    note: str
    image: Array
    """(H, W, 3) of bytes."""

    @property
    def height(self) -> float:
        high, wide, _ = self.image.shape
        return page.height_of(high, wide)

    def fill(self, figure: Any) -> None:
        axes = figure.subplots()
        page.bare(axes)
        page.head(axes, self.title, self.note)
        axes.imshow(self.image)
        axes.set_anchor("W")


def _bytes(colour: str) -> list[int]:
    return list(bytes.fromhex(colour.removeprefix("#")))
