"""The squared distance between two bottoms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerkit.blob import Shape
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops
from layerkit.layers.loss.pairs import check_pairs
from layerkit.registry import register
from layerkit.tangents import scalar


@register
class EuclideanLoss(Layer):
    """Half the squared Euclidean distance per sample: for real numbers, as in regression.

        loss = sum of (a - b)^2 / (2 N)        d loss / d a = (a - b) / N = - d loss / d b

    Bottoms: a (N, ...) and b, as many numbers in N samples. Both can have gradients.
    Tops: the loss (scalar), in the square of the bottoms' unit.
    Raises ShapeError where the bottoms do not match.

    Example: {name: loss, type: EuclideanLoss, bottom: [predicted, wanted]}

    Source: Caffe's euclidean_loss_layer.cpp.
    """

    class Params(LayerParams):
        """EuclideanLoss has no parameters."""

    bottoms = (2, 2)
    loss = True

    def plan(self, *bottoms: Shape) -> Plan:
        check_pairs(*bottoms)
        return Plan(tops=[()], scratch=[Scratch("difference", bottoms[0], keep=True)], reads_bottoms=(), reads_tops=())

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        a, difference = bottom[0].data, self.scratch.difference
        np.subtract(a, bottom[1].data.reshape(a.shape), out=difference)  # (N, ...)
        top[0].data[...] = np.vdot(difference, difference) / (2 * max(1, len(a)))

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        difference = self.scratch.difference
        scale = top[0].diff / max(1, len(difference))
        for blob, sign, wanted in zip(bottom, (1, -1), propagate_down, strict=True):
            if wanted:
                np.multiply(difference.reshape(blob.shape), sign * scale, out=blob.diff)

    jvp = scalar
