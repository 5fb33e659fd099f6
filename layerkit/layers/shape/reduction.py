"""Reduction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops, canonical_axis
from layerkit.registry import register


@register
class Reduction(Layer):
    """The last axes, from `axis` on, made into one number.

        SUM:    y = coeff sum of x            dx = coeff dy
        ASUM:   y = coeff sum of |x|          dx = coeff dy sign(x), which is 0 where x is 0
        SUMSQ:  y = coeff sum of x^2          dx = 2 coeff dy x
        MEAN:   y = coeff mean of x           dx = coeff dy / n, with n the number of elements that become one

    The mean of no elements is 0.

    Bottom 0: (kept..., reduced...). Top 0: (kept...), a scalar where axis is 0.
    Raises ShapeError where there is no such axis.

    Example: {name: energy, type: Reduction, operation: SUMSQ, axis: 1, coeff: 0.5}

    Source: Caffe's reduction_layer.cpp.
    """

    class Params(LayerParams):
        """What is computed, and over which axes."""

        operation: Literal["SUM", "ASUM", "SUMSQ", "MEAN"] = Field("SUM", description="How many numbers become one.")
        axis: int = Field(0, description="First axis to reduce; all behind it go too. Negative: from the back.")
        coeff: float = Field(1.0, description="What the result is multiplied by.")

    def plan(self, *bottoms: Shape) -> Plan:
        x = bottoms[0]
        reads = self.params.operation in ("ASUM", "SUMSQ")
        axis = canonical_axis(self.params.axis, x)
        return Plan(
            tops=[x[:axis]],
            scratch=[Scratch("terms", x, like_blob=True)] if reads else [],
            reads_bottoms=(0,) if reads else (),
            reads_tops=(),
            by_rows=axis != 0,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, y, operation = bottom[0].data, top[0].data, self.params.operation
        if operation == "ASUM":
            x = np.abs(x, out=self.scratch.terms)
        elif operation == "SUMSQ":
            x = np.square(x, out=self.scratch.terms)
        np.sum(x, tuple(range(y.ndim, x.ndim)), out=y)
        np.multiply(y, self._factor(x.shape, y.ndim), out=y)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if not propagate_down[0]:
            return
        x, dx, dy, operation = bottom[0].data, bottom[0].diff, top[0].diff, self.params.operation
        dy = self._factor(x.shape, dy.ndim) * dy[(..., *(None for _ in range(x.ndim - dy.ndim)))]  # (kept..., 1, ...)
        if operation == "ASUM":
            np.multiply(np.sign(x, out=dx), dy, out=dx)
        elif operation == "SUMSQ":
            np.multiply(x, 2 * dy, out=dx)
        else:
            dx[...] = dy

    def jvp(
        self, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], top_tangent: Sequence[Array]
    ) -> None:
        t, out, x = bottom_tangent[0], top_tangent[0], bottom[0].data
        slopes = {"ASUM": np.sign(x), "SUMSQ": 2 * x}
        terms = np.zeros_like(x) if t is None else t * slopes.get(self.params.operation, 1)
        moved = np.sum(terms, tuple(range(out.ndim, x.ndim)))
        np.multiply(moved, self._factor(x.shape, out.ndim), out=out)

    def _factor(self, x: Shape, kept: int) -> float:
        """What the sum over all but the first `kept` axes is multiplied by."""
        coeff = float(self.params.coeff)
        return coeff / max(1, math.prod(x[kept:])) if self.params.operation == "MEAN" else coeff
