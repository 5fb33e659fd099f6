"""Power."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Shape
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops
from layerkit.registry import register
from layerkit.tangents import symmetric


@register
class Power(Layer):
    """Power of a linear function: y = (shift + scale * x)^power.

    Bottom 0: any shape. Top 0: the same shape.
    The gradient is dy * power * scale * (shift + scale * x)^(power - 1).

    Where scale or power is 0 the input is ignored: y = shift^power (1 for power 0, whatever the shift) and the gradient
    is 0. A fractional power of a negative number is nan. At shift + scale * x = 0 the gradient is the limit that the
    formula gives; Caffe divides y by this 0 there and gets nan.

    Example: {name: centred, type: Power, scale: 0.0078125, shift: -1}

    Source: Caffe's Power.
    """

    class Params(LayerParams):
        power: float = Field(1.0, description="Exponent.")
        scale: float = Field(1.0, description="What the input is multiplied by, before the power.")
        shift: float = Field(0.0, description="What is added to the scaled input, before the power.")

    def plan(self, *bottoms: Shape) -> Plan:
        linear = self._constant or self.params.power == 1
        return Plan(
            tops=[bottoms[0]],
            by_rows=True,
            scratch=[] if linear else [Scratch("slope", bottoms[0], like_blob=True)],
            reads_bottoms=() if linear else (0,),
            reads_tops=(),
            in_place=True,
        )

    @property
    def _constant(self) -> bool:
        return bool(self.params.scale == 0 or self.params.power == 0)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        p, y = self.params, top[0].data
        if self._constant:
            y[...] = 1 if p.power == 0 else np.power(p.shift, p.power)
            return
        np.multiply(bottom[0].data, p.scale, out=y)
        np.add(y, p.shift, out=y)
        if p.power != 1:
            y **= p.power

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if not propagate_down[0]:
            return
        p, dy, dx = self.params, top[0].diff, bottom[0].diff
        if self._constant:
            dx[...] = 0
        elif p.power == 1:
            np.multiply(dy, p.scale, out=dx)
        else:
            slope = np.multiply(bottom[0].data, p.scale, out=self.scratch.slope)
            slope += p.shift
            slope **= p.power - 1
            slope *= p.power * p.scale
            np.multiply(dy, slope, out=dx)

    jvp = symmetric
