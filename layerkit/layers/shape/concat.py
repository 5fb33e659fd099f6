"""Concat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field, model_validator

from layerkit.blob import Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops, canonical_axis
from layerkit.registry import register
from layerkit.tangents import affine


@register
class Concat(Layer):
    """Bottoms laid one after the other along an axis.

    Bottoms: any number; their shapes differ at most along the axis.
    Top 0: the same shape with the sum of the bottoms' lengths along the axis.
    The gradient of a bottom is its part of dy.
    Raises ShapeError where the bottoms differ elsewhere, or where there is no such axis.

    Example: {name: both, type: Concat, bottom: [left, right]}

    Source: Caffe's Concat.
    """

    class Params(LayerParams):
        axis: int = Field(1, description="Axis along which to lay; negative counts from the back.")
        concat_dim: int | None = Field(None, ge=0, description="Old name of axis, not negative; give only one of them.")

        @model_validator(mode="after")
        def _one_axis(self) -> Concat.Params:
            if self.concat_dim is not None and "axis" in self.model_fields_set:
                raise ValueError("give axis or concat_dim, not both")
            return self

    bottoms = (1, None)

    @property
    def _axis(self) -> int:
        p = self.params
        return int(p.axis if p.concat_dim is None else p.concat_dim)

    def plan(self, *bottoms: Shape) -> Plan:
        name = "axis" if self.params.concat_dim is None else "concat_dim"
        axis = canonical_axis(self._axis, bottoms[0], name)
        first = bottoms[0]
        before, after = first[:axis], first[axis + 1 :]
        for i, shape in enumerate(bottoms):
            if len(shape) != len(first) or (shape[:axis], shape[axis + 1 :]) != (before, after):
                raise ShapeError(
                    f"the bottoms may differ only along axis {axis}, but bottom 0 is {shape_text(first)} "
                    f"and bottom {i} is {shape_text(shape)}",
                    "bottom",
                )
        return Plan(
            tops=[(*before, sum(shape[axis] for shape in bottoms), *after)],
            reads_bottoms=(),
            reads_tops=(),
            by_rows=axis != 0,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        np.concatenate([each.data for each in bottom], self._axis, out=top[0].data)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        dy, axis, start = top[0].diff, self._axis, 0
        before = (slice(None),) * (axis % dy.ndim)
        for each, asked in zip(bottom, propagate_down, strict=True):
            end = start + each.shape[axis]
            if asked:
                np.copyto(each.diff, dy[(*before, slice(start, end))])
            start = end

    jvp = affine
