"""Axpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, Plan, Scratch, Tops
from layerkit.layers.shape.stretch import sum_to
from layerkit.registry import register
from layerkit.tangents import affine


@register
class Axpy(Layer):
    """Each channel of x times a number of its own, plus y.

    So ends a block of squeeze and excitation.

        z[n, c, ...] = a[n, c] x[n, c, ...] + y[n, c, ...]

    Bottoms: a, (N, C) or with further axes of length 1; x and y, both (N, C, ...). Top 0: the shape of x.
    The gradients are da = the sum of dz x over all axes but the first two, dx = a dz, dy = dz.
    Raises ShapeError where x and y differ, or a does not match them.

    Example: {name: block, type: Axpy, bottom: [gates, residual, shortcut]}

    Source: the Axpy layer of SENet's Caffe (Hu et al. 2018).
    """

    bottoms = (3, 3)

    def plan(self, *bottoms: Shape) -> Plan:
        a, x, y = bottoms
        if x != y:
            raise ShapeError(
                f"bottoms 1 and 2 must have one shape, but they are {shape_text(x)} and {shape_text(y)}", "bottom"
            )
        if len(x) < 2 or a[:2] != x[:2] or any(length != 1 for length in a[2:]):
            raise ShapeError(
                f"bottom 0 must have a number for each channel of bottom 1, {shape_text(x)}, but it is {shape_text(a)}",
                "bottom",
            )
        return Plan(
            tops=[x],
            scratch=[Scratch("product", x, like_blob=True)],
            reads_bottoms=(0, 1),
            reads_tops=(),
            by_rows=True,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        a, x, y = (each.data for each in bottom)
        np.multiply(_stretched(a, x), x, out=top[0].data)
        np.add(top[0].data, y, out=top[0].data)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        a, x, y = bottom
        dz = top[0].diff
        if propagate_down[0]:
            sum_to(np.multiply(dz, x.data, out=self.scratch.product), _stretched(a.diff, dz))
        if propagate_down[1]:
            np.multiply(_stretched(a.data, dz), dz, out=x.diff)
        if propagate_down[2]:
            y.diff[...] = dz

    jvp = affine


def _stretched(a: Array, x: Array) -> Array:
    """A view of a that stretches over x: (N, C, 1, ...)."""
    return a.reshape(*x.shape[:2], *(1 for _ in x.shape[2:]), copy=False)
