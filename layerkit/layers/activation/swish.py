"""Swish."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops
from layerkit.layers.activation.logistic import logistic
from layerkit.registry import register
from layerkit.tangents import symmetric


@register
class Swish(Layer):
    """Each x times a share of it that grows with x (with beta 1: SiLU).

        y = x * s,  s = 1 / (1 + exp(-beta * x))        dx = dy * (s + beta * x * s * (1 - s))

    s is computed as (tanh(beta * x / 2) + 1) / 2, which cannot overflow.

    Bottoms: x, of any shape.
    Tops: y, of the same shape.

    Example: {name: swish1, type: Swish, beta: 1.5}

    Source: Ramachandran et al. 2017; Caffe's swish_layer.cpp.
    """

    class Params(LayerParams):
        beta: float = Field(1.0, description="How steeply the share grows; 0 halves every x.")

    def plan(self, *bottoms: Shape) -> Plan:
        return Plan(
            tops=[bottoms[0]],
            by_rows=True,
            scratch=[Scratch(name, bottoms[0], like_blob=True) for name in ("share", "slope")],
            reads_tops=(),
            in_place=True,
        )

    def _share(self, x: Array) -> Array:
        """The logistic function of beta * x."""
        share: Array = np.multiply(x, self.params.beta, out=self.scratch.share)
        return logistic(share, out=share)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x = bottom[0].data
        np.multiply(x, self._share(x), out=top[0].data)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            x, slope = bottom[0].data, self.scratch.slope
            share = self._share(x)
            np.subtract(1, share, out=slope)
            np.multiply(slope, x, out=slope)
            np.multiply(slope, self.params.beta, out=slope)
            np.add(slope, 1, out=slope)
            np.multiply(slope, share, out=slope)  # s * (1 + beta * x * (1 - s))
            np.multiply(top[0].diff, slope, out=bottom[0].diff)

    jvp = symmetric
