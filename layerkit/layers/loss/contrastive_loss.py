"""The loss of a siamese net."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops
from layerkit.layers.loss.labels import read_labels
from layerkit.registry import register
from layerkit.tangents import scalar


@register
class ContrastiveLoss(Layer):
    """Draws similar pairs together and pushes others apart, up to a margin m.

    With e = a - b and d its length, for a pair with label y, 1 for similar and 0 for dissimilar:

        loss = sum over pairs of (y d^2 + (1 - y) max(0, m - d)^2) / (2 N)
        d loss / d a = - d loss / d b = e / N for similar pairs, - e max(0, m - d) / ((d + 1e-4) N) for others

    The 1e-4 is Caffe's, and keeps equal vectors from a division by 0. With legacy_version, as in Caffe's first years,
    dissimilar pairs count max(0, m - d^2) and have the gradient - e [d^2 < m] / N.

    Bottoms: a (N, ...) and b of the same shape, both with gradients; y, N labels 0 or 1, without.
    Tops: the loss (scalar), in the square of the bottoms' unit.
    Raises ShapeError where the bottoms do not match, DataError for a label that is not 0 or 1.

    Example: {name: loss, type: ContrastiveLoss, bottom: [feat, feat_p, sim], margin: 1}

    Source: Hadsell, Chopra and LeCun 2006, Dimensionality reduction by learning an invariant mapping; Caffe's
    contrastive_loss_layer.cpp.
    """

    class Params(LayerParams):
        margin: float = Field(
            1.0,
            ge=0,
            description="Distance from which on dissimilar pairs cost nothing; with legacy_version, its square.",
        )
        legacy_version: bool = Field(
            False, description="Whether dissimilar pairs cost m - d^2, as in Caffe's first years, and not (m - d)^2."
        )

    bottoms = (3, 3)
    loss = True

    def plan(self, *bottoms: Shape) -> Plan:
        a, b, y = bottoms
        if not a or a != b or math.prod(y) != a[0] or y[:1] != a[:1]:
            raise ShapeError(
                "bottoms 0 and 1 need one shape (N, ...), and bottom 2 a label for each pair, "
                f"but they are {shape_text(a)}, {shape_text(b)} and {shape_text(y)}",
                "bottom",
            )
        return Plan(
            tops=[()],
            scratch=[
                Scratch("difference", a, keep=True, like_blob=True),
                Scratch("similar", a[:1], "int64"),
                Scratch("product", a, like_blob=True),
                Scratch("slope", a[:1], keep=True),
            ],
            gradients=(True, True, False),
            reads_bottoms=(),
            reads_tops=(),
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        e, similar, product, margin = (
            self.scratch.difference,
            self.scratch.similar,
            self.scratch.product,
            self.params.margin,
        )
        read_labels(bottom[2].data, 2, None, similar)
        np.subtract(bottom[0].data, bottom[1].data, out=e)  # (N, ...)
        square = np.sum(np.multiply(e, e, out=product), axis=tuple(range(1, e.ndim)))  # d^2, (N,)
        if self.params.legacy_version:
            gap = np.maximum(margin - square, 0)
            apart, slope = gap, np.sign(gap)
        else:
            distance = np.sqrt(square)
            gap = np.maximum(margin - distance, 0)
            apart, slope = gap * gap, gap / (distance + 1e-4)
        top[0].data[...] = np.sum(np.where(similar, square, apart)) / (2 * max(1, len(e)))
        self.scratch.slope[...] = np.where(similar, 1, -slope)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        e = self.scratch.difference
        slope = self.scratch.slope * (top[0].diff / max(1, len(e)))  # (N,)
        slope = slope.reshape(-1, *[1] * (e.ndim - 1))
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                np.multiply(e, sign * slope, out=bottom[i].diff)

    jvp = scalar
