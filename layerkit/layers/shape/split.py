"""Split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerkit.blob import Shape
from layerkit.layer import Bottoms, Layer, Plan, Tops
from layerkit.registry import register
from layerkit.tangents import affine


@register
class Split(Layer):
    """Copies of the bottom, as many as there are tops.

        y_i = x        dx = sum of all dy_i

    A net does not need it, since any number of layers may read one blob; Caffe's files may hold it.

    Bottom 0: any shape. Tops: one or more of that shape.

    Example: {name: both, type: Split, top: [left, right]}

    Source: Caffe's split_layer.cpp.
    """

    tops = (1, None)

    def plan(self, *bottoms: Shape) -> Plan:
        tops = [bottoms[0]] * self.num_tops
        return Plan(tops=tops, reads_bottoms=(), reads_tops=(), in_place=True, by_rows=True)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        for each in top:
            each.data[...] = bottom[0].data

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            dx = bottom[0].diff
            dx[...] = top[0].diff
            for each in top[1:]:
                np.add(dx, each.diff, out=dx)

    jvp = affine
