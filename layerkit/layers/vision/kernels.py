"""Learned kernels that slide over images: what Convolution and Deconvolution have in common.

Both see `images` (C, size..., n) through windows, and have `pixels` (P, count..., n), one for each window. With the
windows laid out as columns (im2col), a convolution is a product of matrices, pixels = W columns. A deconvolution is the
same product the other way: columns = W^T pixels, which are then added up where the windows overlap (col2im).

Source: Caffe's base_conv_layer.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.fillers import Filler
from layerkit.layer import Layer, Plan, Scratch, Weight, canonical_axis, same_shape
from layerkit.layers.vision.window import Positive, WindowParams, Windows, col2im, im2col
from layerkit.tangents import affine
from layerkit.words import counted

BUFFER = 1 << 20
"""Elements of the column matrix that are worked on at a time, at least one image: about a cache's worth."""


class SlidingParams(WindowParams):
    """What Caffe's convolution_param says of windows: how they slide, and over which axes."""

    dilation: list[Positive] = Field([], description="Step within a kernel: one value (1), or one per spatial axis.")
    axis: int = Field(1, description="The channel axis; every axis behind it is spatial.")
    force_nd_im2col: bool = Field(False, description="Accepted for Caffe's sake: there is one routine for all axes.")


class KernelParams(SlidingParams):
    """Parameters of Convolution and Deconvolution."""

    num_output: int = Field(gt=0, description="Output channels, M.")
    group: int = Field(1, gt=0, description="Parts that inputs and outputs are divided into, G.")
    bias_term: bool = Field(True, description="Whether a bias is added.")
    weight_filler: Filler = Field(Filler(), description="How the kernels start.")
    bias_filler: Filler = Field(Filler(), description="How the bias starts.")


