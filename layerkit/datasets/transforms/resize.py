"""Images brought to a size: all of each, or a part at random."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from layerkit.blob import Array
from layerkit.datasets.transforms.base import BYTE, FLOAT, Layout, Samples, Transform
from layerkit.datasets.transforms.crops import Size, both
from layerkit.datasets.transforms.resampling import Interpolation, bilinear, resample

_TRIES = 10  # as many as in torchvision
_METHOD = "How pixels are found: nearest takes one, bilinear looks at 2x2, bicubic at 4x4, or more where it shrinks."


class Resize(Transform):
    """Give each image another size."""

    type: Literal["resize"] = "resize"
    size: Size = Field(description="Length of the shorter side, which keeps proportions, or height and width.")
    fit: Literal["stretch", "cover"] = Field(
        "stretch",
        description="How height and width are reached. stretch: each on its own; cover: with proportions kept, and "
        "what is over cut off on both sides.",
    )
    interpolation: Interpolation = Field("bilinear", description=_METHOD)
    antialias: bool = Field(True, description="Whether to smooth an image that shrinks; Caffe does not.")

    @model_validator(mode="after")
    def _plain_only_bilinear(self) -> Resize:
        if not self.antialias and self.interpolation != "bilinear":
            raise ValueError(f"antialias: false goes with interpolation bilinear, not {self.interpolation}")
        if self.fit == "cover" and len(self.size) == 1:
            raise ValueError("fit: cover needs a size of height and width")
        return self

    def plan(self, layout: Layout) -> Layout:
        channels, height, width = layout.image()
        layout.expect_no_map()
        if len(self.size) == 2 or (height and width):
            height, width = self._sides(height, width)
        return layout.with_data((channels, height, width), BYTE if layout.dtypes[0] == BYTE else FLOAT)

    def apply(self, samples: Samples) -> None:
        images = samples.data
        before = images.shape[2], images.shape[3]
        height, width = self._sides(*before)
        if self.fit == "cover":
            y, x, h, w = _middle(*before, width / height)
            images = images[:, :, y : y + h, x : x + w]
        if images.shape[2:] == (height, width):
            samples.arrays[0] = images
        elif self.antialias:
            samples.data = resample(images, height, width, self.interpolation)
        else:
            samples.data = bilinear(images, height, width)

    def _sides(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of an image of this size once it is resized."""
        if len(self.size) == 2:
            return both(self.size)
        shorter, short = self.size[0], min(height, width)
        return shorter * height // short, shorter * width // short


class RandomResizedCrop(Transform):
    """Cut out a part of random area and proportions, and give it this size; outside of training the middle.

    Source: C. Szegedy et al., "Going deeper with convolutions", 2015; torchvision's RandomResizedCrop, whose numbers
    these are: of ten tries the first that lies within the image, else the middle.
    """

    random: ClassVar[bool] = True

    type: Literal["random_resized_crop"] = "random_resized_crop"
    size: Size = Field(description="Side of the square that is made, or its height and width.")
    scale: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=2, max_length=2)] = Field(
        [0.08, 1.0], description="Least and greatest part of the image's area that is used."
    )
    ratio: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=2, max_length=2)] = Field(
        [0.75, 1.3333333333333333], description="Least and greatest width of the part, by its height."
    )
    interpolation: Interpolation = Field("bilinear", description=_METHOD)

    @model_validator(mode="after")
    def _in_order(self) -> RandomResizedCrop:
        self.expect_order("scale", "ratio")
        return self

    def plan(self, layout: Layout) -> Layout:
        layout.expect_no_map()
        dtype = BYTE if layout.dtypes[0] == BYTE else FLOAT
        return layout.with_data((layout.image()[0], *both(self.size)), dtype)

    def apply(self, samples: Samples) -> None:
        height, width = samples.data.shape[2:]
        boxes = self.boxes(height, width, samples.uniform(2 * _TRIES + 2))
        samples.data = resample(samples.data, *both(self.size), self.interpolation, boxes)

    def boxes(self, height: int, width: int, drawn: Array) -> Array:
        """Top, left, height and width of each image's part, (k, 4), out of (k, 22) numbers in [0, 1)."""
        areas = height * width * _spread(self.scale, drawn[:, :_TRIES])
        ratios = np.exp(_spread(np.log(self.ratio).tolist(), drawn[:, _TRIES : 2 * _TRIES]))
        wide, high = np.rint(np.sqrt(areas * ratios)), np.rint(np.sqrt(areas / ratios))  # (k, tries)
        fits = (wide > 0) & (wide <= width) & (high > 0) & (high <= height)
        first = (np.arange(len(drawn)), fits.argmax(axis=1))
        size = np.stack([high[first], wide[first]], axis=1)  # (k, 2)
        corner = np.floor(drawn[:, -2:] * (np.array([height, width]) - size + 1))
        middle = _middle(height, width, min(max(width / height, self.ratio[0]), self.ratio[1]))
        boxes = np.where(fits.any(axis=1)[:, np.newaxis], np.concatenate([corner, size], axis=1), middle)
        return boxes.astype(np.int64)

    def outside_training(self) -> Transform:
        height, width = both(self.size)
        return Resize(size=[height, width], fit="cover", interpolation=self.interpolation)


def _spread(ends: list[float], drawn: Array) -> Array:
    """Numbers in [0, 1) as numbers between two ends."""
    return ends[0] + (ends[1] - ends[0]) * drawn


def _middle(height: int, width: int, ratio: float) -> tuple[int, int, int, int]:
    """Top, left, height and width of the largest part of this width by height, in the middle of an image."""
    high = min(height, max(1, math.floor(width / ratio + 0.5)))
    wide = min(width, max(1, math.floor(height * ratio + 0.5)))
    return (height - high) // 2, (width - wide) // 2, high, wide
