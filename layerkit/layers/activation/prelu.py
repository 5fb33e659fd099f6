"""PReLU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.fillers import Filler
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops, Weight
from layerkit.layers.shape.stretch import stretched
from layerkit.registry import register
from layerkit.tangents import symmetric


@register
class PReLU(Layer):
    """Rectified linear unit that learns its slope below 0, one for each channel or one for all.

        y = x  where x > 0, else  slope * x
        dx = dy  where x > 0, else  slope * dy        dslope = sum of dy * x over the places where x <= 0

    Bottoms: x, (N, C, ...); any shape where one slope serves all channels.
    Tops: y, of the same shape.
    Weights: slope, (C,), or a scalar if channel_shared.
    Raises ShapeError for a bottom without channels.

    Example: {name: prelu1, type: PReLU, filler: {value: 0.1}}

    Source: He et al. 2015; Caffe's prelu_layer.cpp.
    """

    class Params(LayerParams):
        filler: Filler = Field(Filler(value=0.25), description="How the slopes start.")
        channel_shared: bool = Field(False, description="Whether one slope serves all channels.")

    def plan(self, *bottoms: Shape) -> Plan:
        (x,) = bottoms
        shared = self.params.channel_shared
        if len(x) < 2 and not shared:
            raise ShapeError(f"PReLU needs a bottom (N, C, ...), not {shape_text(x)}", "bottom")
        return Plan(
            tops=[x],
            weights=[Weight("slope", () if shared else (x[1],), self.params.filler)],
            scratch=[
                Scratch("positive", x, "bool", like_blob=True),
                Scratch("below", x, like_blob=True),
            ],
            reads_tops=(),
            in_place=True,
            by_rows=True,
        )

    def _slope(self, x: Array) -> Array:
        """The slopes, so that they stretch over x: (C, 1, ...) or ()."""
        return stretched(self.weights.slope.values, 1, x)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, below = bottom[0].data, self.scratch.below
        np.minimum(x, 0, out=below)
        np.multiply(below, self._slope(x), out=below)
        y = np.maximum(x, 0, out=top[0].data)
        np.add(y, below, out=y)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        x, dy, below = bottom[0].data, top[0].diff, self.scratch.below
        if "slope" in self.asked:
            dslope = self.weights.slope.diff
            np.minimum(x, 0, out=below)
            np.multiply(dy, below, out=below)
            np.sum(below, tuple(axis for axis in range(x.ndim) if axis != 1 or not dslope.ndim), out=dslope)
        if propagate_down[0]:  # last: this diff may lie where dy does
            slope = np.less_equal(x, 0, out=below)
            np.multiply(slope, self._slope(x), out=slope)
            np.add(slope, np.greater(x, 0, out=self.scratch.positive), out=slope)  # 1 or the learned one
            np.multiply(dy, slope, out=bottom[0].diff)

    jvp = symmetric
