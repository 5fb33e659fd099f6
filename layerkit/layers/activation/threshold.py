"""Threshold."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from layerkit.blob import Shape
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops
from layerkit.registry import register


@register
class Threshold(Layer):
    """Whether each value exceeds a threshold; it has no gradient.

        y = 1 where x > threshold, else 0

    Bottoms: x, of any shape.
    Tops: y, of the same shape.

    Example: {name: fires, type: Threshold, threshold: 0.5}

    Source: Caffe's threshold_layer.cpp.
    """

    class Params(LayerParams):
        threshold: float = Field(0.0, description="What a value must exceed to become 1.")

    def plan(self, *bottoms: Shape) -> Plan:
        return Plan(tops=[bottoms[0]], gradients=(False,), reads_bottoms=(), reads_tops=(), by_rows=True)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        np.greater(bottom[0].data, self.params.threshold, out=top[0].data)
