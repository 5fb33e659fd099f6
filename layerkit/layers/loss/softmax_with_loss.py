"""Softmax and the multinomial logistic loss in one, which is simpler and more exact than the two apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, Plan, Scratch, Tops
from layerkit.layers.loss import gains
from layerkit.layers.loss.labels import check_labels, read_labels
from layerkit.layers.loss.normalization import LossParams
from layerkit.registry import register
from layerkit.tangents import scalar


@register
class SoftmaxWithLoss(Layer):
    """Cross entropy of a softmax: the loss of choosing one of several classes.

    With p = exp(x) / sum over classes of exp(x), at each place with label k

        loss = - sum over places of log(p[k]) / D        d loss / d x[c] = (p[c] - [c = k]) / D

    D is what `normalization` says, by default VALID: the number of places whose label is not `ignore_label`.
    With class_weights w and label_smoothing e, each class c has a gain g[c] instead of [c = k]:

        g[c] = (1 - e) w[k] [c = k] + e w[c] / C
        loss = - sum over places and classes of g[c] log(p[c]) / D        d loss / d x[c] = (p[c] (sum of g) - g[c]) / D

    and D for VALID is the sum over these places of w[k], so that the loss is a weighted mean, as in PyTorch; FULL,
    BATCH_SIZE and NONE do not know of weights.

    Bottoms: x (..., C, ...), scores (any real numbers) with C classes on `axis`; labels (..., ...), one whole number in
    0..C-1 for each place, that is for each index of x without `axis`. Labels have no gradient.
    Tops: the loss (scalar), in nats; optionally p, of x's shape.
    Raises ShapeError where labels and scores or weights do not match, DataError for a label that is no class.
    The logarithm's argument is at least the dtype's smallest normal number; the gradient does not know of that.

    Example: {name: loss, type: SoftmaxWithLoss, bottom: [fc8, label], ignore_label: 255}

    Source: Caffe's softmax_loss_layer.cpp, and PyTorch's CrossEntropyLoss for weights and smoothing; beyond both, a
    gradient that comes into the second top is passed on.
    """

    class Params(LossParams):
        axis: int = Field(1, description="The axis of the classes.")
        class_weights: list[Annotated[float, Field(ge=0)]] = Field(
            [], description="How much a place counts, by its label: one number a class; empty: all count 1."
        )
        label_smoothing: float = Field(
            0.0, ge=0, le=1, description="Share of a label that is spread evenly over all classes, its own included."
        )

    bottoms = (2, 2)
    tops = (1, 2)
    loss = True
    predict_type = "Softmax"

    def plan(self, *bottoms: Shape) -> Plan:
        scores, labels = bottoms
        axis = check_labels(scores, labels, self.params.axis)
        weights = len(self.params.class_weights)
        if weights not in (0, scores[axis]):
            raise ShapeError(
                f"{weights} class_weights do not fit the {scores[axis]} classes on axis {axis} of {shape_text(scores)}",
                "class_weights",
            )
        places = gains.one_class(scores, axis)
        return Plan(
            tops=[(), scores][: self.num_tops],
            scratch=[
                Scratch("p", scores, keep=True, like_blob=True),
                Scratch("labels", places, "int64", keep=True),
                Scratch("right", scores, "bool", keep=True, like_blob=True),
                Scratch("valid", places, "bool"),
                Scratch("row", places),
                Scratch("divisor", (), keep=True),
                *([Scratch("gains", scores, keep=True, like_blob=True)] if self.weighted else []),
                *([Scratch("product", scores, like_blob=True)] if self.weighted or self.num_tops == 2 else []),
            ],
            gradients=(True, False),
            reads_bottoms=(),
            reads_tops=(),
        )

    @property
    def weighted(self) -> bool:
        """Whether classes have gains of their own: there are class_weights or label_smoothing."""
        return bool(self.params.class_weights or self.params.label_smoothing)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, p, row, axis = bottom[0].data, self.scratch.p, self.scratch.row, self.params.axis
        labels, right, valid = self.scratch.labels, self.scratch.right, self.scratch.valid
        self.read_labels(bottom[1].data, x.shape[axis], labels)  # (..., 1, ...)
        np.equal(labels, gains.along(np.arange(x.shape[axis]), x.ndim, axis), out=right)  # [c = k], (..., C, ...)
        np.greater_equal(labels, 0, out=valid)
        gains.softmax(x, axis, p, row)

        tiny = np.finfo(p.dtype).tiny
        if self.weighted:
            counted = self._write_gains(right)
            total = gains.gained_loss(p, self.scratch.gains, tiny, valid, self.scratch.product)
        else:
            counted = float(np.count_nonzero(valid))
            np.sum(p, axis=axis, keepdims=True, where=right, out=row)  # p[k]
            np.log(np.maximum(row, tiny, out=row), out=row)
            total = 0 - np.sum(row, where=valid)  # 0 - 0 is not -0
        self.scratch.divisor[...] = self.divisor(x.shape, counted)
        top[0].data[...] = total / self.scratch.divisor
        if len(top) == 2:
            top[1].data[...] = p

    def _write_gains(self, right: Array) -> float:
        """Write g of every place and class. Returns the sum over places of w[k]."""
        g, e, axis = self.scratch.gains, self.params.label_smoothing, self.params.axis
        classes = g.shape[axis]
        w = gains.along(np.array(self.params.class_weights or [1.0] * classes, g.dtype), g.ndim, axis)
        np.multiply(right, w, out=g)
        counted = float(np.sum(g))
        g *= 1 - e
        g += w * (e / classes)
        return counted

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if not propagate_down[0]:
            return
        p, dx, row, axis = self.scratch.p, bottom[0].diff, self.scratch.row, self.params.axis
        scale = top[0].diff / self.scratch.divisor
        if self.weighted:
            gains.gained_gradient(p, self.scratch.gains, axis, scale, dx, row)
        else:
            np.multiply(p, scale, out=dx)
            np.subtract(dx, scale, out=dx, where=self.scratch.right)
        np.copyto(dx, 0, where=np.less(self.scratch.labels, 0, out=self.scratch.valid))
        if len(top) == 2 and top[1].diff.any():
            gains.add_gradient_of_softmax(top[1].diff, p, axis, dx, row, self.scratch.product)

    def jvp(
        self, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], top_tangent: Sequence[Array]
    ) -> None:
        scalar(self, bottom, top, bottom_tangent, top_tangent)
        if len(top) == 2:
            gains.tangent_of_softmax(bottom_tangent[0], self.scratch.p, self.params.axis, top_tangent[1])

    def read_labels(self, labels: Array, classes: int, out: Array) -> None:
        """Write the labels as integers, -1 for those to ignore. Raises DataError for one that is no class."""
        read_labels(labels, classes, self.params.ignore_label, out)

    def divisor(self, shape: Shape, valid: float) -> float:
        """What the sum over `valid` places (or their weights) of scores of this shape is divided by."""
        return gains.divisor_of_places(self.params, shape, self.params.axis, valid)
