"""BNLL."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerkit.blob import Shape
from layerkit.layer import Bottoms, Layer, Plan, Scratch, Tops
from layerkit.registry import register
from layerkit.tangents import symmetric


@register
class BNLL(Layer):
    """Binomial normal log likelihood: a rectifier with a smooth bend.

        y = log(1 + exp(x))        dx = dy * (1 - exp(-y)), since 1 - exp(-y) = 1 / (1 + exp(-x))

    It is computed as log(exp(x) + exp(0)) with the larger of both taken out, so that nothing overflows.

    Bottoms: x, of any shape.
    Tops: y, of the same shape, never negative.

    Example: {name: bnll1, type: BNLL}

    Source: Nair and Hinton 2010; Caffe's bnll_layer.cpp.
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
        np.logaddexp(bottom[0].data, 0, out=top[0].data)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            slope = np.negative(top[0].data, out=self.scratch.slope)
            np.expm1(slope, out=slope)
            np.negative(slope, out=slope)  # 1 - exp(-y)
            np.multiply(top[0].diff, slope, out=bottom[0].diff)

    jvp = symmetric
