"""ELU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Shape
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops
from layerkit.registry import register
from layerkit.tangents import symmetric


@register
class ELU(Layer):
    """Exponential linear unit: a rectifier that falls to -alpha instead of 0.

        y = x  where x > 0, else  alpha * (exp(x) - 1)        dx = dy  where x > 0, else  dy * (y + alpha)

    Unless alpha is negative, y > 0 just where x > 0, so that the input need not be kept.

    Bottoms: x, of any shape.
    Tops: y, of the same shape.

    Example: {name: elu1, type: ELU, alpha: 0.5}

    Source: Clevert et al. 2015; Caffe's elu_layer.cpp.
    """

    class Params(LayerParams):
        alpha: float = Field(1.0, description="What -y comes near to as x falls; 0 is the plain rectifier.")

    def plan(self, *bottoms: Shape) -> Plan:
        return Plan(
            tops=[bottoms[0]],
            by_rows=True,
            scratch=[
                Scratch("positive", bottoms[0], "bool", like_blob=True),
                Scratch("below", bottoms[0], like_blob=True),
            ],
            reads_bottoms=() if self._from_output else (0,),
            reads_tops=(0,),
            in_place=True,
        )

    @property
    def _from_output(self) -> bool:
        """Whether the sign of x is that of y."""
        return bool(self.params.alpha >= 0)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, below = bottom[0].data, self.scratch.below
        np.minimum(x, 0, out=below)
        np.expm1(below, out=below)  # exp(x) - 1, exact near 0 too; 0 where x is positive
        np.multiply(below, self.params.alpha, out=below)
        y = np.maximum(x, 0, out=top[0].data)
        np.add(y, below, out=y)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            sign = top[0].data if self._from_output else bottom[0].data
            positive = np.greater(sign, 0, out=self.scratch.positive)
            slope = np.add(top[0].data, self.params.alpha, out=self.scratch.below)
            np.copyto(slope, 1, where=positive)
            np.multiply(top[0].diff, slope, out=bottom[0].diff)

    jvp = symmetric