class SlidingKernels(Layer):
    """Base of Convolution and Deconvolution. Several bottoms go through the same weights."""

    bottoms = (1, None)
    tops = (1, None)
    same_number = True
    backwards: ClassVar[bool] = False
    """Whether the bottoms are pixels and the tops images, as in a Deconvolution."""

    @property
    def group(self) -> int:
        """Parts that inputs and outputs are divided into, G."""
        return int(self.params.group)

    def windows(self, shape: Shape) -> Windows:
        """The windows between a bottom of this shape and its top. Raises ShapeError where they do not fit."""
        raise NotImplementedError

    def plan(self, *bottoms: Shape) -> Plan:
        p, shape = self.params, same_shape(bottoms)
        axis = canonical_axis(p.axis, shape)
        channels = shape[axis]
        if channels % self.group or not channels:
            raise ShapeError(
                f"group {self.group} does not divide the {counted(channels, 'channel')} of {shape_text(shape)}", "group"
            )
        if p.num_output % self.group:
            raise ShapeError(f"group {self.group} does not divide num_output {p.num_output}", "group")
        windows = self.windows(shape)
        top = (*shape[:axis], p.num_output, *(windows.size if self.backwards else windows.count))
        of_image, of_pixel = (p.num_output, channels) if self.backwards else (channels, p.num_output)
        at_once = self._images_at_once(shape, windows)
        pixels = at_once * math.prod(windows.count)
        columns = 0 if windows.pointwise else of_image * math.prod(windows.kernel) * pixels
        kernels = (of_pixel, of_image // self.group, *windows.kernel)
        places = len(bottoms) * math.prod(shape[:axis]) * math.prod(windows.count)
        weights = [Weight("weight", kernels, p.weight_filler), Weight("bias", (p.num_output,), p.bias_filler)]
        return Plan(
            tops=[top] * len(bottoms),
            weights=weights if p.bias_term else weights[:1],
            scratch=[
                Scratch("images", (of_image * math.prod(windows.size) * at_once,)),
                Scratch("columns", (columns,)),
                Scratch("pixels", (of_pixel * pixels,)),
                Scratch("weight_part", kernels),
            ],
            reads_tops=(),
            by_rows=axis != 0,
            multiply_adds=places * math.prod(kernels),
        )

    jvp = affine

    def parts(self, windows: Windows, *arrays: Array) -> Iterator[tuple[Array, ...]]:
        """Bottoms, tops and diffs cut into few images each, as views (channels, spatial..., n)."""
        shape = arrays[0].shape
        axis, at_once = canonical_axis(self.params.axis, shape), self._images_at_once(shape, windows)
        if axis == 0:
            yield tuple(array[..., np.newaxis] for array in arrays)
            return
        for before in np.ndindex(shape[: axis - 1]):
            for start in range(0, shape[axis - 1], at_once):
                yield tuple(np.moveaxis(array[before][start : start + at_once], 0, -1) for array in arrays)

    def to_columns(self, images: Array, windows: Windows) -> Array:
        """A part's images (C, size..., n) as one matrix of windows a group: (G, C/G * K, pixels)."""
        room, columns = self._room("images", images.shape), self._columns(images, windows)
        room[...] = images
        if not windows.pointwise:
            im2col(room, windows, columns)
        return self._as_matrix(columns, windows)

    def to_images(self, pixels: Array, images: Array, windows: Windows) -> Array:
        """W^T pixels, added up where windows overlap: like `images` (C, size..., n), in the scratch."""
        columns = self._columns(images, windows)
        weight = self.matrix(self.weights.weight.data)  # (G, P/G, C/G * K)
        np.matmul(weight.swapaxes(1, 2), self._as_matrix(pixels, windows), out=self._as_matrix(columns, windows))
        room = self._room("images", images.shape)
        if not windows.pointwise:
            col2im(columns, windows, room)
        return room

    def to_pixels(self, columns: Array, pixels: Array, windows: Windows) -> Array:
        """W columns, for the columns that `to_columns` gave: like `pixels` (P, count..., n), in the scratch."""
        room = self._room("pixels", pixels.shape)
        np.matmul(self.matrix(self.weights.weight.data), columns, out=self._as_matrix(room, windows))
        return room

    def copied(self, pixels: Array) -> Array:
        """A part's pixels in the scratch, where they lie so that `to_images` and `add_to_weight_diff` are quick."""
        room = self._room("pixels", pixels.shape)
        room[...] = pixels
        return room

    def add_to_weight_diff(self, pixels: Array, columns: Array, windows: Windows) -> None:
        """dW += pixels columns^T: the part of the weight's gradient that is due to a part of the images."""
        part, diff = self.scratch.weight_part, self.weights.weight.diff  # (P, C/G, kernel...)
        np.matmul(self._as_matrix(pixels, windows), columns.swapaxes(1, 2), out=self.matrix(part))
        diff += part

    def add_to_bias_diff(self, top_diff: Array) -> None:
        """db += the sum over all places of a part's top diff (M, spatial..., n)."""
        diff = self.weights.bias.diff  # (M,)
        diff += top_diff.sum(axis=tuple(range(1, top_diff.ndim)))

    def write_with_bias(self, values: Array, y: Array) -> None:
        """y = values + bias, where there is one; both (M, spatial..., n)."""
        if self.params.bias_term:
            np.add(values, self.weights.bias.data.reshape(-1, *[1] * (values.ndim - 1)), out=y)
        else:
            y[...] = values

    def matrix(self, kernels: Array) -> Array:
        """Kernels as one matrix a group: (G, P/G, C/G * K)."""
        return kernels.reshape(self.group, len(kernels) // self.group, -1, copy=False)

    def _images_at_once(self, shape: Shape, windows: Windows) -> int:
        axis = canonical_axis(self.params.axis, shape)
        channels = self.params.num_output if self.backwards else shape[axis]
        per_image = channels * math.prod(windows.kernel) * math.prod(windows.count)
        return max(1, min(shape[axis - 1] if axis else 1, BUFFER // per_image))

    def _columns(self, images: Array, windows: Windows) -> Array:
        """Room for a part's windows: (C, kernel..., count..., n); that of the images, where both are the same.

        The images lie last, so that rows are long where images are small: what is copied and added up is whole rows.
        """
        shape = (len(images), *windows.kernel, *windows.count, images.shape[-1])
        return self._room("images" if windows.pointwise else "columns", shape)

    def _room(self, name: str, shape: Shape) -> Array:
        """A scratch array, or of its beginning as much as an array of `shape` takes."""
        scratch: Array = getattr(self.scratch, name)
        return scratch[: math.prod(shape)].reshape(shape, copy=False)

    def _as_matrix(self, array: Array, windows: Windows) -> Array:
        """One matrix a group: its rows are channels (and kernel elements), its columns are the pixels of a part."""
        return array.reshape(self.group, -1, math.prod(windows.count) * array.shape[-1], copy=False)
