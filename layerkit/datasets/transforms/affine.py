"""Images turned, shifted, scaled and sheared, each by numbers of its own."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from layerkit.blob import Array
from layerkit.datasets.transforms.base import BYTE, FLOAT, Layout, Samples, Transform, as_value, two

Range = Annotated[list[float], Field(min_length=1, max_length=2)]
_BLOCK = 1 << 16  # pixels whose places are computed in one go, so that they stay in a core's cache
_METHOD = "How pixels are found: nearest takes one, bilinear looks at 2x2."


class _Warp(Transform):
    """What both have in common: pixels are fetched from where a matrix says, which differs from image to image."""

    random: ClassVar[bool] = True

    interpolation: Literal["nearest", "bilinear"] = Field("bilinear", description=_METHOD)
    fill: float = Field(0.0, description="Value of pixels from outside of the image.")

    def plan(self, layout: Layout) -> Layout:
        layout.image()
        layout.expect_no_map()
        return layout.with_data(dtype=BYTE if layout.dtypes[0] == BYTE else FLOAT)

    def apply(self, samples: Samples) -> None:
        samples.data = warp(samples.data, *self.matrices(samples), self.interpolation == "bilinear", self.fill)

    def matrices(self, samples: Samples) -> tuple[Array, Array]:
        """Of each image, the matrix (k, 2, 2) by which (x, y) from its middle move, and how far they shift, (k, 2)."""
        raise NotImplementedError


class Rotate(_Warp):
    """Turn each image about its middle by a random angle."""

    type: Literal["rotate"] = "rotate"
    degrees: Range = Field(description="Greatest angle to either side, or least and greatest, counter-clockwise.")

    @model_validator(mode="after")
    def _in_order(self) -> Rotate:
        self.expect_order("degrees")
        return self

    def matrices(self, samples: Samples) -> tuple[Array, Array]:
        drawn = samples.uniform(1)
        return _turned(-_between(self.degrees, drawn[:, 0])), np.zeros((len(drawn), 2))


class Affine(_Warp):
    """Turn, shear and scale each image about its middle and shift it, by random numbers.

    Source: torchvision's RandomAffine, whose directions these are.
    """

    type: Literal["affine"] = "affine"
    degrees: Range = Field([0.0], description="Greatest angle to either side, or least and greatest, clockwise.")
    translate: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(max_length=2)] = Field(
        [], description="Greatest shift to either side, across and down, as parts of width and height; one for both."
    )
    scale: Annotated[list[Annotated[float, Field(gt=0)]], Field(max_length=2)] = Field(
        [], description="Least and greatest factor on the size; one number is that factor."
    )
    shear: Annotated[list[float], Field(max_length=4)] = Field(
        [],
        description="Degrees by which upright lines lean: greatest to either side, or least and greatest; two more are "
        "least and greatest for level lines.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Affine:
        self.expect_order("degrees", "scale")
        if len(self.shear) == 3:
            raise ValueError("shear must be one, two or four numbers, not three")
        return self

    def matrices(self, samples: Samples) -> tuple[Array, Array]:
        drawn = samples.uniform(6)
        height, width = samples.data.shape[2:]
        across, down = np.tan(
            np.radians([_between(self.shear[:2], drawn[:, 1]), _between(self.shear[2:], drawn[:, 2])])
        )
        one = np.ones(len(drawn))
        leaning = np.moveaxis(np.array([[one, -across], [-down, 1 + down * across]]), 2, 0)  # down after across
        size = _between(self.scale * 2 if len(self.scale) == 1 else self.scale, drawn[:, 3], nothing=1)
        move = _turned(_between(self.degrees, drawn[:, 0])) @ leaning * size[:, np.newaxis, np.newaxis]
        most = np.array([self.translate[0] * width, self.translate[-1] * height] if self.translate else [0, 0])
        return move, np.rint((2 * drawn[:, 4:] - 1) * most)


def warp(images: Array, move: Array, shift: Array, smooth: bool, fill: float) -> Array:
    """Images (k, C, H, W) after each pixel at (x, y) from the middle has gone to move (x, y) + shift.

    `move` is (k, 2, 2), `shift` (k, 2). Each new pixel is looked up where it came from: the nearest one, or where
    `smooth` between the four around; whatever lies outside of the image has the value `fill`. Bytes stay bytes, all
    else becomes float32.
    """
    count, channels, height, width = images.shape
    back = np.linalg.inv(move)
    origin = -np.einsum("kij,kj->ki", back, shift)
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    origin += middle - np.einsum("kij,j->ki", back, middle)  # now counted from the first pixel
    out = np.empty(images.shape, BYTE if images.dtype == BYTE else FLOAT)
    rows = max(1, _BLOCK // (height * width))
    for start in range(0, count, rows):
        some = slice(start, start + rows)
        places = _Places(back[some].astype(FLOAT), origin[some].astype(FLOAT), height, width, smooth)
        for c in range(channels):
            plane = np.full((len(out[some]), height + 2, width + 2), as_value(fill, images.dtype), images.dtype)
            plane[:, 1:-1, 1:-1] = images[some, c]
            found = places.look_up(plane.reshape(-1))
            if out.dtype == BYTE and smooth:
                np.floor(np.add(found, 0.5, out=found), out=found)
            out[some, c] = found
    return out


class _Places:
    """Where the pixels of a block of images come from, in images with a frame of one pixel that holds the fill."""

    def __init__(self, back: Array, origin: Array, height: int, width: int, smooth: bool):
        x = np.arange(width, dtype=FLOAT)
        y = np.arange(height, dtype=FLOAT)[:, np.newaxis]
        from_x, from_y = (
            back[:, i, 0, np.newaxis, np.newaxis] * x
            + back[:, i, 1, np.newaxis, np.newaxis] * y
            + origin[:, i, np.newaxis, np.newaxis]
            for i in range(2)
        )  # (k, H, W)
        self.stride = width + 2
        if not smooth:
            from_x, from_y = np.floor(from_x + 0.5), np.floor(from_y + 0.5)
        # beyond the frame all is fill, and so is what lies between the frame and there
        np.clip(from_x, -1, width, out=from_x)
        np.clip(from_y, -1, height, out=from_y)
        left, above = np.floor(from_x), np.floor(from_y)
        self.right: Array | None = None
        if smooth:
            np.minimum(left, width - 1, out=left)
            np.minimum(above, height - 1, out=above)
            self.right, self.below = from_x - left, from_y - above  # how far from the first pixel, 0 to 1
        self.first = (above.astype(np.intp) + 1) * self.stride + left.astype(np.intp) + 1
        self.first += np.arange(len(back), dtype=np.intp)[:, np.newaxis, np.newaxis] * ((height + 2) * self.stride)

    def look_up(self, plane: Array) -> Array:
        """The new pixels of one channel, (k, H, W), out of its framed images in one row."""
        if self.right is None:
            return plane.take(self.first)
        above = _mix(plane.take(self.first), plane[1:].take(self.first), self.right)
        under = plane[self.stride :]
        below = _mix(under.take(self.first), under[1:].take(self.first), self.right)
        return _mix(above, below, self.below)


def _mix(a: Array, b: Array, share: Array) -> Array:
    """a + (b - a) * share, in float32."""
    mixed = np.subtract(b, a, dtype=FLOAT)
    np.multiply(mixed, share, out=mixed)
    return np.add(mixed, a, out=mixed)


def _turned(degrees: Array) -> Array:
    """Matrices (k, 2, 2) that turn (x, y), with y downwards, clockwise as it is seen."""
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return np.moveaxis(np.array([[cosine, -sine], [sine, cosine]]), 2, 0)


def _between(ends: list[float], drawn: Array, nothing: float = 0) -> Array:
    """Numbers in [0, 1) as numbers in a range that is written as two numbers, as one for both sides, or not at all."""
    low, high = two(ends) if ends else (nothing, nothing)
    return low + (high - low) * drawn
