"""Slice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from pydantic import Field, model_validator

from layerkit.blob import Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops, canonical_axis
from layerkit.registry import register
from layerkit.tangents import affine
from layerkit.words import counted


@register
class Slice(Layer):
    """The bottom cut along an axis, one part a top: at `slice_point`, or else into equal parts.

    Bottom 0: any shape with at least the axis.
    Tops: any number; the bottom's shape with the part's length along the axis.
    The gradient is the tops' diffs laid one after the other.
    Raises ShapeError where there is no such axis, where the points are not one fewer than the tops, do not rise or
    leave a part empty, and where equal parts do not come out even.

    Example: {name: halves, type: Slice, top: [left, right], axis: 1}

    Source: Caffe's Slice.
    """

    class Params(LayerParams):
        axis: int = Field(1, description="Axis to cut; negative counts from the back.")
        slice_point: list[int] = Field([], description="Where each part but the first begins; none: equal parts.")
        slice_dim: int | None = Field(None, ge=0, description="Old name of axis, not negative; give only one of them.")

        @model_validator(mode="after")
        def _one_axis(self) -> Slice.Params:
            if self.slice_dim is not None and "axis" in self.model_fields_set:
                raise ValueError("give axis or slice_dim, not both")
            return self

    tops = (1, None)

    @property
    def _axis(self) -> int:
        p = self.params
        return int(p.axis if p.slice_dim is None else p.slice_dim)

    def plan(self, *bottoms: Shape) -> Plan:
        shape = bottoms[0]
        axis = canonical_axis(self._axis, shape, "axis" if self.params.slice_dim is None else "slice_dim")
        edges = self._edges(shape, axis)
        return Plan(
            tops=[(*shape[:axis], end - start, *shape[axis + 1 :]) for start, end in pairwise(edges)],
            reads_bottoms=(),
            reads_tops=(),
            by_rows=axis != 0,
        )

    def _edges(self, shape: Shape, axis: int) -> list[int]:
        length, points, parts = shape[axis], self.params.slice_point, self.num_tops
        if not points:
            if length % parts:
                raise ShapeError(f"axis {axis} of {shape_text(shape)} does not come out even in {parts} tops", "axis")
            return [length // parts * i for i in range(parts + 1)]
        if len(points) != parts - 1:
            raise ShapeError(
                f"slice_point must have one entry less than there are tops: {parts - 1}, not {len(points)}",
                "slice_point",
            )
        edges = [0, *points, length]
        if any(start >= end for start, end in pairwise(edges)):
            raise ShapeError(
                f"slice_point {points} must rise and lie within axis {axis} of {shape_text(shape)}, "
                f"which has {counted(length, 'element')}",
                "slice_point",
            )
        return edges

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, axis, start = bottom[0].data, self._axis, 0
        before = (slice(None),) * (axis % x.ndim)
        for each in top:
            end = start + each.shape[axis]
            np.copyto(each.data, x[(*before, slice(start, end))])
            start = end

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            np.concatenate([each.diff for each in top], self._axis, out=bottom[0].diff)

    jvp = affine
