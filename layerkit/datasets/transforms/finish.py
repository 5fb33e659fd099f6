"""The last steps to the net, Caffe's: channels in the net's order, crop, mirror, mean, scale, in one go over a batch.

The mean image has the size of the whole sample, and it is subtracted where the crop lies, before the sample is turned
over. A crop is anywhere in the train phase and in the middle in others; turned over is half of the samples, at random,
in every phase.

Source: Caffe's data_transformer.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from layerkit.blob import Array, Shape, shape_text
from layerkit.datasets.transforms.base import Layout, Samples
from layerkit.datasets.transforms.crops import cut_anywhere
from layerkit.datasets.transforms.mirror import turn
from layerkit.datasets.transforms.normalize import shift
from layerkit.errors import ShapeError

_NOTHING, _NOBODY = np.empty((0, 3)), np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class Finish:
    """What Caffe's transformation parameters say, for one phase."""

    scale: float = 1.0
    mean_value: tuple[float, ...] = ()
    mean_image: Array | None = None
    """(C, H, W) in the net's order of channels."""
    crop_size: int = 0
    crop_anywhere: bool = False
    mirror: bool = False
    reverse: bool = False
    """Whether the net has three channels in the other order than the source."""

    def plan(self, layout: Layout) -> Shape:
        """The shape of a sample as the net gets it. Raises ShapeError, naming the parameter that does not fit."""
        shape = layout.shapes[0]
        what = f"samples of shape {shape_text(shape)}" if shape else "samples that are single numbers"
        if len(self.mean_value) > 1 and len(self.mean_value) != (shape[0] if shape else None):
            raise ShapeError(f"mean_value has {len(self.mean_value)} values, which do not fit {what}", "mean_value")
        if self.reverse and (len(shape) != 3 or shape[0] != 3):
            raise ShapeError(f"channel_order: {what} have no three channels to reverse", "channel_order")
        self._expect_mean(shape)
        for name in ("crop_size", "mirror"):
            if getattr(self, name) and len(shape) != 3:
                raise ShapeError(f"{name} takes images of channels x height x width, not {what}", name)
            if getattr(self, name):
                try:
                    layout.expect_no_map()
                except ShapeError as error:
                    raise ShapeError(f"{name}: {error}", name) from None
        if not self.crop_size:
            return shape
        if layout.settled:
            self._expect_room(shape)
        return shape[0], self.crop_size, self.crop_size

    def apply(self, samples: Samples, out: Array) -> None:
        """Write the samples' data into `out`, (k, *shape) in any memory layout. Raises ShapeError for own sizes."""
        pixels = samples.data[:, ::-1] if self.reverse else samples.data
        self._expect_mean(pixels.shape[1:])
        draws = self.mirror or (self.crop_size and self.crop_anywhere)
        drawn = samples.uniform(3) if draws else _NOTHING
        pixels, mean = self._cropped(pixels, drawn)
        if pixels.shape != out.shape:
            sizes = f"it is {shape_text(pixels.shape[1:])}, not {shape_text(out.shape[1:])} as the first"
            raise ShapeError(f"{sizes}; give all images one size, by a resize or a crop")
        turned = np.flatnonzero(drawn[:, 2] < 0.5) if self.mirror else _NOBODY
        scale = np.array([self.scale])
        if mean is None:
            if len(turned):  # now, while these may be bytes
                pixels = pixels.copy(order="K")
                turn(pixels, turned, -1)
            shift(pixels, np.array(self.mean_value or [0.0]), scale, out)
        else:
            np.subtract(pixels, mean, out=out, dtype=out.dtype, casting="unsafe")
            shift(out, np.zeros(1), scale, out)
            turn(out, turned, -1)

    def _cropped(self, pixels: Array, drawn: Array) -> tuple[Array, Array | None]:
        """What is used of the images (k, C, H, W), and the mean image there."""
        size, mean = self.crop_size, self.mean_image
        if not size:
            return pixels, mean
        self._expect_room(pixels.shape[1:])
        if not self.crop_anywhere:
            y, x = ((side - size) // 2 for side in pixels.shape[2:])
            middle = (..., slice(y, y + size), slice(x, x + size))
            return pixels[middle], None if mean is None else mean[middle]
        if mean is not None:
            mean = cut_anywhere(np.broadcast_to(mean, pixels.shape), size, size, drawn[:, :2])
        return cut_anywhere(pixels, size, size, drawn[:, :2]), mean

    def _expect_mean(self, shape: Shape) -> None:
        """Raise ShapeError unless the mean image is as large as the samples, where their size is known."""
        mean = self.mean_image
        if mean is not None and 0 not in shape and mean.shape != shape:
            sizes = f"{shape_text(mean.shape)}, but the samples are {shape_text(shape)}"
            raise ShapeError(f"mean_file: the mean image is {sizes}", "mean_file")

    def _expect_room(self, shape: Shape) -> None:
        if min(shape[1:]) < self.crop_size:
            sides = shape_text(shape[1:])
            raise ShapeError(f"crop_size {self.crop_size} does not fit into an image of {sides}", "crop_size")
