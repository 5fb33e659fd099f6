"""Tile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Shape
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops, canonical_axis
from layerkit.registry import register
from layerkit.tangents import affine


@register
class Tile(Layer):
    """The bottom laid several times one after the other along an axis.

        y[..., t L + i, ...] = x[..., i, ...]        dx = sum over t of dy's part t

    where L is the bottom's length along the axis.

    Bottom 0: any shape with the axis. Top 0: the same with the length along the axis times `tiles`.
    Raises ShapeError where there is no such axis.

    Example: {name: copies, type: Tile, tiles: 3, axis: 1}

    Source: Caffe's tile_layer.cpp.
    """

    class Params(LayerParams):
        """How often, and along which axis."""

        axis: int = Field(1, description="Axis along which to lay; negative counts from the back.")
        tiles: int = Field(gt=0, description="How many copies.")

    def plan(self, *bottoms: Shape) -> Plan:
        shape, p = bottoms[0], self.params
        axis = canonical_axis(p.axis, shape)
        return Plan(
            tops=[(*shape[:axis], shape[axis] * p.tiles, *shape[axis + 1 :])],
            reads_bottoms=(),
            reads_tops=(),
            by_rows=axis != 0,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        for part in np.split(top[0].data, self.params.tiles, self.params.axis):
            part[...] = bottom[0].data

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            dx = bottom[0].diff
            first, *others = np.split(top[0].diff, self.params.tiles, self.params.axis)
            dx[...] = first
            for part in others:
                np.add(dx, part, out=dx)

    jvp = affine
