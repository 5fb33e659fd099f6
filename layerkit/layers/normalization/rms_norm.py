"""RMSNorm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape
from layerkit.fillers import Filler
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops, Weight, canonical_axis
from layerkit.layers.normalization.moments import average, scaled_tangent
from layerkit.registry import register


@register
class RMSNorm(Layer):
    """Each sample divided by its root mean square: LayerNorm without a mean.

        n = x / rms,  rms = sqrt(mean(x^2) + eps)        y = n * scale, or with affine false y = n

    where means are over the axes from `axis` on. With g = dy * scale the gradients are
    dx = (g - n * mean(g * n)) / rms, and dscale = the sum of dy * n over the axes before `axis`.

    Bottoms: x, of any shape with at least the axis.
    Tops: y, of the same shape.
    Weights, with affine: scale, with the shape of the axes from `axis` on; it starts at 1.
    Raises ShapeError where there is no such axis.

    Example: {name: rms1, type: RMSNorm, axis: -1}

    Source: Zhang and Sennrich 2019; PyTorch's RMSNorm; the axis and eps as in ONNX's RMSNormalization.
    """

    class Params(LayerParams):
        axis: int = Field(-1, description="First axis of those that are normalized over; negative: from the back.")
        eps: float = Field(1e-5, ge=0, description="Added to the mean square, so that nothing is divided by 0.")
        affine: bool = Field(True, description="Whether a learned scale follows.")

    def plan(self, *bottoms: Shape) -> Plan:
        (x,) = bottoms
        axis = canonical_axis(self.params.axis, x)
        own, ones = x[axis:], (1,) * (len(x) - axis)
        affine = self.params.affine
        return Plan(
            tops=[x],
            weights=[Weight("scale", own, Filler(value=1.0))] if affine else [],
            scratch=[
                *([Scratch("n", x, keep=True, like_blob=True)] if affine else []),
                Scratch("rms", (*x[:axis], *ones), keep=True),
                Scratch("means", (*x[:axis], *ones)),
                Scratch("work", x, like_blob=True),
            ],
            reads_bottoms=(),
            reads_tops=() if affine else (0,),
            in_place=True,
            by_rows=axis != 0,
            multiply_adds=0,
        )

    def _axes(self, count: int) -> tuple[int, ...]:
        return tuple(range(self.params.axis % count, count))

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, y, rms = bottom[0].data, top[0].data, self.scratch.rms
        if not x.size:
            return
        average(np.square(x, out=self.scratch.work), self._axes(x.ndim), rms)
        rms += self.params.eps
        np.sqrt(rms, out=rms)
        n = np.divide(x, rms, out=self.scratch.n if self.params.affine else y)
        if self.params.affine:
            np.multiply(n, self.weights.scale.values, out=y)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        dy, dx, s = top[0].diff, bottom[0].diff, self.scratch
        axes = self._axes(dy.ndim)
        if "scale" in self.asked:
            np.multiply(dy, s.n, out=s.work)
            np.sum(s.work, tuple(range(axes[0])), out=self.weights.scale.diff)
        if propagate_down[0] and dy.size:  # last: this diff may lie where dy does
            n = s.n if self.params.affine else top[0].data
            g = np.multiply(dy, self.weights.scale.values, out=dx) if self.params.affine else dy
            average(np.multiply(g, n, out=s.work), axes, s.means)
            np.multiply(n, s.means, out=s.work)
            np.subtract(g, s.work, out=dx)
            np.divide(dx, s.rms, out=dx)

    def jvp(
        self, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], top_tangent: Sequence[Array]
    ) -> None:
        s, t, out = self.scratch, bottom_tangent[0], top_tangent[0]
        n = s.n if self.params.affine else top[0].data
        out[...] = 0
        if t is not None:
            average(t * n, self._axes(n.ndim), s.means)
            np.divide(t - n * s.means, s.rms, out=out)
        if self.params.affine:
            scaled_tangent(self, n, out, lambda weight: weight)
