"""Scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.fillers import Filler
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops, Weight, canonical_axis
from layerkit.registry import register


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
        p, x, (scale,) = self.params, bottoms[0], bottoms[1:] or (self._learned(bottoms[0]),)
        if len(bottoms) == 2 and scale:
            axis = canonical_axis(p.axis, x)
            if x[axis : axis + len(scale)] != scale:
                raise ShapeError(
                    f"bottom 1 must have the shape of axes of bottom 0 from axis {axis} on, "
                    f"but bottom 0 is {shape_text(x)} and bottom 1 is {shape_text(scale)}",
                    "bottom",
                )
        weights = [Weight("scale", scale, p.filler)] if len(bottoms) == 1 else []
        if p.bias_term:
            weights.append(Weight("bias", scale, p.bias_filler))
        return Plan(
            tops=[x],
            weights=weights,
            scratch=[Scratch("product", x, like_blob=True)],
            reads_tops=(),
            in_place=True,
        )

    def _learned(self, x: Shape) -> Shape:
        """The shape of a learned scale."""
        count = self.params.num_axes
        if not count:
            return ()
        axis = canonical_axis(self.params.axis, x)
        if axis + count > len(x):
            raise ShapeError(f"num_axes {count} from axis {axis} on are more than {shape_text(x)} has", "num_axes")
        return x[axis:] if count == -1 else x[axis : axis + count]

    def _stretched(self, small: Array, x: Array) -> Array:
        """A view of scale or bias with axes of length 1 behind, so that it stretches over x."""
        if not small.ndim:
            return small
        behind = x.ndim - canonical_axis(self.params.axis, x.shape) - small.ndim
        return small[(..., *(None for _ in range(behind)))]

    def _sum_others(self, values: Array, out: Array) -> None:
        """`out` = the sum of `values` over the axes that scale and bias do not have."""
        first = canonical_axis(self.params.axis, values.shape) if out.ndim else 0
        others = (*range(first), *range(first + out.ndim, values.ndim))
        np.sum(values, others, out=out)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, y = bottom[0].data, top[0].data
        scale = bottom[1].data if len(bottom) == 2 else self.weights.scale.data
        np.multiply(x, self._stretched(scale, x), out=y)
        if self.params.bias_term:
            np.add(y, self._stretched(self.weights.bias.data, y), out=y)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        x, dy = bottom[0].data, top[0].diff
        scale = bottom[1] if len(bottom) == 2 else self.weights.scale
        if propagate_down[1] if len(bottom) == 2 else "scale" in self.asked:
            self._sum_others(np.multiply(dy, x, out=self.scratch.product), scale.diff)
        if "bias" in self.asked:
            self._sum_others(dy, self.weights.bias.diff)
        if propagate_down[0]:  # last: this diff may lie where dy does
            np.multiply(dy, self._stretched(scale.data, dy), out=bottom[0].diff)
