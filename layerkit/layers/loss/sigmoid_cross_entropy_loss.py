"""Sigmoid and the cross entropy of independent probabilities in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, Plan, Scratch, Tops
from layerkit.layers.activation.logistic import logistic
from layerkit.layers.loss.normalization import LossParams, divisor
from layerkit.registry import register
from layerkit.tangents import scalar


@register
class SigmoidCrossEntropyLoss(Layer):
    """Cross entropy of independent yes-or-no probabilities, from their scores.

    With p = 1 / (1 + exp(-x)) and targets t

        loss = - sum of (t log p + (1 - t) log(1 - p)) / D        d loss / d x = (p - t) / D

    written as max(x, 0) - x t + log(1 + exp(-|x|)), which never overflows. D is what `normalization` says, by default
    BATCH_SIZE: the number of samples. A target whose whole part is `ignore_label` is left out.

    Bottoms: x (N, ...), any real numbers; t, as many and in N samples, in 0..1. Targets have no gradient.
    Tops: the loss (scalar), in nats.
    Raises ShapeError where targets and scores do not match.

    Example: {name: loss, type: SigmoidCrossEntropyLoss, bottom: [scores, answers]}

    Source: Caffe's sigmoid_cross_entropy_loss_layer.cpp.
    """

    class Params(LossParams):
        """Parameters of SigmoidCrossEntropyLoss."""

    bottoms = (2, 2)
    loss = True
    predict_type = "Sigmoid"

    def plan(self, *bottoms: Shape) -> Plan:
        x, t = bottoms
        if not x or x[:1] != t[:1] or np.prod(x) != np.prod(t):
            raise ShapeError(f"scores of shape {shape_text(x)} need as many targets, not {shape_text(t)}", "bottom")
        return Plan(
            tops=[()],
            scratch=[
                Scratch("loss", x, like_blob=True),
                Scratch("product", x, like_blob=True),
                Scratch("valid", x, "bool", keep=True, like_blob=True),
            ],
            gradients=(True, False),
            reads_bottoms=(0, 1),
            reads_tops=(),
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, loss, product, valid = bottom[0].data, self.scratch.loss, self.scratch.product, self.scratch.valid
        t = bottom[1].data.reshape(x.shape)
        np.not_equal(np.trunc(t, out=product), self._ignored, out=valid)

        np.negative(np.abs(x, out=loss), out=loss)
        np.log1p(np.exp(loss, out=loss), out=loss)  # log(1 + exp(-|x|))
        loss += np.maximum(x, 0, out=product)
        loss -= np.multiply(x, t, out=product)
        top[0].data[...] = np.sum(loss, where=valid) / self._divisor(valid)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if not propagate_down[0]:
            return
        x, dx, valid = bottom[0].data, bottom[0].diff, self.scratch.valid
        logistic(x, out=dx)
        dx -= bottom[1].data.reshape(x.shape)
        dx *= top[0].diff / self._divisor(valid)
        np.copyto(dx, 0, where=~valid)

    jvp = scalar

    @property
    def _ignored(self) -> float:
        label = self.params.ignore_label
        return float("nan") if label is None else float(label)  # nothing equals NaN

    def _divisor(self, valid: Array) -> float:
        return divisor(self.params, "BATCH_SIZE", len(valid), valid.size, int(np.count_nonzero(valid)))
