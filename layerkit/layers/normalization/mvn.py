"""MVN: mean-variance normalization."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops
from layerkit.layers.normalization.moments import average
from layerkit.registry import register
from layerkit.tangents import symmetric


@register
class MVN(Layer):
    """Mean-variance normalization of each sample, channel by channel or as a whole.

        y = (x - mean) / (std + eps), or without normalize_variance y = x - mean

    where std is the root of the variance alone. The gradient is, with all means over the same places,

        dx = (dy - mean(dy) - y * mean(dy * y) * (std + eps) / std) / (std + eps), or dx = dy - mean(dy)

    Caffe's lacks the factor (std + eps) / std, which with its small eps is 1 but where std is nearly 0.

    Bottoms: x, (N, C, ...).
    Tops: y, of the same shape.
    Raises ShapeError for a bottom without channels.

    Example: {name: mvn1, type: MVN, across_channels: true}

    Source: Caffe's mvn_layer.cpp.
    """

    class Params(LayerParams):
        normalize_variance: bool = Field(True, description="Whether to divide by the standard deviation, too.")
        across_channels: bool = Field(False, description="Whether means are over all channels, or over each alone.")
        eps: float = Field(1e-9, ge=0, description="Added to the standard deviation.")

    def plan(self, *bottoms: Shape) -> Plan:
        (x,) = bottoms
        if len(x) < 2:
            raise ShapeError(f"MVN needs a bottom (N, C, ...), not {shape_text(x)}", "bottom")
        own = tuple(1 if axis in self._axes(len(x)) else length for axis, length in enumerate(x))
        divides = self.params.normalize_variance
        return Plan(
            tops=[x],
            scratch=[
                Scratch("means", own),
                *([Scratch("std", own, keep=True), Scratch("work", x, like_blob=True)] if divides else []),
            ],
            reads_bottoms=(),
            reads_tops=(0,) if divides else (),
            in_place=True,
            by_rows=True,
        )

    def _axes(self, count: int) -> tuple[int, ...]:
        """The axes that means are over; none for (N, C) channel by channel, where each number is its own mean."""
        return tuple(range(1 if self.params.across_channels else 2, count))

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, y, s = bottom[0].data, top[0].data, self.scratch
        if not x.size:
            return
        average(x, self._axes(x.ndim), s.means)
        np.subtract(x, s.means, out=y)
        if self.params.normalize_variance:
            average(np.square(y, out=s.work), self._axes(x.ndim), s.std)
            np.sqrt(s.std, out=s.std)
            np.add(s.std, self.params.eps, out=s.means)
            np.divide(y, s.means, out=y)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        dy, dx, s = top[0].diff, bottom[0].diff, self.scratch
        if not propagate_down[0] or not dy.size:
            return
        axes, eps = self._axes(dy.ndim), self.params.eps
        if not self.params.normalize_variance:
            average(dy, axes, s.means)
            np.subtract(dy, s.means, out=dx)
            return
        y = top[0].data
        average(np.multiply(dy, y, out=s.work), axes, s.means)
        s.means *= s.std + eps
        np.divide(s.means, s.std, out=s.means, where=s.std > 0)  # where std is 0, so is y, and so is this mean
        np.multiply(y, s.means, out=s.work)
        average(dy, axes, s.means)
        np.subtract(dy, s.means, out=dx)
        np.subtract(dx, s.work, out=dx)
        np.add(s.std, eps, out=s.means)
        np.divide(dx, s.means, out=dx)

    jvp = symmetric
