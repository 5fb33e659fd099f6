"""Convolution over any number of spatial axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.fillers import Filler
from layerkit.layer import Bottoms, Layer, Plan, Scratch, Tops, Weight, canonical_axis, same_shape
from layerkit.layers.vision.window import Positive, WindowParams, Windows, col2im, im2col, per_axis, sliding
from layerkit.registry import register

BUFFER = 1 << 20
"""Elements of the column matrix that are worked on at a time, at least one image: about a cache's worth."""


@register
class Convolution(Layer):
    """Convolution of each bottom with the same learned kernels.

    It is a cross-correlation, as everywhere in deep learning:

        y[n, m, j] = bias[m] + sum over c, k of weight[m, c, k] * x[n, c, j * stride - pad + k * dilation]

    where j and k have one number per spatial axis, x is 0 outside the bottom, and with `group` G the outputs m of
    group g see only the channels c of group g (G equal parts of both).

    Bottoms: (..., C, size...) each, all of one shape: C channels at `axis`, spatial axes behind it, images before it.
    Weights: weight (M, C / G, kernel...); bias (M,).
    Tops: (..., M, count...), count = floor((size + 2 pad - dilation (kernel - 1) - 1) / stride) + 1.
    Raises ShapeError where the kernel is larger than the padded bottom, or G does not divide C and M.

    It is a matrix product: with the windows laid out as columns (im2col), Y = W X; then dW = dY X^T, dX = W^T dY.

    Example: {name: conv1, type: Convolution, num_output: 96, kernel_size: 11, stride: 4, weight_filler: msra}

    Source: LeCun et al. 1989; Caffe's conv_layer.cpp.
    """

    class Params(WindowParams):
        """Parameters of Convolution."""

        num_output: int = Field(gt=0, description="Output channels, M.")
        dilation: list[Positive] = Field(
            [], description="Step within a kernel: one value (1), or one per spatial axis."
        )
        group: int = Field(1, gt=0, description="Parts that inputs and outputs are divided into, G.")
        axis: int = Field(1, description="The channel axis; every axis behind it is spatial.")
        bias_term: bool = Field(True, description="Whether a bias is added.")
        weight_filler: Filler = Field(Filler(), description="How the kernels start.")
        bias_filler: Filler = Field(Filler(), description="How the bias starts.")
        force_nd_im2col: bool = Field(
            False, description="Accepted for Caffe's sake: there is one routine for all axes."
        )

    bottoms = (1, None)
    tops = (1, None)
    same_number = True

    def plan(self, *bottoms: Shape) -> Plan:
        p, shape = self.params, same_shape(bottoms)
        axis = canonical_axis(p.axis, shape)
        channels = shape[axis]
        if channels % p.group or not channels:
            raise ShapeError(f"group {p.group} does not divide the {channels} channels of {shape_text(shape)}", "group")
        if p.num_output % p.group:
            raise ShapeError(f"group {p.group} does not divide num_output {p.num_output}", "group")
        windows = self.windows(shape)
        kernels = (p.num_output, channels // p.group, *windows.kernel)
        top = (*shape[:axis], p.num_output, *windows.count)
        images = self._images_at_once(shape, windows)
        pixels = images * math.prod(windows.count)
        columns = 0 if windows.pointwise else channels * math.prod(windows.kernel) * pixels
        weights = [Weight("weight", kernels, p.weight_filler), Weight("bias", (p.num_output,), p.bias_filler)]
        return Plan(
            tops=[top] * len(bottoms),
            weights=weights if p.bias_term else weights[:1],
            scratch=[
                Scratch("images", (channels * math.prod(windows.size) * images,)),
                Scratch("columns", (columns,)),
                Scratch("pixels", (p.num_output * pixels,)),
                Scratch("weight_part", kernels),
            ],
            reads_tops=(),
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        weight = self.weights.weight.data.reshape(self._group_shape)  # (G, M/G, C/G * K)
        for below, above in zip(bottom, top, strict=True):
            windows = self.windows(below.shape)
            for x, y in self._parts(windows, below.data, above.data):  # (C, size..., n), (M, count..., n)
                images, columns, pixels = self._work(x, y, windows)
                images[...] = x
                if not windows.pointwise:
                    im2col(images, windows, columns)
                np.matmul(weight, self._as_matrix(columns, pixels), out=self._as_matrix(pixels, pixels))
                if self.params.bias_term:
                    np.add(pixels, self.weights.bias.data.reshape(-1, *[1] * (pixels.ndim - 1)), out=y)
                else:
                    y[...] = pixels

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        weight = self.weights.weight.data.reshape(self._group_shape)  # (G, M/G, C/G * K)
        for name in self.asked:
            self.weights[name].diff[...] = 0
        for below, above, wanted in zip(bottom, top, propagate_down, strict=True):
            windows = self.windows(below.shape)
            x_diff = below.diff if wanted else below.data  # unwanted: a stand-in that is not written
            for x, dx, dy in self._parts(windows, below.data, x_diff, above.diff):
                images, columns, pixels = self._work(x, dy, windows)
                pixels[...] = dy
                dy_matrix, matrix = self._as_matrix(pixels, pixels), self._as_matrix(columns, pixels)
                if "bias" in self.asked:
                    bias_diff = self.weights.bias.diff  # (M,)
                    bias_diff += dy_matrix.sum(axis=2).reshape(-1)
                if "weight" in self.asked:
                    images[...] = x
                    if not windows.pointwise:
                        im2col(images, windows, columns)
                    part, weight_diff = self.scratch.weight_part, self.weights.weight.diff  # (M, C/G, kernel...)
                    np.matmul(dy_matrix, matrix.swapaxes(1, 2), out=part.reshape(self._group_shape, copy=False))
                    weight_diff += part
                if wanted:
                    np.matmul(weight.swapaxes(1, 2), dy_matrix, out=matrix)
                    if not windows.pointwise:
                        col2im(columns, windows, images)
                    dx[...] = images

    def windows(self, shape: Shape) -> Windows:
        """The windows over a bottom of this shape. Raises ShapeError where not even one fits."""
        size = shape[canonical_axis(self.params.axis, shape) + 1 :]
        return sliding(self.params, size, per_axis(self.params, "dilation", len(size), 1))

    def _images_at_once(self, shape: Shape, windows: Windows) -> int:
        axis = canonical_axis(self.params.axis, shape)
        per_image = shape[axis] * math.prod(windows.kernel) * math.prod(windows.count)
        return max(1, min(shape[axis - 1] if axis else 1, BUFFER // per_image))

    def _parts(self, windows: Windows, *arrays: Array) -> Iterator[tuple[Array, ...]]:
        """The arrays cut into few images each, as views (channels, spatial..., n)."""
        shape = arrays[0].shape
        axis, at_once = canonical_axis(self.params.axis, shape), self._images_at_once(shape, windows)
        if axis == 0:
            yield tuple(array[..., np.newaxis] for array in arrays)
            return
        for before in np.ndindex(shape[: axis - 1]):
            for start in range(0, shape[axis - 1], at_once):
                yield tuple(np.moveaxis(array[before][start : start + at_once], 0, -1) for array in arrays)

    def _work(self, x: Array, y: Array, windows: Windows) -> tuple[Array, Array, Array]:
        """Contiguous room for a part's images, like x, columns (C, kernel..., count..., n) and pixels, like y.

        The images lie last, so that rows are long where images are small: what is copied and added up is whole rows.
        """
        images, pixels = self._room("images", x.shape), self._room("pixels", y.shape)
        shape = (len(x), *windows.kernel, *y.shape[1:])
        return images, images.reshape(shape) if windows.pointwise else self._room("columns", shape), pixels

    def _room(self, name: str, shape: Shape) -> Array:
        """A scratch array, or of its beginning as much as an array of `shape` takes."""
        scratch: Array = getattr(self.scratch, name)
        return scratch[: math.prod(shape)].reshape(shape, copy=False)

    @property
    def _group_shape(self) -> Shape:
        """The kernels as one matrix a group: (G, M/G, C/G * K)."""
        return (self.params.group, self.params.num_output // self.params.group, -1)

    def _as_matrix(self, array: Array, pixels: Array) -> Array:
        """One matrix a group: its rows are channels (and kernel elements), its columns the pixels of `pixels`."""
        return array.reshape(self.params.group, -1, pixels[0].size, copy=False)
