"""Softmax and the multinomial logistic loss in one, which is simpler and more exact than the two apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape
from layerkit.layer import Bottoms, Layer, Plan, Scratch, Tops
from layerkit.layers.loss.labels import check_labels, read_labels
from layerkit.layers.loss.normalization import LossParams, divisor
from layerkit.registry import register


@register
class SoftmaxWithLoss(Layer):
    """Cross entropy of a softmax: the loss of choosing one of several classes.

    With p = exp(x) / sum over classes of exp(x), at each place with label k

        loss = - sum over places of log(p[k]) / D        d loss / d x[c] = (p[c] - [c = k]) / D

    D is what `normalization` says, by default VALID: the number of places whose label is not `ignore_label`.

    Bottoms: x (..., C, ...), scores (any real numbers) with C classes on `axis`; labels (..., ...), one whole number in
    0..C-1 for each place, that is for each index of x without `axis`. Labels have no gradient.
    Tops: the loss (scalar), in nats; optionally p, of x's shape.
    Raises ShapeError where labels and scores do not match, DataError for a label that is no class.
    The logarithm's argument is at least the dtype's smallest normal number; the gradient does not know of that.

    Example: {name: loss, type: SoftmaxWithLoss, bottom: [fc8, label], ignore_label: 255}

    Source: Caffe's softmax_loss_layer.cpp; beyond it, a gradient that comes into the second top is passed on.
    """

    class Params(LossParams):
        """Parameters of SoftmaxWithLoss."""

        axis: int = Field(1, description="The axis of the classes.")

    bottoms = (2, 2)
    tops = (1, 2)
    loss = True
    predict_type = "Softmax"

    def plan(self, *bottoms: Shape) -> Plan:
        scores, labels = bottoms
        axis = check_labels(scores, labels, self.params.axis)
        places = (*scores[:axis], 1, *scores[axis + 1 :])
        return Plan(
            tops=[(), scores][: self.num_tops],
            scratch=[
                Scratch("p", scores, keep=True, like_blob=True),
                Scratch("labels", places, "int64", keep=True),
                Scratch("right", scores, "bool", keep=True, like_blob=True),
                Scratch("valid", places, "bool"),
                Scratch("row", places),
                Scratch("divisor", (), keep=True),
                *([Scratch("product", scores, like_blob=True)] if self.num_tops == 2 else []),
            ],
            gradients=(True, False),
            reads_bottoms=(),
            reads_tops=(),
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, p, row, axis = bottom[0].data, self.scratch.p, self.scratch.row, self.params.axis
        labels, right, valid = self.scratch.labels, self.scratch.right, self.scratch.valid
        self.read_labels(bottom[1].data, x.shape[axis], labels)  # (..., 1, ...)
        np.equal(labels, self._classes(x.shape), out=right)  # [c = k], (..., C, ...)
        np.greater_equal(labels, 0, out=valid)

        np.max(x, axis=axis, keepdims=True, out=row)  # (..., 1, ...)
        np.exp(np.subtract(x, row, out=p), out=p)  # the largest score becomes exp(0), so nothing overflows
        np.divide(p, np.sum(p, axis=axis, keepdims=True, out=row), out=p)  # (..., C, ...)

        np.sum(p, axis=axis, keepdims=True, where=right, out=row)  # p[k]
        np.log(np.maximum(row, np.finfo(p.dtype).tiny, out=row), out=row)
        self.scratch.divisor[...] = self.divisor(x.shape, int(np.count_nonzero(valid)))
        top[0].data[...] = (0 - np.sum(row, where=valid)) / self.scratch.divisor  # 0 - 0 is not -0
        if len(top) == 2:
            top[1].data[...] = p

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if not propagate_down[0]:
            return
        p, dx, row, axis = self.scratch.p, bottom[0].diff, self.scratch.row, self.params.axis
        scale = top[0].diff / self.scratch.divisor
        np.multiply(p, scale, out=dx)
        np.subtract(dx, scale, out=dx, where=self.scratch.right)
        np.copyto(dx, 0, where=np.less(self.scratch.labels, 0, out=self.scratch.valid))
        if len(top) == 2 and top[1].diff.any():
            g, product = top[1].diff, self.scratch.product
            np.sum(np.multiply(g, p, out=product), axis=axis, keepdims=True, out=row)
            dx += np.multiply(p, np.subtract(g, row, out=product), out=product)

    def _classes(self, shape: Shape) -> Array:
        """The numbers of the classes along their axis: (1, ..., C, ..., 1)."""
        axis = self.params.axis % len(shape)
        return np.arange(shape[axis]).reshape(-1, *[1] * (len(shape) - axis - 1))

    def read_labels(self, labels: Array, classes: int, out: Array) -> None:
        """Write the labels as integers, -1 for those to ignore. Raises DataError for one that is no class."""
        read_labels(labels, classes, self.params.ignore_label, out)

    def divisor(self, shape: Shape, valid: int) -> int:
        """What the sum over `valid` places of scores of this shape is divided by."""
        axis = self.params.axis % len(shape)
        samples = math.prod(shape[:axis])  # Caffe's outer_num_
        return divisor(self.params, "VALID", samples, math.prod(shape) // shape[axis], valid)
