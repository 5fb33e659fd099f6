"""Deconvolution: a convolution run backwards, to make images larger."""

from __future__ import annotations

from collections.abc import Sequence

from layerkit.blob import Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Tops, canonical_axis
from layerkit.layers.vision.kernels import KernelParams, SlidingKernels
from layerkit.layers.vision.window import Windows, per_axis
from layerkit.registry import register


@register
class Deconvolution(SlidingKernels):
    """Transposed convolution: each element of a bottom adds multiples of kernels to its top.

        y[n, m, j * stride - pad + k * dilation] = bias[m] + sum over c, j, k of x[n, c, j] * weight[c, m, k]

    where j and k have one number per spatial axis, what falls outside the top is dropped, and with `group` G the
    channels c of group g reach only the outputs m of group g (G equal parts of both).

    Bottoms: (..., C, size...) each, all of one shape: C channels at `axis`, spatial axes behind it, images before it.
    Weights: weight (C, M / G, kernel...); bias (M,).
    Tops: (..., M, size'...), size' = (size - 1) stride + dilation (kernel - 1) + 1 - 2 pad.
    Raises ShapeError where nothing is left of a top within its padding, or G does not divide C and M.

    It is a Convolution from the top to the bottom, whose forward and backward passes have changed places: with the
    windows over the top as columns, Y = W^T X; then dX = W dY and dW = X dY^T.

    Example: {name: up, type: Deconvolution, num_output: 21, group: 21, kernel_size: 4, stride: 2, pad: 1,
        bias_term: false, weight_filler: bilinear}

    Source: Zeiler et al. 2010; Caffe's deconv_layer.cpp.
    """

    class Params(KernelParams):
        """Parameters of Deconvolution."""

    backwards = True

    def windows(self, shape: Shape) -> Windows:
        """The windows over the top, one for each element of a bottom. Raises ShapeError where the top is empty."""
        count = shape[canonical_axis(self.params.axis, shape) + 1 :]
        kernel, stride, pad, dilation = (
            per_axis(self.params, field, len(count), default)
            for field, default in (("kernel_size", None), ("stride", 1), ("pad", 0), ("dilation", 1))
        )
        size = tuple(
            (n - 1) * step + (k - 1) * d + 1 - 2 * margin
            for n, step, k, d, margin in zip(count, stride, kernel, dilation, pad, strict=True)
        )
        if min(count, default=1) < 1 or min(size, default=1) < 1:
            raise ShapeError(
                f"pad {shape_text(pad)} leaves nothing of the top of a bottom {shape_text(shape)}: "
                f"its spatial axes would be {', '.join(map(str, size))}",
                "pad" if any(pad) else "bottom",
            )
        return Windows(size, count, kernel, stride, pad, dilation)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        for below, above in zip(bottom, top, strict=True):
            windows = self.windows(below.shape)
            for x, y in self.parts(windows, below.data, above.data):  # (C, count..., n), (M, size..., n)
                self.write_with_bias(self.to_images(self.copied(x), y, windows), y)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        for name in self.asked:
            self.weights[name].diff[...] = 0
        for below, above, wanted in zip(bottom, top, propagate_down, strict=True):
            windows = self.windows(below.shape)
            x_diff = below.diff if wanted else below.data  # unwanted: a stand-in that is not written
            for x, dx, dy in self.parts(windows, below.data, x_diff, above.diff):
                if "bias" in self.asked:
                    self.add_to_bias_diff(dy)
                if "weight" in self.asked or wanted:
                    columns = self.to_columns(dy, windows)  # (G, M/G * K, pixels)
                if "weight" in self.asked:
                    self.add_to_weight_diff(self.copied(x), columns, windows)
                if wanted:
                    dx[...] = self.to_pixels(columns, dx, windows)
