"""GELU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops
from layerkit.layers.activation.erf import erf
from layerkit.registry import register
from layerkit.tangents import symmetric

_ROOT = math.sqrt(2 / math.pi)
_CUBIC = 0.044715


@register
class GELU(Layer):
    """Gaussian error linear unit: each x times the share of a normal distribution below it.

        NONE   y = x * s,  s = (1 + erf(x / sqrt(2))) / 2                        s' = exp(-x^2 / 2) / sqrt(2 pi)
        TANH   y = x * s,  s = (1 + tanh(u)) / 2                                 s' = 2 s (1 - s) u'
                           u = sqrt(2 / pi) * (x + 0.044715 x^3)

    The gradient is dx = dy * (s + x s').

    Bottoms: x, of any shape.
    Tops: y, of the same shape.

    Example: {name: gelu1, type: GELU, approximate: TANH}

    Source: Hendrycks and Gimpel 2016; PyTorch's GELU.
    """

    class Params(LayerParams):
        approximate: Literal["NONE", "TANH"] = Field(
            "NONE", description="How the share is computed: exactly, or by a tanh that comes near to it."
        )

    def plan(self, *bottoms: Shape) -> Plan:
        return Plan(
            tops=[bottoms[0]],
            by_rows=True,
            scratch=[
                Scratch("share", bottoms[0], keep=True, like_blob=True),
                Scratch("slope", bottoms[0], like_blob=True),
                Scratch("square", bottoms[0], like_blob=True),
            ],
            reads_tops=(),
            in_place=True,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, share = bottom[0].data, self.scratch.share
        if self.params.approximate == "TANH":
            np.square(x, out=share)
            share *= _CUBIC * _ROOT
            share += _ROOT
            share *= x  # u
            np.tanh(share, out=share)
        else:
            np.multiply(x, math.sqrt(0.5), out=share)
            erf(share)
        share += 1
        share /= 2
        np.multiply(x, share, out=top[0].data)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            x, share = bottom[0].data, self.scratch.share
            slope = self._share_slope(x, share)
            slope *= x
            slope += share
            np.multiply(top[0].diff, slope, out=bottom[0].diff)

    jvp = symmetric

    def _share_slope(self, x: Array, share: Array) -> Array:
        """The derivative s' of the share."""
        slope: Array = self.scratch.slope
        square = np.square(x, out=self.scratch.square)
        if self.params.approximate == "TANH":
            square *= 3 * _CUBIC * _ROOT
            square += _ROOT  # u'
            np.subtract(1, share, out=slope)
            slope *= share
            slope *= square
            slope *= 2
        else:
            np.divide(square, -2, out=slope)
            np.exp(slope, out=slope)
            slope /= math.sqrt(2 * math.pi)
        return slope
