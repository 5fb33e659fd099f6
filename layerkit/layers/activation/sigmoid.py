"""Sigmoid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerkit.blob import Shape
from layerkit.layer import Bottoms, Layer, Plan, Scratch, Tops
from layerkit.layers.activation.logistic import logistic
from layerkit.registry import register
from layerkit.tangents import symmetric


@register
class Sigmoid(Layer):
    """Logistic function: y = 1 / (1 + exp(-x)).

    It is computed as (tanh(x / 2) + 1) / 2, which cannot overflow.

    Bottom 0: any shape. Top 0: the same shape.
    The gradient is dy * y * (1 - y).

    Example: {name: gate, type: Sigmoid}

    Source: Caffe's Sigmoid.
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
        logistic(bottom[0].data, out=top[0].data)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            y = top[0].data
            slope = np.subtract(1, y, out=self.scratch.slope)
            np.multiply(slope, y, out=slope)  # y * (1 - y)
            np.multiply(top[0].diff, slope, out=bottom[0].diff)

    jvp = symmetric
