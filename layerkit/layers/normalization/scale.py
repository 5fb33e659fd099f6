"""Scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Shape
from layerkit.fillers import Filler
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops, Weight
from layerkit.layers.shape.stretch import along_rows, small_shape, stretched, sum_to
from layerkit.registry import register
from layerkit.tangents import affine


@register
class Scale(Layer):
    """Product with a smaller array that stretches over the other axes, and optionally a sum.

        y[..., i, ...] = x[..., i, ...] * scale[i] + bias[i]

    where i stands for the index along `axis`, or along several axes from there on, or (scale a scalar) along none.

    Bottoms: x of any shape; optionally scale, with the shape of axes of x from `axis` on (or a scalar).
    Weights: scale, unless it is a bottom, over num_axes axes of x from `axis` on; bias of the same shape if bias_term.
    Top 0: the shape of x.
    The gradients are dx = dy scale, and dscale = the sum of dy x, dbias = the sum of dy, over the other axes.
    Raises ShapeError where there are no such axes, or where bottom 1 does not have their shape.

    Example: {name: scale1, type: Scale, bias_term: true}

    Source: Caffe's scale_layer.cpp and bias_layer.cpp.
    """

    class Params(LayerParams):
        axis: int = Field(1, description="First axis of x that scale has; a scalar has none. Negative: from the back.")
        num_axes: int = Field(
            1, ge=-1, description="Axes that a learned scale has; 0: it is a scalar; -1: all from axis on."
        )
        filler: Filler = Field(Filler(value=1.0), description="How a learned scale starts.")
        bias_term: bool = Field(False, description="Whether a bias is added.")
        bias_filler: Filler = Field(Filler(), description="How the bias starts.")

    bottoms = (1, 2)

    def plan(self, *bottoms: Shape) -> Plan:
        p, x = self.params, bottoms[0]
        scale = small_shape(bottoms, p.axis, p.num_axes)
        along = along_rows(scale, p.axis, x)
        weights = [Weight("scale", scale, p.filler)] if len(bottoms) == 1 else []
        if p.bias_term:
            weights.append(Weight("bias", scale, p.bias_filler))
        return Plan(
            tops=[x],
            weights=weights,
            scratch=[Scratch("product", x, like_blob=True)],
            reads_tops=(),
            in_place=True,
            by_rows=along == (len(bottoms) == 2) and not (along and p.bias_term),
            multiply_adds=0,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, y = bottom[0].data, top[0].data
        scale = bottom[1].data if len(bottom) == 2 else self.weights.scale.data
        np.multiply(x, stretched(scale, self.params.axis, x), out=y)
        if self.params.bias_term:
            np.add(y, stretched(self.weights.bias.data, self.params.axis, y), out=y)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        x, dy, axis = bottom[0].data, top[0].diff, self.params.axis
        scale = bottom[1] if len(bottom) == 2 else self.weights.scale
        if propagate_down[1] if len(bottom) == 2 else "scale" in self.asked:
            sum_to(np.multiply(dy, x, out=self.scratch.product), stretched(scale.diff, axis, dy))
        if "bias" in self.asked:
            sum_to(dy, stretched(self.weights.bias.diff, axis, dy))
        if propagate_down[0]:  # last: this diff may lie where dy does
            np.multiply(dy, stretched(scale.data, axis, dy), out=bottom[0].diff)

    jvp = affine
