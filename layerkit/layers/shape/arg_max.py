"""ArgMax."""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from layerkit.blob import Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops, canonical_axis
from layerkit.registry import register
from layerkit.words import counted


@register
class ArgMax(Layer):
    """Where the largest values are, the largest first: along an axis, or in each whole sample.

    Of equal values the one further behind comes first; NaN counts as larger than any number.

    Bottom 0: any shape with the axis; without one (N, ...), each sample counted as one list in Caffe's order.
    Top 0: with an axis, the bottom's shape with `top_k` in place of its length: indices, or with out_max_val the
    values. Without an axis (N, 1, top_k), or with out_max_val (N, 2, top_k): indices, then the values; as many axes of
    length 1 follow as make it have no fewer than the bottom.
    There is no gradient.
    Raises ShapeError where there is no such axis or fewer than top_k values.

    Example: {name: best, type: ArgMax, axis: 1}

    Source: Caffe's argmax_layer.cpp.
    """

    class Params(LayerParams):
        """How many, of what, and in which form."""

        out_max_val: bool = Field(
            False, description="With an axis, whether values come instead of indices; without, whether they come too."
        )
        top_k: int = Field(1, gt=0, description="How many of the largest values.")
        axis: int | None = Field(
            None, description="Axis along which to look; negative counts from the back. Without it, whole samples."
        )

    def plan(self, *bottoms: Shape) -> Plan:
        shape, p = bottoms[0], self.params
        if p.axis is None:
            if not shape:
                raise ShapeError("without an axis the bottom must have samples, but it is a scalar", "bottom")
            rows, length = True, math.prod(shape[1:])
            top = (shape[0], 2 if p.out_max_val else 1, p.top_k, *(1 for _ in shape[3:]))
        else:
            axis = canonical_axis(p.axis, shape)
            rows, length = axis != 0, shape[axis]
            top = (*shape[:axis], p.top_k, *shape[axis + 1 :])
        if p.top_k > length:
            where = "in a sample" if p.axis is None else f"along axis {p.axis}"
            raise ShapeError(
                f"top_k {p.top_k} is more than the {counted(length, 'value')} {where} of {shape_text(shape)}", "top_k"
            )
        return Plan(tops=[top], gradients=(False,), reads_bottoms=(), reads_tops=(), by_rows=rows)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, y, p = bottom[0].data, top[0].data, self.params
        if p.axis is None:
            x = x.reshape(len(x), math.prod(x.shape[1:]))  # (N, values)
        axis = 1 if p.axis is None else p.axis
        rising = np.argsort(x, axis, kind="stable")
        best = np.flip(np.take(rising, range(-p.top_k, 0), axis), axis)
        values = np.take_along_axis(x, best, axis)
        if p.axis is not None:
            y[...] = values if p.out_max_val else best
        else:
            rows = [best, values] if p.out_max_val else [best]
            y[...] = np.stack(rows, 1).reshape(y.shape)  # (N, 1 or 2, top_k, ...)
