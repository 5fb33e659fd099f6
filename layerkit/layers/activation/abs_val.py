"""AbsVal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerkit.blob import Shape
from layerkit.layer import Bottoms, Layer, Plan, Scratch, Tops
from layerkit.registry import register
from layerkit.tangents import symmetric


@register
class AbsVal(Layer):
    """Absolute value of each number.

        y = |x|        dx = dy * sign(x), where sign(0) = 0

    Bottoms: x, of any shape.
    Tops: y, of the same shape.

    Example: {name: abs1, type: AbsVal}

    Source: Caffe's absval_layer.cpp.
    """

    def plan(self, *bottoms: Shape) -> Plan:
        return Plan(
            tops=[bottoms[0]],
            by_rows=True,
            scratch=[Scratch("sign", bottoms[0], like_blob=True)],
            reads_tops=(),
            in_place=True,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        np.abs(bottom[0].data, out=top[0].data)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            sign = np.sign(bottom[0].data, out=self.scratch.sign)
            np.multiply(top[0].diff, sign, out=bottom[0].diff)

    jvp = symmetric
