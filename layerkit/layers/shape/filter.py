"""Filter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerkit.blob import Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, Plan, Scratch, Tops
from layerkit.registry import register
from layerkit.tangents import affine
from layerkit.words import counted


@register
class Filter(Layer):
    """The rows whose entry in the last bottom, the selector, is not 0.

    Their order stays. How many there are depends on the data, and what lies below is planned again for them; there may
    be none.

    Bottoms: one or more (N, ...); last the selector, (N,) or with further axes of length 1, which has no gradient.
    Tops: one for each bottom but the selector, (M, ...) with M <= N, the number of entries that are not 0.
    The gradient is dy in the rows that were kept, and 0 in the others.
    Raises ShapeError where the tops do not match the bottoms, the numbers of rows differ, or the selector has more than
    one entry a row.

    Example: {name: kept, type: Filter, bottom: [features, label, selector], top: [some_features, some_labels]}

    Source: Caffe's filter_layer.cpp.
    """

    bottoms = (2, None)
    tops = (1, None)

    def plan(self, *bottoms: Shape) -> Plan:
        *data, selector = bottoms
        if self.num_tops != len(data):
            raise ShapeError(
                f"each bottom but the selector needs a top: there must be {len(data)}, not {self.num_tops}", "top"
            )
        if selector[1:] != (1,) * len(selector[1:]) or not selector:
            raise ShapeError(f"the selector must have one entry a row, but it is {shape_text(selector)}", "bottom")
        for i, shape in enumerate(data):
            if shape[:1] != selector[:1]:
                raise ShapeError(
                    f"the selector has {counted(selector[0], 'row')}, but bottom {i} is {shape_text(shape)}",
                    "bottom",
                )
        return Plan(
            tops=data,
            scratch=[Scratch("kept", selector[:1], "bool", keep=True)],
            gradients=[*(True for _ in data), False],
            reads_bottoms=(),
            reads_tops=(),
            dynamic=True,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        *data, selector = bottom
        kept = np.not_equal(selector.data.reshape(-1), 0, out=self.scratch.kept)
        count = int(np.count_nonzero(kept))
        for x, y in zip(data, top, strict=True):
            y.reshape(count, *x.shape[1:])
            np.compress(kept, x.data, axis=0, out=y.data)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        kept = self.scratch.kept
        for x, y, asked in zip(bottom, top, propagate_down, strict=False):  # the selector, last, has no top
            if asked:
                x.diff[...] = 0
                x.diff[kept] = y.diff

    jvp = affine
