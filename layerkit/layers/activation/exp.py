"""Exp."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Shape
from layerkit.layer import Bottoms, Layer, Plan, Tops
from layerkit.layers.activation.base import BaseParams
from layerkit.registry import register
from layerkit.tangents import symmetric


@register
class Exp(Layer):
    """Power of a base whose exponent is linear in x.

        y = base^(shift + scale * x)        dx = dy * y * log(base) * scale

    It is computed as exp(log(base) * (shift + scale * x)), so that it overflows only where y does.

    Bottoms: x, of any shape.
    Tops: y, of the same shape, positive.
    Raises ValueError for a base that is neither -1 nor positive.

    Example: {name: exp1, type: Exp, base: 2, scale: 0.5}

    Source: Caffe's exp_layer.cpp.
    """

    class Params(BaseParams):
        scale: float = Field(1.0, description="What the input is multiplied by.")
        shift: float = Field(0.0, description="What is added to the scaled input.")

    def plan(self, *bottoms: Shape) -> Plan:
        return Plan(tops=[bottoms[0]], reads_bottoms=(), reads_tops=(0,), in_place=True, by_rows=True)

    @property
    def exponent(self) -> tuple[float, float]:
        """Factor a and term b of y = exp(a * x + b)."""
        p = self.params
        return p.log_base * p.scale, p.log_base * p.shift

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        factor, term = self.exponent
        y = np.multiply(bottom[0].data, factor, out=top[0].data)
        np.add(y, term, out=y)
        np.exp(y, out=y)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            dx = np.multiply(top[0].diff, top[0].data, out=bottom[0].diff)
            np.multiply(dx, self.exponent[0], out=dx)

    jvp = symmetric
