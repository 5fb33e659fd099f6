"""Images brought to a size: all of each, or a part at random."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from layerkit.blob import Array
from layerkit.datasets.picture import Interpolation
from layerkit.datasets.transforms.base import BYTE, FLOAT, Layout, Samples, Transform
from layerkit.datasets.transforms.crops import CenterCrop, Size, both, expect_room
from layerkit.datasets.transforms.resampling import bilinear, resample

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
            height, width = self.sides(height, width)
        return layout.with_data((channels, height, width), BYTE if layout.dtypes[0] == BYTE else FLOAT)

    def apply(self, samples: Samples) -> None:
        before = samples.shape[1], samples.shape[2]
        height, width = self.sides(*before)
        y, x, h, w = _middle(*before, width / height) if self.fit == "cover" else (0, 0, *before)
        if self.antialias and (h, w) != (height, width):
            parts = np.tile([y, x, h, w], (len(samples.indices), 1))
            resample(samples, height, width, self.interpolation, parts=parts)
            return
        images = samples.data[:, :, y : y + h, x : x + w]
        if (h, w) == (height, width):
            samples.arrays[0] = images
        else:
            samples.data = bilinear(images, height, width)

    def sides(self, height: int, width: int) -> tuple[int, int]:
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
        height, width = samples.shape[1:]
        parts = self.boxes(height, width, samples.uniform(2 * _TRIES + 2))
        resample(samples, *both(self.size), self.interpolation, parts=parts)

    def boxes(self, height: int, width: int, drawn: Array) -> Array:
        """Top, left, height and width of each image's part, (k, 4), out of (k, 22) numbers in [0, 1)."""
        return np.array([self._box(height, width, numbers) for numbers in drawn.tolist()], np.int64)

    def _box(self, height: int, width: int, drawn: list[float]) -> tuple[int, int, int, int]:
        low, high = (math.log(end) for end in self.ratio)
        for area, shape in zip(drawn[:_TRIES], drawn[_TRIES : 2 * _TRIES], strict=True):
            pixels = height * width * _spread(self.scale, area)
            ratio = math.exp(_spread([low, high], shape))
            wide, tall = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
            if 0 < wide <= width and 0 < tall <= height:
                return int(drawn[-2] * (height - tall + 1)), int(drawn[-1] * (width - wide + 1)), tall, wide
        return _middle(height, width, min(max(width / height, self.ratio[0]), self.ratio[1]))

    def outside_training(self) -> Transform:
        height, width = both(self.size)
        return Resize(size=[height, width], fit="cover", interpolation=self.interpolation)


class ResizedMiddle:
    """A Resize and the CenterCrop behind it in one: of the resized image only the middle is made."""

    def __init__(self, resize: Resize, crop: CenterCrop):
        self.type = crop.type
        self._resize, self._crop = resize, crop

    @classmethod
    def of(cls, first: Transform, second: Transform) -> ResizedMiddle | None:
        """That of two steps which are such; None where they are not."""
        if not isinstance(first, Resize) or not isinstance(second, CenterCrop):
            return None
        smooth = first.antialias and first.interpolation != "nearest"
        return cls(first, second) if smooth and len(first.size) == 1 else None

    def apply(self, samples: Samples) -> None:
        """What both do one after the other, but for the rounding of a few values."""
        before = samples.shape[1], samples.shape[2]
        high, wide = self._resize.sides(*before)
        if before == (high, wide):
            self._crop.apply(samples)
            return
        height, width = both(self._crop.size)
        expect_room((high, wide), height, width)
        top, bottom = _stretch(high, height, before[0])
        left, right = _stretch(wide, width, before[1])
        box = (top, left, bottom, right)
        resample(samples, height, width, self._resize.interpolation, box=box)


def _stretch(length: int, middle: int, before: int) -> tuple[float, float]:
    """Where the middle of a line of pixels begins and ends, counted in pixels of the line before it was resized."""
    start = (length - middle) // 2
    return start * before / length, (start + middle) * before / length


def _spread(ends: list[float], drawn: float) -> float:
    """A number in [0, 1) as one between two ends."""
    return ends[0] + (ends[1] - ends[0]) * drawn


def _middle(height: int, width: int, ratio: float) -> tuple[int, int, int, int]:
    """Top, left, height and width of the largest part of this width by height, in the middle of an image."""
    high = min(height, max(1, math.floor(width / ratio + 0.5)))
    wide = min(width, max(1, math.floor(height * ratio + 0.5)))
    return (height - high) // 2, (width - wide) // 2, high, wide
