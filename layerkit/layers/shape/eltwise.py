"""Eltwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops, same_shape
from layerkit.layers.shape.stretch import sum_to
from layerkit.registry import register
from layerkit.tangents import affine


@register
class Eltwise(Layer):
    """Bottoms combined element by element.

    SUM:   y = sum_i coeff_i x_i        dx_i = coeff_i dy
    PROD:  y = product_i x_i            dx_i = dy * product of the other x; or dy * y / x_i if not stable_prod_grad
    MAX:   y = max_i x_i                dx_i = dy where x_i is the largest, else 0

    Where bottoms tie for the largest, Caffe's order holds: bottom 1 before bottom 0, else the earlier before the later.

    Bottoms: two or more of one shape; with broadcast they may lack axes in front, and an axis of length 1 stretches.
    Top 0: that shape, or the one that all of them stretch to. The gradient is summed over what a bottom stretches over.
    Raises ShapeError where the shapes do not match, or where the coefficients do not fit the operation and the bottoms.

    Example: {name: sum, type: Eltwise, bottom: [branch, shortcut]}

    Source: Caffe's eltwise_layer.cpp; broadcasting is numpy's.
    """

    class Params(LayerParams):
        """How the bottoms are combined, and which shapes they may have."""

        operation: Literal["PROD", "SUM", "MAX"] = Field("SUM", description="How the bottoms are combined.")
        coeff: list[float] = Field([], description="SUM: the factor of each bottom; none: all 1.")
        stable_prod_grad: bool = Field(
            True,
            description="PROD: multiply the others for the gradient, which is slower but right where a value is 0.",
        )
        broadcast: bool = Field(False, description="Whether bottoms of other shapes stretch, by numpy's rules.")

    bottoms = (2, None)

    def plan(self, *bottoms: Shape) -> Plan:
        p, shape = self.params, _common_shape(bottoms) if self.params.broadcast else same_shape(bottoms)
        if p.coeff and p.operation != "SUM":
            raise ShapeError(f"coeff is for operation SUM, not {p.operation}", "coeff")
        if p.coeff and len(p.coeff) != len(bottoms):
            raise ShapeError(f"there must be one coeff a bottom: {len(bottoms)}, not {len(p.coeff)}", "coeff")
        scratch = []
        if p.coeff:
            scratch = [Scratch("term", shape, like_blob=True)]
        elif p.operation == "MAX":
            scratch = [
                Scratch("larger", shape, "bool", like_blob=True),
                Scratch("claim", shape, "int32", like_blob=True),
                Scratch("winner", shape, "int32", keep=True, like_blob=True),
            ]
        if any(each != shape for each in bottoms):
            scratch.append(Scratch("whole", shape, like_blob=True))
        product = p.operation == "PROD"
        return Plan(
            tops=[shape],
            scratch=scratch,
            reads_bottoms=range(len(bottoms)) if product else (),
            reads_tops=(0,) if product and not p.stable_prod_grad else (),
            in_place=bottoms[0] == shape,
            by_rows=all(len(each) == len(shape) and each[:1] == shape[:1] for each in bottoms),
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        xs, y, p = [each.data for each in bottom], top[0].data, self.params
        if p.operation == "MAX":
            claim, winner = self.scratch.claim, self.scratch.winner
            np.copyto(y, xs[0])
            winner[...] = 0
            for i, x in enumerate(xs[1:], 1):
                larger = (np.greater_equal if i == 1 else np.greater)(x, y, out=self.scratch.larger)
                np.maximum(winner, np.multiply(larger, i, out=claim), out=winner)
                np.maximum(y, x, out=y)
        elif p.operation == "PROD":
            np.multiply(xs[0], xs[1], out=y)
            for x in xs[2:]:
                np.multiply(y, x, out=y)
        elif p.coeff:
            np.multiply(xs[0], p.coeff[0], out=y)
            for x, coeff in zip(xs[1:], p.coeff[1:], strict=True):
                np.add(y, np.multiply(x, coeff, out=self.scratch.term), out=y)
        else:
            np.add(xs[0], xs[1], out=y)
            for x in xs[2:]:
                np.add(y, x, out=y)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        for i in reversed(range(len(bottom))):  # bottom 0 last: its diff may lie where dy does
            if not propagate_down[i]:
                continue
            dx = bottom[i].diff
            if dx.shape == top[0].shape:
                self._gradient(i, top, bottom, dx)
            else:
                self._gradient(i, top, bottom, self.scratch.whole)
                sum_to(self.scratch.whole, dx)

    def jvp(
        self, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], top_tangent: Sequence[Array]
    ) -> None:
        if self.params.operation != "MAX":
            affine(self, bottom, top, bottom_tangent, top_tangent)
            return
        top_tangent[0][...] = 0
        for i, t in enumerate(bottom_tangent):
            if t is not None:
                np.copyto(top_tangent[0], t, where=self.scratch.winner == i)

    def _gradient(self, i: int, top: Tops, bottom: Bottoms, out: Array) -> None:
        """The gradient of what bottom i stretches to."""
        p, dy = self.params, top[0].diff
        if p.operation == "MAX":
            np.multiply(dy, np.equal(self.scratch.winner, i, out=self.scratch.larger), out=out)
        elif p.operation == "SUM":
            np.multiply(dy, p.coeff[i] if p.coeff else 1, out=out)
        elif p.stable_prod_grad:
            first, *others = [each.data for j, each in enumerate(bottom) if j != i]
            np.multiply(dy, first, out=out)
            for x in others:
                np.multiply(out, x, out=out)
        else:
            np.multiply(dy, top[0].data, out=out)
            np.divide(out, bottom[i].data, out=out)


def _common_shape(bottoms: Sequence[Shape]) -> Shape:
    """The shape that all stretch to. Raises ShapeError where there is none."""
    try:
        return np.broadcast_shapes(*bottoms)
    except ValueError:
        listed = ", ".join(map(shape_text, bottoms))
        raise ShapeError(f"bottoms of the shapes {listed} do not stretch to a common one", "bottom") from None
