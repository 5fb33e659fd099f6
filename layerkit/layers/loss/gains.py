"""What SoftmaxWithLoss and InfogainLoss share: a cross entropy in which every class counts by a gain.

At each place, with p the softmax of the scores and g the classes' gains (of the label alone 1, or a row of a matrix):

    loss = - sum over classes of g[c] log p[c]        d loss / d x[c] = p[c] (sum of g) - g[c]
"""

from __future__ import annotations

import math

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.layers.loss.normalization import LossParams, divisor


def one_class(scores: Shape, axis: int) -> Shape:
    """The shape of scores with one class instead of C: (..., 1, ...)."""
    axis %= len(scores)
    return (*scores[:axis], 1, *scores[axis + 1 :])


def along(values: Array, ndim: int, axis: int) -> Array:
    """A view of C values along the class axis: (1, ..., C, ..., 1)."""
    return values.reshape(-1, *[1] * (ndim - axis % ndim - 1))


def softmax(x: Array, axis: int, p: Array, row: Array) -> None:
    """Write the softmax of x into p, both (..., C, ...), by way of row, (..., 1, ...)."""
    np.max(x, axis=axis, keepdims=True, out=row)
    np.exp(np.subtract(x, row, out=p), out=p)  # the largest score becomes exp(0), so nothing overflows
    np.divide(p, np.sum(p, axis=axis, keepdims=True, out=row), out=p)


def gained_loss(p: Array, gains: Array, least: float, valid: Array, product: Array) -> Array:
    """The sum over valid places of - g[c] log p[c], where p counts as `least` at least."""
    np.log(np.maximum(p, least, out=product), out=product)
    product *= gains
    return np.asarray(0 - np.sum(product, where=valid))  # 0 - 0 is not -0


def gained_gradient(p: Array, gains: Array, axis: int, scale: Array, dx: Array, row: Array) -> None:
    """Write (p (sum of g) - g) scale into dx."""
    np.multiply(p, np.sum(gains, axis=axis, keepdims=True, out=row), out=dx)
    dx -= gains
    dx *= scale


def add_gradient_of_softmax(dp: Array, p: Array, axis: int, dx: Array, row: Array, product: Array) -> None:
    """Add to dx what comes in through p itself: p (dp - sum of dp p)."""
    np.sum(np.multiply(dp, p, out=product), axis=axis, keepdims=True, out=row)
    dx += np.multiply(p, np.subtract(dp, row, out=product), out=product)


def tangent_of_softmax(t: Array | None, p: Array, axis: int, out: Array) -> None:
    """Write p's tangent, from that of the scores: p (t - sum of t p)."""
    out[...] = 0 if t is None else p * (t - np.sum(t * p, axis=axis, keepdims=True))


def divisor_of_places(params: LossParams, scores: Shape, axis: int, valid: float) -> float:
    """What the sum over `valid` places of scores is divided by, by default VALID; samples are Caffe's outer_num_."""
    axis %= len(scores)
    return divisor(params, "VALID", math.prod(scores[:axis]), math.prod(scores) // scores[axis], valid)
