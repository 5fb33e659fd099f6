"""Colours changed at random."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from layerkit.blob import Array
from layerkit.datasets.transforms.base import BYTE, FLOAT, Layout, Samples, Transform
from layerkit.errors import ShapeError

Factors = Annotated[list[Annotated[float, Field(ge=0)]], Field(max_length=2)]
_BLOCK = 1 << 17  # values that are gone over again and again while they are in a core's cache
_GREY = np.array([0.299, 0.587, 0.114], FLOAT).reshape(3, 1, 1)  # of red, green and blue in their grey, as in BT.601


class ColorJitter(Transform):
    """Change brightness, contrast, saturation and hue of each image, in this order, by random numbers.

    Source: torchvision's ColorJitter, which draws the order too. Bytes are kept within 0..255 after each step.
    """

    random: ClassVar[bool] = True

    type: Literal["color_jitter"] = "color_jitter"
    brightness: Factors = Field(
        [], description="x stands for a factor of 1 - x to 1 + x, at least 0; or least and greatest factor."
    )
    contrast: Factors = Field([], description="As brightness, for the distance from the image's mean grey.")
    saturation: Factors = Field([], description="As brightness, for the distance from each pixel's grey.")
    hue: Annotated[list[Annotated[float, Field(ge=-0.5, le=0.5)]], Field(max_length=2)] = Field(
        [], description="Greatest shift of the hue either way, or least and greatest; 1 is once round the circle."
    )

    @model_validator(mode="after")
    def _in_order(self) -> ColorJitter:
        self.expect_order("brightness", "contrast", "saturation", "hue")
        return self

    def plan(self, layout: Layout) -> Layout:
        channels = layout.image()[0]
        for name in ("saturation", "hue"):
            if getattr(self, name) and channels != 3:
                raise ShapeError(f"{name} needs images of three channels, red, green and blue, not of {channels}")
        if self.contrast and channels not in (1, 3):
            raise ShapeError(f"contrast needs images of one or three channels, not of {channels}")
        return layout.with_data(dtype=BYTE if layout.dtypes[0] == BYTE else FLOAT)

    def apply(self, samples: Samples) -> None:
        given, drawn = samples.data, samples.uniform(4).astype(FLOAT)
        out = np.empty_like(given, BYTE if given.dtype == BYTE else FLOAT)
        rows = max(1, _BLOCK * len(given) // given.size)
        for start in range(0, len(given), rows):
            some = slice(start, start + rows)
            images = given[some].astype(FLOAT)
            self._change(images, drawn[some], 255 if given.dtype == BYTE else None)
            out[some] = np.rint(images, out=images) if given.dtype == BYTE else images
        samples.data = out

    def _change(self, images: Array, drawn: Array, top: float | None) -> None:
        """Change images (k, C, H, W) where they are; what is brighter than `top`, or below 0, is cut off."""
        if self.brightness:
            images *= _factors(self.brightness, drawn[:, 0])
            _keep_within(images, top)
        if self.contrast:
            _spread_from(images, _grey(images).mean(axis=(2, 3), keepdims=True), _factors(self.contrast, drawn[:, 1]))
            _keep_within(images, top)
        if self.saturation:
            _spread_from(images, _grey(images), _factors(self.saturation, drawn[:, 2]))
            _keep_within(images, top)
        if self.hue:
            low, high = self.hue if len(self.hue) == 2 else (-self.hue[0], self.hue[0])
            shift_hue(images, (low + (high - low) * drawn[:, 3])[:, np.newaxis, np.newaxis])


def shift_hue(images: Array, shift: Array) -> None:
    """Turn the hue of red, green and blue images (k, 3, H, W) by `shift` of a circle, (k, 1, 1), where they are.

    Source: A. Smith, "Color gamut transform pairs", 1978: to hue, saturation and value, and back.
    """
    red, green, blue = (images[:, c] for c in range(3))
    value = images.max(axis=1)  # (k, H, W)
    chroma = value - images.min(axis=1)
    safe = np.where(chroma == 0, 1, chroma)
    hue = np.where(  # in sixths of the circle, 0 for red
        value == red,
        (green - blue) / safe,
        np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    hue += 6 * shift
    for c, sixth in enumerate((5, 3, 1)):
        place = np.mod(hue + sixth, 6)
        images[:, c] = value - chroma * np.clip(np.minimum(place, 4 - place), 0, 1)


def _factors(ends: list[float], drawn: Array) -> Array:
    """A factor for each image, (k, 1, 1, 1), from numbers in [0, 1)."""
    low, high = ends if len(ends) == 2 else (max(0, 1 - ends[0]), 1 + ends[0])
    factors: Array = (low + (high - low) * drawn)[:, np.newaxis, np.newaxis, np.newaxis]
    return factors


def _grey(images: Array) -> Array:
    """The grey of each pixel, (k, 1, H, W)."""
    grey: Array = images if images.shape[1] == 1 else (images * _GREY).sum(axis=1, keepdims=True)
    return grey


def _spread_from(images: Array, centre: Array, factors: Array) -> None:
    """Multiply the distances from a centre, where the images are."""
    images -= centre
    images *= factors
    images += centre


def _keep_within(images: Array, top: float | None) -> None:
    if top is not None:
        np.clip(images, 0, top, out=images)
