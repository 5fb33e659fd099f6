"""Im2col: windows laid out as channels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, Plan, Tops, canonical_axis
from layerkit.layers.vision.kernels import SlidingParams
from layerkit.layers.vision.window import Windows, col2im, im2col, per_axis, sliding
from layerkit.registry import register
from layerkit.tangents import affine


@register
class Im2col(Layer):
    """Lays out the elements of each window as channels, as Convolution does inside.

        y[n, (c, k), j] = x[n, c, j * stride - pad + k * dilation], 0 outside the bottom

    where j and k have one number per spatial axis. The gradient of an element is the sum over all its places.

    Bottoms: (..., C, size...): C channels at `axis`, spatial axes behind it, images before it.
    Tops: (..., C * K, count...), K the elements of a kernel; count as for Convolution.
    Raises ShapeError where the kernel is larger than the padded bottom.

    Example: {name: columns, type: Im2col, kernel_size: 3, pad: 1}

    Source: Caffe's im2col_layer.cpp.
    """

    class Params(SlidingParams):
        """Parameters of Im2col."""

    def plan(self, *bottoms: Shape) -> Plan:
        (shape,) = bottoms
        axis = canonical_axis(self.params.axis, shape)
        if axis == len(shape) - 1:
            raise ShapeError(f"axis {self.params.axis} leaves no spatial axes of {shape_text(shape)}", "axis")
        windows = self._windows(shape)
        top = (*shape[:axis], shape[axis] * math.prod(windows.kernel), *windows.count)
        return Plan(tops=[top], reads_bottoms=(), reads_tops=(), by_rows=axis != 0)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        windows = self._windows(bottom[0].shape)
        for images, columns in self._parts(bottom[0].data, top[0].data, windows):
            im2col(images, windows, columns)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if not propagate_down[0]:
            return
        windows = self._windows(bottom[0].shape)
        for images, columns in self._parts(bottom[0].diff, top[0].diff, windows):
            col2im(columns, windows, images)

    jvp = affine

    def _windows(self, shape: Shape) -> Windows:
        size = shape[canonical_axis(self.params.axis, shape) + 1 :]
        return sliding(self.params, size, per_axis(self.params, "dilation", len(size), 1))

    def _parts(self, x: Array, y: Array, windows: Windows) -> Iterator[tuple[Array, Array]]:
        """Views of all images with the same place in the first axes: (C, size..., n), (C, kernel..., count..., n)."""
        axis = canonical_axis(self.params.axis, x.shape)
        if axis == 0:
            x, y, axis = x[np.newaxis], y[np.newaxis], 1
        for before in np.ndindex(x.shape[: axis - 1]):
            images, columns = np.moveaxis(x[before], 0, -1), np.moveaxis(y[before], 0, -1)
            yield images, columns.reshape(len(images), *windows.kernel, *columns.shape[1:], copy=False)
