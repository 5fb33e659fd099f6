"""How far one distribution is from another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape
from layerkit.errors import DataError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops, canonical_axis, same_shape
from layerkit.layers.loss import gains
from layerkit.registry import register
from layerkit.tangents import scalar


@register
class KLDivergence(Layer):
    """Kullback-Leibler divergence of predicted distributions from target distributions.

    With predictions q and targets t:

        loss = sum over places and classes of t log(t / q) / D        where 0 log 0 = 0

    `prediction` says what bottom 0 is, by default q itself as in Keras. PyTorch's KLDivLoss takes LOG_PROBABILITIES;
    SCORES have their softmax taken here, which is the most exact: a student's scores, say, against a teacher's
    probabilities. The gradient of bottom 0 is

        PROBABILITIES: - t / (q D)        LOG_PROBABILITIES: - t / D        SCORES: (q (sum of t) - t) / D

    where a probability q counts as the dtype's smallest normal number at least.

    Bottoms: the prediction (N, ...), with classes on `axis`; t of the same shape, probabilities, without a gradient.
    Tops: the loss (scalar), in nats.
    Raises ShapeError where the bottoms do not match, DataError for a probability below 0.

    Example: {name: loss, type: KLDivergence, bottom: [student, teacher], prediction: SCORES}

    Source: Kullback and Leibler 1951, On information and sufficiency; PyTorch's KLDivLoss with reduction batchmean.
    """

    class Params(LayerParams):
        prediction: Literal["PROBABILITIES", "LOG_PROBABILITIES", "SCORES"] = Field(
            "PROBABILITIES", description="What bottom 0 holds: q, log q, or scores whose softmax is q."
        )
        axis: int = Field(1, description="The axis of the classes.")
        normalization: Literal["BATCH_SIZE", "FULL", "NONE"] = Field(
            "BATCH_SIZE",
            description="What the sum is divided by. BATCH_SIZE: the samples, N, as PyTorch's batchmean. FULL: the "
            "places, each with its classes, as in Keras. NONE: 1.",
        )

    bottoms = (2, 2)
    loss = True

    def plan(self, *bottoms: Shape) -> Plan:
        shape = same_shape(bottoms)
        places = gains.one_class(shape, canonical_axis(self.params.axis, shape))
        reads_prediction = self.params.prediction == "PROBABILITIES"
        return Plan(
            tops=[()],
            scratch=[
                Scratch("log_q", shape, keep=True, like_blob=True),
                Scratch("product", shape, like_blob=True),
                Scratch("mask", shape, "bool", like_blob=True),
                Scratch("row", places),
            ],
            gradients=(True, False),
            reads_bottoms=(0, 1) if reads_prediction else (1,),
            reads_tops=(),
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        t, product, counts = bottom[1].data, self.scratch.product, self.scratch.mask
        self._check(bottom)
        log_q = self._log_q(bottom[0].data)
        np.log(np.maximum(t, np.finfo(t.dtype).tiny, out=product), out=product)
        product -= log_q
        np.not_equal(t, 0, out=counts)
        np.multiply(product, t, out=product, where=counts)  # t (log t - log q)
        top[0].data[...] = np.sum(product, where=counts) / self._divisor(t.shape)

    def _log_q(self, given: Array) -> Array:
        """The logarithm of the predicted probabilities, from what bottom 0 holds."""
        log_q: Array = self.scratch.log_q
        row, product, axis = self.scratch.row, self.scratch.product, self.params.axis
        if self.params.prediction == "LOG_PROBABILITIES":
            np.copyto(log_q, given)
        elif self.params.prediction == "PROBABILITIES":
            np.log(np.maximum(given, np.finfo(given.dtype).tiny, out=log_q), out=log_q)
        else:
            np.subtract(given, np.max(given, axis=axis, keepdims=True, out=row), out=log_q)
            np.sum(np.exp(log_q, out=product), axis=axis, keepdims=True, out=row)
            log_q -= np.log(row, out=row)
        return log_q

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if not propagate_down[0]:
            return
        dx, t = bottom[0].diff, bottom[1].data
        scale = top[0].diff / self._divisor(t.shape)
        if self.params.prediction == "LOG_PROBABILITIES":
            np.multiply(t, -scale, out=dx)
        elif self.params.prediction == "PROBABILITIES":
            np.divide(t, np.maximum(bottom[0].data, np.finfo(t.dtype).tiny, out=dx), out=dx)
            dx *= -scale
        else:
            q = np.exp(self.scratch.log_q, out=self.scratch.product)
            gains.gained_gradient(q, t, self.params.axis, scale, dx, self.scratch.row)

    jvp = scalar

    def _check(self, bottom: Bottoms) -> None:
        """Raise DataError for a probability below 0, with its value and position."""
        probabilities = {"target": bottom[1].data}
        if self.params.prediction == "PROBABILITIES":
            probabilities["predicted probability"] = bottom[0].data
        for what, values in probabilities.items():
            if np.less(values, 0, out=self.scratch.mask).any():
                position = tuple(int(i) for i in np.argwhere(self.scratch.mask)[0])
                hint = "" if what == "target" else "; say in 'prediction' if bottom 0 holds logarithms or scores"
                raise DataError(f"{what} {values[position]:g} at position {position} is below 0{hint}")

    def _divisor(self, shape: Shape) -> int:
        places = math.prod(shape) // max(1, shape[self.params.axis])
        return {"FULL": places, "BATCH_SIZE": shape[0], "NONE": 1}[self.params.normalization] or 1
