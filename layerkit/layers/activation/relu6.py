"""ReLU6."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerkit.blob import Shape
from layerkit.layer import Bottoms, Layer, Plan, Scratch, Tops
from layerkit.registry import register
from layerkit.tangents import symmetric


@register
class ReLU6(Layer):
    """Rectified linear unit that stops at 6: y = min(max(x, 0), 6).

    Bottom 0: any shape. Top 0: the same shape.
    The gradient is dy where 0 < x < 6, else 0. That is just where 0 < y < 6, so that the input need not be kept.

    Example: {name: relu1, type: ReLU6}

    Source: Krizhevsky 2010; the ReLU6 of Caffe's forks, as MobileNet uses it.
    """

    def plan(self, *bottoms: Shape) -> Plan:
        return Plan(
            tops=[bottoms[0]],
            by_rows=True,
            scratch=[Scratch(name, bottoms[0], "bool", like_blob=True) for name in ("passes", "below")],
            reads_bottoms=(),
            reads_tops=(0,),
            in_place=True,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        np.clip(bottom[0].data, 0, 6, out=top[0].data)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            y = top[0].data
            passes = np.greater(y, 0, out=self.scratch.passes)
            passes &= np.less(y, 6, out=self.scratch.below)
            np.multiply(top[0].diff, passes, out=bottom[0].diff)

    jvp = symmetric
