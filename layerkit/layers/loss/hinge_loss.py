"""The loss of a linear classifier with a margin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from layerkit.blob import Shape
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops
from layerkit.layers.loss.labels import check_sample_labels, places_of, read_labels
from layerkit.registry import register
from layerkit.tangents import scalar


@register
class HingeLoss(Layer):
    """One class against all others: its score should exceed 1, the others stay below -1.

    With s = -1 for a sample's own class and 1 for the others, and h = max(0, 1 + s x):

        L1: loss = sum of h / N          d loss / d x = s [h > 0] / N
        L2: loss = sum of h^2 / N        d loss / d x = 2 s h / N

    Bottoms: x (N, ...), scores (any real numbers) of C classes a sample, counted in C order where they have several
    axes; labels, N whole numbers in 0..C-1, which have no gradient.
    Tops: the loss (scalar), in the unit of the scores, or its square for L2.
    Raises ShapeError where labels and scores do not match, DataError for a label that is no class.

    Example: {name: loss, type: HingeLoss, bottom: [fc, label], norm: L2}

    Source: Caffe's hinge_loss_layer.cpp.
    """

    class Params(LayerParams):
        norm: Literal["L1", "L2"] = Field("L1", description="L1: what exceeds the margin counts; L2: its square does.")

    bottoms = (2, 2)
    loss = True

    def plan(self, *bottoms: Shape) -> Plan:
        scores, labels = bottoms
        check_sample_labels(scores, labels)
        return Plan(
            tops=[()],
            scratch=[
                Scratch("hinge", scores, keep=True, like_blob=True),
                Scratch("labels", scores[:1], "int64", keep=True),
            ],
            gradients=(True, False),
            reads_bottoms=(),
            reads_tops=(),
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, hinge, labels = bottom[0].data, self.scratch.hinge, self.scratch.labels
        read_labels(bottom[1].data, math.prod(x.shape[1:]), None, labels)
        np.copyto(hinge, x)
        hinge[places_of(labels, x.shape)] *= -1  # s x, (N, ...)
        hinge += 1
        np.maximum(hinge, 0, out=hinge)
        total = np.sum(hinge) if self.params.norm == "L1" else np.vdot(hinge, hinge)
        top[0].data[...] = total / max(1, len(x))

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if not propagate_down[0]:
            return
        dx, hinge = bottom[0].diff, self.scratch.hinge
        scale = top[0].diff / max(1, len(dx))
        if self.params.norm == "L1":
            np.multiply(np.sign(hinge, out=dx), scale, out=dx)
        else:
            np.multiply(hinge, 2 * scale, out=dx)
        dx[places_of(self.scratch.labels, dx.shape)] *= -1

    jvp = scalar
