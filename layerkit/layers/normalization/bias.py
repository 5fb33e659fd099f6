"""Bias."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Shape
from layerkit.fillers import Filler
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops, Weight
from layerkit.layers.shape.stretch import along_rows, small_shape, stretched, sum_to
from layerkit.registry import register
from layerkit.tangents import affine


@register
class Bias(Layer):
    """Sum with a smaller array that stretches over the other axes.

        y[..., i, ...] = x[..., i, ...] + bias[i]        dx = dy        dbias = the sum of dy over the other axes

    where i stands for the index along `axis`, or along several axes from there on, or (bias a scalar) along none.

    Bottoms: x of any shape; optionally bias, with the shape of axes of x from `axis` on (or a scalar).
    Weights: bias, unless it is a bottom, over num_axes axes of x from `axis` on.
    Top 0: the shape of x.
    Raises ShapeError where there are no such axes, or where bottom 1 does not have their shape.

    Example: {name: shift, type: Bias, axis: 1, filler: {type: constant, value: 0.1}}

    Source: Caffe's bias_layer.cpp.
    """

    class Params(LayerParams):
        """Where the bias lies along x, and how it starts."""

        axis: int = Field(1, description="First axis of x that bias has; a scalar has none. Negative: from the back.")
        num_axes: int = Field(
            1, ge=-1, description="Axes that a learned bias has; 0: it is a scalar; -1: all from axis on."
        )
        filler: Filler = Field(Filler(), description="How a learned bias starts.")

    bottoms = (1, 2)

    def plan(self, *bottoms: Shape) -> Plan:
        p = self.params
        bias = small_shape(bottoms, p.axis, p.num_axes)
        return Plan(
            tops=[bottoms[0]],
            weights=[Weight("bias", bias, p.filler)] if len(bottoms) == 1 else [],
            reads_bottoms=(),
            reads_tops=(),
            in_place=True,
            by_rows=along_rows(bias, p.axis, bottoms[0]) == (len(bottoms) == 2),
            multiply_adds=0,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x = bottom[0].data
        bias = bottom[1].data if len(bottom) == 2 else self.weights.bias.data
        np.add(x, stretched(bias, self.params.axis, x), out=top[0].data)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        dy = top[0].diff
        bias = bottom[1] if len(bottom) == 2 else self.weights.bias
        if propagate_down[1] if len(bottom) == 2 else "bias" in self.asked:
            sum_to(dy, stretched(bias.diff, self.params.axis, dy))
        if propagate_down[0]:
            bottom[0].diff[...] = dy

    jvp = affine
