"""Flatten."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import Field

from layerkit.blob import Shape
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops, canonical_axis
from layerkit.registry import register
from layerkit.tangents import affine
from layerkit.words import counted


@register
class Flatten(Layer):
    """The axes from `axis` to `end_axis` made into one; the values stay in order.

    Bottom 0: (a..., flattened..., b...). Top 0: (a..., product of flattened, b...).
    With end_axis just before axis nothing is flattened and an axis of length 1 is put in.
    The gradient is dy in the bottom's shape.
    Raises ShapeError where an axis does not exist, or end_axis lies further before axis.

    Example: {name: flat, type: Flatten}

    Source: Caffe's Flatten.
    """

    class Params(LayerParams):
        axis: int = Field(1, description="First axis to flatten; negative counts from the back.")
        end_axis: int = Field(-1, description="Last axis to flatten; negative counts from the back.")

    def plan(self, *bottoms: Shape) -> Plan:
        shape, p = bottoms[0], self.params
        start, end = canonical_axis(p.axis, shape), canonical_axis(p.end_axis, shape, "end_axis") + 1
        if end < start:
            raise ShapeError(
                f"end_axis {p.end_axis} lies before axis {p.axis} of {counted(len(shape), 'axis', 'axes')}", "end_axis"
            )
        return Plan(
            tops=[(*shape[:start], math.prod(shape[start:end]), *shape[end:])],
            reads_bottoms=(),
            reads_tops=(),
            in_place=True,
            by_rows=start > 0 or end == 1,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        top[0].data[...] = bottom[0].data.reshape(top[0].shape)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff.reshape(bottom[0].shape)

    jvp = affine
