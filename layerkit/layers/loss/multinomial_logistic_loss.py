"""The loss of probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops
from layerkit.layers.loss.labels import check_sample_labels, places_of, read_labels
from layerkit.registry import register
from layerkit.tangents import scalar

LEAST = 1e-20  # Caffe's kLOG_THRESHOLD


@register
class MultinomialLogisticLoss(Layer):
    """Cross entropy of probabilities that are there already.

    For scores SoftmaxWithLoss is the more exact.

        loss = - sum over samples of log(p[k]) / N        d loss / d p[k] = - 1 / (p[k] N), 0 for the other classes

    where k is a sample's label, and a probability counts as 1e-20 at least, in the gradient too.

    Bottoms: p (N, ...), probabilities of C classes a sample, counted in C order where they have several axes; labels,
    N whole numbers in 0..C-1, which have no gradient.
    Tops: the loss (scalar), in nats.
    Raises ShapeError where labels and probabilities do not match, DataError for a label that is no class.

    Example: {name: loss, type: MultinomialLogisticLoss, bottom: [prob, label]}

    Source: Caffe's multinomial_logistic_loss_layer.cpp.
    """

    class Params(LayerParams):
        """MultinomialLogisticLoss has no parameters."""

    bottoms = (2, 2)
    loss = True

    def plan(self, *bottoms: Shape) -> Plan:
        probabilities, labels = bottoms
        check_sample_labels(probabilities, labels)
        return Plan(
            tops=[()],
            scratch=[Scratch("labels", probabilities[:1], "int64", keep=True)],
            gradients=(True, False),
            reads_bottoms=(0,),
            reads_tops=(),
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        p = bottom[0].data
        read_labels(bottom[1].data, math.prod(p.shape[1:]), None, self.scratch.labels)
        top[0].data[...] = (0 - np.sum(np.log(self._own(p)))) / max(1, len(p))  # 0 - 0 is not -0

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if not propagate_down[0]:
            return
        p, dp = bottom[0].data, bottom[0].diff
        dp.fill(0)
        dp[places_of(self.scratch.labels, p.shape)] = -top[0].diff / max(1, len(p)) / self._own(p)

    jvp = scalar

    def _own(self, p: Array) -> Array:
        """The probability of each sample's own class, (N,)."""
        own: Array = np.maximum(p[places_of(self.scratch.labels, p.shape)], LEAST)
        return own
