"""TanH."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerkit.blob import Shape
from layerkit.layer import Bottoms, Layer, Plan, Scratch, Tops
from layerkit.registry import register
from layerkit.tangents import symmetric


@register
class TanH(Layer):
    """Hyperbolic tangent: y = tanh(x).

    Bottom 0: any shape. Top 0: the same shape.
    The gradient is dy * (1 - y^2).

    Example: {name: squashed, type: TanH}

    Source: Caffe's TanH.
    """

    def plan(self, *bottoms: Shape) -> Plan:
        return Plan(
            tops=[bottoms[0]],
            by_rows=True,
            scratch=[Scratch("slope", bottoms[0], like_blob=True)],
            reads_bottoms=(),
            reads_tops=(0,),
            in_place=True,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        np.tanh(bottom[0].data, out=top[0].data)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            slope = np.square(top[0].data, out=self.scratch.slope)
            np.subtract(1, slope, out=slope)  # 1 - y^2
            np.multiply(top[0].diff, slope, out=bottom[0].diff)

    jvp = symmetric
