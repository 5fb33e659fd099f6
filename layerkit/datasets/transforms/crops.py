"""Squares and oblongs cut out of images: in the middle, at random, or at random from a padded image."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from pydantic import Field

from layerkit.blob import Array
from layerkit.datasets.transforms.base import Layout, Samples, Transform, as_value, channels_last
from layerkit.errors import ShapeError

Side = Annotated[int, Field(gt=0)]
Size = Annotated[list[Side], Field(min_length=1, max_length=2)]
"""A side of a square, or height and width."""


class CenterCrop(Transform):
    """Cut out the middle of each image; the row or column left over of an odd rest is cut off behind."""

    type: Literal["center_crop"] = "center_crop"
    size: Size = Field(description="Side of the square, or height and width.")

    def plan(self, layout: Layout) -> Layout:
        return plan_crop(layout, self.size)

    def apply(self, samples: Samples) -> None:
        height, width = both(self.size)
        expect_room(samples.data.shape[2:], height, width)
        y, x = ((have - want) // 2 for have, want in zip(samples.data.shape[2:], (height, width), strict=True))
        samples.arrays[0] = samples.data[:, :, y : y + height, x : x + width]


class RandomCrop(Transform):
    """Cut a part of this size out of each image, anywhere; outside of training the middle."""

    random: ClassVar[bool] = True

    type: Literal["random_crop"] = "random_crop"
    size: Size = Field(description="Side of the square, or height and width.")

    def plan(self, layout: Layout) -> Layout:
        return plan_crop(layout, self.size)

    def apply(self, samples: Samples) -> None:
        height, width = both(self.size)
        expect_room(samples.data.shape[2:], height, width)
        samples.data = cut_anywhere(samples.data, height, width, samples.uniform(2))

    def outside_training(self) -> Transform:
        return CenterCrop(size=self.size)


class PadCrop(Transform):
    """Pad each image on all sides and cut its own size out again, anywhere: it is shifted by up to the padding."""

    random: ClassVar[bool] = True

    type: Literal["pad_crop"] = "pad_crop"
    padding: int = Field(gt=0, description="Pixels that are added on each side.")
    padding_mode: Literal["constant", "edge", "reflect", "symmetric"] = Field(
        "constant",
        description="What the added pixels are: fill; those at the edge; or the image reflected, without or with the "
        "pixels at the edge.",
    )
    fill: float = Field(0.0, description="Value of pixels that are added by padding_mode constant.")

    def plan(self, layout: Layout) -> Layout:
        layout.image()
        layout.expect_no_map()
        return layout

    def apply(self, samples: Samples) -> None:
        height, width = samples.data.shape[2:]
        if self.padding_mode in ("reflect", "symmetric"):
            least = self.padding + (self.padding_mode == "reflect")
            expect_room((height, width), least, least, "padding_mode")
        padded = pad(samples.data, self.padding, self.padding_mode, self.fill)
        samples.data = cut_anywhere(padded, height, width, samples.uniform(2))


def both(size: list[int]) -> tuple[int, int]:
    """Height and width of a size that is written as one number or two."""
    return size[0], size[-1]


def plan_crop(layout: Layout, size: list[int]) -> Layout:
    """The layout once images are of this size. Raises ShapeError where they are known to be smaller."""
    channels, *sides = layout.image()
    layout.expect_no_map()
    height, width = both(size)
    if all(sides):
        expect_room(tuple(sides), height, width)
    return layout.with_data((channels, height, width))


def expect_room(sides: tuple[int, ...], height: int, width: int, field: str = "size") -> None:
    """Raise ShapeError unless images of these sides are at least height x width."""
    if sides[0] < height or sides[1] < width:
        raise ShapeError(f"{field}: images of {sides[0]}x{sides[1]} are smaller than {height}x{width}")


def cut_anywhere(images: Array, height: int, width: int, drawn: Array) -> Array:
    """A part of each image (k, C, H, W), where two numbers in [0, 1) say, (k, 2); a new array."""
    room = [have - want + 1 for have, want in zip(images.shape[2:], (height, width), strict=True)]
    tops, lefts = (drawn * room).astype(np.int64).T
    rows = np.arange(len(images))
    parts: Array
    if channels_last(images):
        windows = sliding_window_view(images.transpose(0, 2, 3, 1), (height, width), axis=(1, 2))
        parts = windows.transpose(0, 1, 2, 4, 5, 3)[rows, tops, lefts].transpose(0, 3, 1, 2)
    else:
        parts = sliding_window_view(images, (height, width), axis=(2, 3))[rows, :, tops, lefts]
    return parts


def pad(images: Array, width: int, mode: Literal["constant", "edge", "reflect", "symmetric"], fill: float) -> Array:
    """Images (k, C, H, W) with `width` more pixels on each side, lying in memory as they did."""
    last = channels_last(images)
    given = images.transpose(0, 2, 3, 1) if last else images
    sides = [(0, 0), (width, width), (width, width)]
    sides.insert(3 if last else 1, (0, 0))
    if mode == "constant":  # by hand, which is several times faster than np.pad
        shape = [length + before + after for length, (before, after) in zip(given.shape, sides, strict=True)]
        padded = np.full(shape, as_value(fill, given.dtype), given.dtype)
        padded[tuple(slice(before, -after or None) for before, after in sides)] = given
    else:
        padded = np.pad(given, sides, mode)
    return padded.transpose(0, 3, 1, 2) if last else padded
