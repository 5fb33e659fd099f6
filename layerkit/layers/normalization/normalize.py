"""Normalize."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.fillers import Filler
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops, Weight
from layerkit.layers.normalization.moments import scaled_tangent
from layerkit.layers.shape.stretch import stretched
from layerkit.registry import register


@register
class Normalize(Layer):
    """Each sample, or each of its places, divided by its norm and scaled anew by channel.

        n = x / norm,  norm = sqrt(sum of x^2 + eps)        y = n * scale

    The sum is over channels and places, or (across_spatial false) over the channels at each place.
    With g = dy * scale the gradients are dx = (g - n * sum(g * n)) / norm, and dscale = the sum of dy * n over all
    that a scale serves. (SSD's code has dy for g in that sum, which is the same only while all scales are equal.)

    Bottoms: x, (N, C, ...).
    Tops: y, of the same shape.
    Weights: scale, a scalar, or (C,) with channel_shared false.
    Raises ShapeError for a bottom without channels.

    Example: {name: norm1, type: Normalize, across_spatial: false, channel_shared: false, scale_filler: {value: 20}}

    Source: Liu et al. 2015 (ParseNet); the normalize_layer.cpp of SSD's Caffe.
    """

    class Params(LayerParams):
        across_spatial: bool = Field(True, description="Whether a norm is over all places, or over each alone.")
        scale_filler: Filler = Field(Filler(value=1.0), description="How the scale starts.")
        channel_shared: bool = Field(True, description="Whether one scale serves all channels.")
        eps: float = Field(1e-10, ge=0, description="Added to the sum of squares, so that nothing is divided by 0.")

    def plan(self, *bottoms: Shape) -> Plan:
        (x,) = bottoms
        if len(x) < 2:
            raise ShapeError(f"Normalize needs a bottom (N, C, ...), not {shape_text(x)}", "bottom")
        own = tuple(1 if axis in self._axes(len(x)) else length for axis, length in enumerate(x))
        scale = () if self.params.channel_shared else (x[1],)
        return Plan(
            tops=[x],
            weights=[Weight("scale", scale, self.params.scale_filler)],
            scratch=[
                Scratch("n", x, keep=True, like_blob=True),
                Scratch("norm", own, keep=True),
                Scratch("sums", own),
                Scratch("work", x, like_blob=True),
            ],
            reads_bottoms=(),
            reads_tops=(),
            in_place=True,
            by_rows=True,
        )

    def _axes(self, count: int) -> tuple[int, ...]:
        """The axes that a norm is over."""
        return tuple(range(1, count)) if self.params.across_spatial else (1,)

    def _scale(self, x: Array) -> Array:
        """The scale, so that it stretches over x: (C, 1, ...) or ()."""
        return stretched(self.weights.scale.values, 1, x)

    def _sum(self, values: Array, out: Array) -> None:
        """Sums over what a norm is over; in float64, as there may be millions of values."""
        out[...] = np.sum(values, self._axes(values.ndim), dtype=np.float64, keepdims=True)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, n, norm = bottom[0].data, self.scratch.n, self.scratch.norm
        self._sum(np.square(x, out=n), norm)
        norm += self.params.eps
        np.sqrt(norm, out=norm)
        np.divide(x, norm, out=n)
        np.multiply(n, self._scale(x), out=top[0].data)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        dy, dx, s = top[0].diff, bottom[0].diff, self.scratch
        if "scale" in self.asked:
            dscale = self.weights.scale.diff
            others = tuple(axis for axis in range(dy.ndim) if axis != 1 or not dscale.ndim)
            np.sum(np.multiply(dy, s.n, out=s.work), others, out=dscale)
        if propagate_down[0]:  # last: this diff may lie where dy does
            g = np.multiply(dy, self._scale(dy), out=dx)
            self._sum(np.multiply(g, s.n, out=s.work), s.sums)
            np.multiply(s.n, s.sums, out=s.work)
            np.subtract(g, s.work, out=dx)
            np.divide(dx, s.norm, out=dx)

    def jvp(
        self, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], top_tangent: Sequence[Array]
    ) -> None:
        s, t, out = self.scratch, bottom_tangent[0], top_tangent[0]
        out[...] = 0
        if t is not None:
            self._sum(t * s.n, s.sums)
            np.divide(t - s.n * s.sums, s.norm, out=out)
        scaled_tangent(self, s.n, out, lambda weight: stretched(weight, 1, out))
