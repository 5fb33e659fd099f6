"""Reshape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, field_validator

from layerkit.blob import Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops
from layerkit.registry import register
from layerkit.tangents import affine
from layerkit.words import counted


@register
class Reshape(Layer):
    """The same values, in the same order, in another shape.

    `num_axes` axes from `axis` on are replaced by those of `shape`, in which 0 is the length of the bottom's axis at
    that place, and -1 (once) is whatever makes the number of values come out.

    Bottom 0: (a..., replaced..., b...). Top 0: (a..., shape..., b...).
    The gradient is dy in the bottom's shape.
    Raises ShapeError where the axes do not exist or the number of values does not come out.

    Example: {name: grid, type: Reshape, shape: [0, -1, 7, 7]}

    Source: Caffe's reshape_layer.cpp.
    """

    class Params(LayerParams):
        """The new shape, and which axes it replaces."""

        shape: list[Annotated[int, Field(ge=-1)]] = Field(
            description="The lengths that take the place of the replaced axes; 0 copies the bottom's, -1 is worked out."
        )
        axis: int = Field(0, description="First axis to replace; negative: from the back, where -1 is behind the last.")
        num_axes: int = Field(-1, ge=-1, description="How many axes to replace; -1: all from axis on; 0: only put in.")

        @field_validator("shape")
        @classmethod
        def _one_unknown(cls, shape: list[int]) -> list[int]:
            if shape.count(-1) > 1:
                raise ValueError("only one length can be worked out, so -1 may stand only once")
            return shape

    def plan(self, *bottoms: Shape) -> Plan:
        x, p = bottoms[0], self.params
        start = p.axis if p.axis >= 0 else len(x) + p.axis + 1
        if not 0 <= start <= len(x):
            raise ShapeError(f"axis {p.axis} does not exist in a bottom of shape {shape_text(x)}", "axis")
        end = len(x) if p.num_axes == -1 else start + p.num_axes
        if end > len(x):
            raise ShapeError(
                f"num_axes {p.num_axes} from axis {start} on are more than {shape_text(x)} has", "num_axes"
            )
        lengths = self._lengths(x, start, end)
        return Plan(
            tops=[(*x[:start], *lengths, *x[end:])],
            reads_bottoms=(),
            reads_tops=(),
            in_place=True,
            by_rows=start > 0 or (end > 0 and p.shape[:1] in ([0], [-1]) and lengths[0] == x[0]),
        )

    def _lengths(self, x: Shape, start: int, end: int) -> list[int]:
        """The lengths that replace x[start:end]."""
        wanted = self.params.shape
        copied = {start + i for i, length in enumerate(wanted) if length == 0}
        if any(i >= len(x) for i in copied):
            raise ShapeError(f"shape {wanted} has a 0 where a bottom of {shape_text(x)} has no axis to copy", "shape")
        lengths = [x[start + i] if length == 0 else length for i, length in enumerate(wanted)]
        # An axis that is replaced by itself counts on neither side, so that -1 can be worked out without any rows.
        before = math.prod(x[i] for i in range(start, end) if i not in copied)
        after = math.prod(
            length for i, length in enumerate(lengths, start) if length != -1 and not (i in copied and i < end)
        )
        if -1 in lengths and after and before % after == 0:
            lengths[lengths.index(-1)] = before // after
        elif -1 in lengths or before != after:
            values = counted(math.prod(x[start:end]), "value")
            raise ShapeError(
                f"shape {wanted} does not fit the {values} along axes {start} to {end - 1} of {shape_text(x)}", "shape"
            )
        return lengths

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        top[0].data[...] = bottom[0].data.reshape(top[0].shape)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff.reshape(bottom[0].shape)

    jvp = affine
