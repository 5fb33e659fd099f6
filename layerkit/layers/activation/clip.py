"""Clip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field, model_validator

from layerkit.blob import Shape
from layerkit.fillers import Float32
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops
from layerkit.registry import register
from layerkit.tangents import symmetric


@register
class Clip(Layer):
    """Values kept within bounds.

        y = max(min, min(x, max))        dx = dy where min <= x <= max, else 0

    Bottoms: x, of any shape.
    Tops: y, of the same shape.
    Raises ValueError for a min above max.

    Example: {name: clip1, type: Clip, min: -1, max: 1}

    Source: Caffe's clip_layer.cpp.
    """

    class Params(LayerParams):
        min: Float32 = Field(description="The least value that comes out.")
        max: Float32 = Field(description="The greatest value that comes out.")

        @model_validator(mode="after")
        def _ordered(self) -> Clip.Params:
            if self.min > self.max:
                raise ValueError(f"min {self.min:g} is greater than max {self.max:g}")
            return self

    def plan(self, *bottoms: Shape) -> Plan:
        return Plan(
            tops=[bottoms[0]],
            by_rows=True,
            scratch=[Scratch(name, bottoms[0], "bool", like_blob=True) for name in ("passes", "below")],
            reads_tops=(),
            in_place=True,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        np.clip(bottom[0].data, self.params.min, self.params.max, out=top[0].data)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            x = bottom[0].data  # not y, which is at a bound both where x is and where x is beyond
            passes = np.greater_equal(x, self.params.min, out=self.scratch.passes)
            passes &= np.less_equal(x, self.params.max, out=self.scratch.below)
            np.multiply(top[0].diff, passes, out=bottom[0].diff)

    jvp = symmetric
