"""LayerNorm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape
from layerkit.fillers import Filler
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops, Weight, canonical_axis
from layerkit.layers.normalization.moments import scaled_tangent, standardize, standardize_backward
from layerkit.registry import register


@register
class LayerNorm(Layer):
    """Layer normalization: mean 0 and variance 1 for each sample, over the axes from `axis` on.

        n = (x - mean) / std,  std = sqrt(variance + eps)        y = n * scale + bias, or with affine false y = n

    With g = dy * scale the gradients are dx = (g - mean(g) - n * mean(g * n)) / std with means over the same axes, and
    dscale = the sum of dy * n and dbias = the sum of dy over the axes before them.

    Bottoms: x, of any shape with at least the axis.
    Tops: y, of the same shape.
    Weights, with affine: scale and bias, with the shape of the axes from `axis` on; they start at 1 and 0.
    Raises ShapeError where there is no such axis.

    Example: {name: ln1, type: LayerNorm, axis: -1}

    Source: Ba et al. 2016; PyTorch's LayerNorm; the axis as in ONNX's LayerNormalization.
    """

    class Params(LayerParams):
        axis: int = Field(-1, description="First axis of those that are normalized over; negative: from the back.")
        eps: float = Field(1e-5, ge=0, description="Added to the variance, so that nothing is divided by 0.")
        affine: bool = Field(True, description="Whether a learned scale and bias follow.")

    def plan(self, *bottoms: Shape) -> Plan:
        (x,) = bottoms
        axis = canonical_axis(self.params.axis, x)
        own, ones = x[axis:], (1,) * (len(x) - axis)
        affine = self.params.affine
        return Plan(
            tops=[x],
            weights=[Weight("scale", own, Filler(value=1.0)), Weight("bias", own)] if affine else [],
            scratch=[
                *([Scratch("n", x, keep=True, like_blob=True)] if affine else []),
                Scratch("std", (*x[:axis], *ones), keep=True),
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
        x, y, s = bottom[0].data, top[0].data, self.scratch
        if not x.size:
            return
        n = s.n if self.params.affine else y
        standardize(x, self._axes(x.ndim), self.params.eps, n, s.std, s.work)
        if self.params.affine:
            np.multiply(n, self.weights.scale.values, out=y)
            np.add(y, self.weights.bias.values, out=y)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        dy, s = top[0].diff, self.scratch
        axes = self._axes(dy.ndim)
        if "scale" in self.asked:
            np.multiply(dy, s.n, out=s.work)
            np.sum(s.work, tuple(range(axes[0])), out=self.weights.scale.diff)
        if "bias" in self.asked:
            np.sum(dy, tuple(range(axes[0])), out=self.weights.bias.diff)
        if propagate_down[0] and dy.size:  # last: this diff may lie where dy does
            n = s.n if self.params.affine else top[0].data
            g = np.multiply(dy, self.weights.scale.values, out=bottom[0].diff) if self.params.affine else dy
            standardize_backward(g, n, axes, s.std, bottom[0].diff, s.means, s.work)

    def jvp(
        self, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], top_tangent: Sequence[Array]
    ) -> None:
        s, t, out = self.scratch, bottom_tangent[0], top_tangent[0]
        n = s.n if self.params.affine else top[0].data
        out[...] = 0
        if t is not None:
            standardize_backward(t, n, self._axes(n.ndim), s.std, out, s.means, s.work)  # the Jacobian is symmetric
        if self.params.affine:
            scaled_tangent(self, n, out, lambda weight: weight)
