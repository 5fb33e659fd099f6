"""ReLU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Shape
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops
from layerkit.registry import register
from layerkit.tangents import symmetric


@register
class ReLU(Layer):
    """Rectified linear unit: y = x where x > 0, else negative_slope * x.

    Bottom 0: any shape. Top 0: the same shape.
    The gradient is dy where x > 0, else negative_slope * dy. Unless the slope is negative, y > 0 just where x > 0,
    so that the input need not be kept.

    Example: {name: relu1, type: ReLU}

    Source: Nair and Hinton 2010; Maas et al. 2013 (the leaky form); Caffe's ReLU.
    """

    class Params(LayerParams):
        negative_slope: float = Field(
            0.0, description="Slope where the input is not positive; 0 is the plain rectifier."
        )

    def plan(self, *bottoms: Shape) -> Plan:
        slope = self.params.negative_slope
        from_output = slope >= 0
        return Plan(
            tops=[bottoms[0]],
            by_rows=True,
            scratch=[
                Scratch("positive", bottoms[0], "bool", like_blob=True),
                *([Scratch("slope", bottoms[0], like_blob=True)] if slope else []),
            ],
            reads_bottoms=() if from_output else (0,),
            reads_tops=(0,) if from_output else (),
            in_place=True,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, y, negative_slope = bottom[0].data, top[0].data, self.params.negative_slope
        if negative_slope:
            np.minimum(x, 0, out=self.scratch.slope)
            self.scratch.slope *= negative_slope
        np.maximum(x, 0, out=y)
        if negative_slope:
            y += self.scratch.slope

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if not propagate_down[0]:
            return
        negative_slope = self.params.negative_slope
        sign = top[0].data if negative_slope >= 0 else bottom[0].data
        slope = positive = np.greater(sign, 0, out=self.scratch.positive)
        if negative_slope:
            slope = np.less_equal(sign, 0, out=self.scratch.slope)
            slope *= negative_slope
            slope += positive  # 1 or negative_slope
        np.multiply(top[0].diff, slope, out=bottom[0].diff)

    jvp = symmetric
