"""Softmax."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Shape
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops, canonical_axis
from layerkit.registry import register
from layerkit.tangents import symmetric


@register
class Softmax(Layer):
    """Probabilities along an axis: y_c = exp(x_c) / sum_k exp(x_k).

    The largest x is subtracted from all first, so that nothing overflows.

    Bottom 0: any shape with at least the axis. Top 0: the same shape; sums to 1 along the axis.
    The gradient is y_c * (dy_c - sum_k dy_k y_k).
    Raises ShapeError where there is no such axis.

    Example: {name: prob, type: Softmax, bottom: fc8}

    Source: Caffe's Softmax.
    """

    class Params(LayerParams):
        axis: int = Field(1, description="Axis of the classes; negative counts from the back.")

    def plan(self, *bottoms: Shape) -> Plan:
        axis = canonical_axis(self.params.axis, bottoms[0])
        one_class = (*bottoms[0][:axis], 1, *bottoms[0][axis + 1 :])
        return Plan(
            tops=[bottoms[0]],
            scratch=[Scratch("along", one_class), Scratch("product", bottoms[0], like_blob=True)],
            reads_bottoms=(),
            reads_tops=(0,),
            in_place=True,
            by_rows=axis != 0,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, y, along, axis = bottom[0].data, top[0].data, self.scratch.along, self.params.axis
        np.max(x, axis, keepdims=True, out=along, initial=-np.inf)
        np.subtract(x, along, out=y)
        np.exp(y, out=y)
        np.sum(y, axis, keepdims=True, out=along)
        np.divide(y, along, out=y)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            y, dy, dx, along = top[0].data, top[0].diff, bottom[0].diff, self.scratch.along
            np.multiply(dy, y, out=self.scratch.product)
            np.sum(self.scratch.product, self.params.axis, keepdims=True, out=along)  # sum_k dy_k y_k
            np.subtract(dy, along, out=dx)
            np.multiply(dx, y, out=dx)

    jvp = symmetric
