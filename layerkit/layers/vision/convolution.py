"""Convolution over any number of spatial axes."""

from __future__ import annotations

from collections.abc import Sequence

from layerkit.blob import Shape
from layerkit.layer import Bottoms, Tops, canonical_axis
from layerkit.layers.vision.kernels import KernelParams, SlidingKernels
from layerkit.layers.vision.window import Windows, per_axis, sliding
from layerkit.registry import register


@register
class Convolution(SlidingKernels):
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

    class Params(KernelParams):
        """Parameters of Convolution."""

    def windows(self, shape: Shape) -> Windows:
        """The windows over a bottom of this shape. Raises ShapeError where not even one fits."""
        size = shape[canonical_axis(self.params.axis, shape) + 1 :]
        return sliding(self.params, size, per_axis(self.params, "dilation", len(size), 1))

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        for below, above in zip(bottom, top, strict=True):
            windows = self.windows(below.shape)
            for x, y in self.parts(windows, below.data, above.data):  # (C, size..., n), (M, count..., n)
                columns = self.to_columns(x, windows)  # (G, C/G * K, pixels)
                self.write_with_bias(self.to_pixels(columns, y, windows), y)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        for name in self.asked:
            self.weights[name].diff[...] = 0
        for below, above, wanted in zip(bottom, top, propagate_down, strict=True):
            windows = self.windows(below.shape)
            x_diff = below.diff if wanted else below.data  # unwanted: a stand-in that is not written
            for x, dx, top_diff in self.parts(windows, below.data, x_diff, above.diff):
                dy = self.copied(top_diff)  # (M, count..., n)
                if "bias" in self.asked:
                    self.add_to_bias_diff(dy)
                if "weight" in self.asked:
                    self.add_to_weight_diff(dy, self.to_columns(x, windows), windows)
                if wanted:
                    dx[...] = self.to_images(dy, dx, windows)
