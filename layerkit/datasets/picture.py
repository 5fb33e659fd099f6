"""Picture: an image as Pillow holds it, of which a part can be resized before anything becomes an array."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.datasets.optional import need

Interpolation = Literal["nearest", "bilinear", "bicubic"]


class Picture:
    """An image of Pillow's modes L or RGB (bytes), or F (one channel of float32)."""

    def __init__(self, image: Any):
        self._image = image

    @classmethod
    def of(cls, pixels: Array) -> Picture:
        """That of an array (C, H, W): bytes of one channel or three, or one channel of float32."""
        lines = np.ascontiguousarray(pixels.transpose(1, 2, 0))
        image = need("PIL.Image", "pillow", "resizing images")
        return cls(image.fromarray(lines[:, :, 0] if lines.shape[2] == 1 else lines))

    @property
    def shape(self) -> Shape:
        """Channels, height and width."""
        return len(self._image.getbands()), self._image.height, self._image.width

    def pixels(self) -> Array:
        """All of it, (C, H, W)."""
        planes: Array = np.atleast_3d(np.asarray(self._image)).transpose(2, 0, 1)
        return planes

    def cut(self, top: int, left: int, height: int, width: int) -> Picture:
        """A part of it, which may be all."""
        if (top, left, height, width) == (0, 0, *self.shape[1:]):
            return self
        return Picture(self._image.crop((left, top, left + width, top + height)))

    def resized(
        self,
        height: int,
        width: int,
        interpolation: Interpolation,
        box: tuple[float, float, float, float] | None = None,
    ) -> Picture:
        """It in another size, smoothed where it shrinks.

        `box` is what becomes of that size: top, left, bottom and right, in fractions of pixels; smoothing looks beyond.
        """
        method = need("PIL.Image", "pillow", "resizing images").Resampling[interpolation.upper()]
        view = None if box is None else (box[1], box[0], box[3], box[2])
        return Picture(self._image.resize((width, height), method, view))
