"""BatchReindex."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerkit.blob import Shape, shape_text
from layerkit.errors import DataError, ShapeError
from layerkit.layer import Bottoms, Layer, Plan, Scratch, Tops
from layerkit.registry import register
from layerkit.tangents import affine


@register
class BatchReindex(Layer):
    """Rows of bottom 0 chosen by number, in any order, some more than once and some not at all.

        y[m] = x[index[m]]        dx[n] = sum of dy[m] over all m with index[m] = n

    Bottoms: x (N, ...); index (M,), whole numbers in 0..N-1, which have no gradient. Top 0: (M, ...).
    Raises ShapeError where x has no axis or index has more than one, DataError for a number that is no row.

    Example: {name: chosen, type: BatchReindex, bottom: [features, index]}

    Source: Caffe's batch_reindex_layer.cpp.
    """

    bottoms = (2, 2)

    def plan(self, *bottoms: Shape) -> Plan:
        x, index = bottoms
        if not x:
            raise ShapeError("bottom 0 must have rows, but it is a scalar", "bottom")
        if len(index) != 1:
            raise ShapeError(f"bottom 1 must have one axis, a number for each row, not {shape_text(index)}", "bottom")
        return Plan(
            tops=[(*index, *x[1:])],
            scratch=[Scratch("index", index, "int64", keep=True)],
            gradients=(True, False),
            reads_bottoms=(),
            reads_tops=(),
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, given, index = bottom[0].data, bottom[1].data, self.scratch.index
        for m, number in enumerate(given):
            if not 0 <= number < len(x) or number != int(number):
                raise DataError(f"index {number:g} at position {m} is no row of bottom 0, which has {len(x)}")
        np.copyto(index, given, casting="unsafe")
        for m, number in enumerate(index):
            top[0].data[m] = x[number]

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            dx, dy = bottom[0].diff, top[0].diff
            dx[...] = 0
            for m, number in enumerate(self.scratch.index):
                dx[number] += dy[m]

    jvp = affine
