"""GroupNorm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.fillers import Filler
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops, Weight
from layerkit.layers.normalization.moments import scaled_tangent, standardize, standardize_backward
from layerkit.layers.shape.stretch import stretched
from layerkit.registry import register
from layerkit.words import counted


@register
class GroupNorm(Layer):
    """Group normalization: mean 0 and variance 1 over each sample's groups of channels.

        n = (x - mean) / std,  std = sqrt(variance + eps)        y = n * scale + bias, or with affine false y = n

    A mean is over C / num_groups channels at all their places. One group is a LayerNorm over (C, ...), with scale and
    bias by channel; C groups are instance normalization.
    With g = dy * scale the gradients are dx = (g - mean(g) - n * mean(g * n)) / std, and dscale = the sum of dy * n
    and dbias = the sum of dy over samples and places.

    Bottoms: x, (N, C, ...).
    Tops: y, of the same shape.
    Weights, with affine: scale (C,) and bias (C,), one for each channel; they start at 1 and 0.
    Raises ShapeError for a bottom without channels, and where num_groups does not divide them.

    Example: {name: gn1, type: GroupNorm, num_groups: 2}

    Source: Wu and He 2018; PyTorch's GroupNorm.
    """

    class Params(LayerParams):
        num_groups: int = Field(gt=0, description="How many groups of channels there are; divides the channels.")
        eps: float = Field(1e-5, ge=0, description="Added to the variance, so that nothing is divided by 0.")
        affine: bool = Field(True, description="Whether a learned scale and bias follow.")

    def plan(self, *bottoms: Shape) -> Plan:
        (x,) = bottoms
        if len(x) < 2:
            raise ShapeError(f"GroupNorm needs a bottom (N, C, ...), not {shape_text(x)}", "bottom")
        groups, affine = self.params.num_groups, self.params.affine
        if x[1] % groups:
            raise ShapeError(
                f"num_groups {groups} does not divide the {counted(x[1], 'channel')} of {shape_text(x)}", "num_groups"
            )
        each_group = (x[0], groups, *(1 for _ in x[1:]))
        return Plan(
            tops=[x],
            weights=[Weight("scale", (x[1],), Filler(value=1.0)), Weight("bias", (x[1],))] if affine else [],
            scratch=[
                *([Scratch("n", x, keep=True, like_blob=True)] if affine else []),
                Scratch("std", each_group, keep=True),
                Scratch("means", each_group),
                Scratch("work", x, like_blob=True),
            ],
            reads_bottoms=(),
            reads_tops=() if affine else (0,),
            in_place=True,
            by_rows=True,
        )

    def _grouped(self, x: Array) -> Array:
        """A view of (N, C, ...) as (N, groups, C / groups, ...)."""
        groups = self.params.num_groups
        return x.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:], copy=False)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, y, s = bottom[0].data, top[0].data, self.scratch
        if not x.size:
            return
        n = s.n if self.params.affine else y
        groups, out, work = map(self._grouped, (x, n, s.work))
        standardize(groups, tuple(range(2, work.ndim)), self.params.eps, out, s.std, work)
        if self.params.affine:
            np.multiply(n, stretched(self.weights.scale.values, 1, x), out=y)
            np.add(y, stretched(self.weights.bias.values, 1, x), out=y)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        dy, dx, s = top[0].diff, bottom[0].diff, self.scratch
        others = tuple(axis for axis in range(dy.ndim) if axis != 1)
        if "scale" in self.asked:
            np.sum(np.multiply(dy, s.n, out=s.work), others, out=self.weights.scale.diff)
        if "bias" in self.asked:
            np.sum(dy, others, out=self.weights.bias.diff)
        if propagate_down[0] and dy.size:  # last: this diff may lie where dy does
            n, g = top[0].data, dy
            if self.params.affine:
                n, g = s.n, np.multiply(dy, stretched(self.weights.scale.values, 1, dy), out=dx)
            g, n, out, work = map(self._grouped, (g, n, dx, s.work))
            standardize_backward(g, n, tuple(range(2, work.ndim)), s.std, out, s.means, work)

    def jvp(
        self, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], top_tangent: Sequence[Array]
    ) -> None:
        s, t, out = self.scratch, bottom_tangent[0], top_tangent[0]
        n = s.n if self.params.affine else top[0].data
        out[...] = 0
        if t is not None:
            g, y, into, work = map(self._grouped, (t, n, out, s.work))
            standardize_backward(g, y, tuple(range(2, work.ndim)), s.std, into, s.means, work)  # it is symmetric
        if self.params.affine:
            scaled_tangent(self, n, out, lambda weight: stretched(weight, 1, n))
