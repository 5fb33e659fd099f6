"""What a net answers at each place, beside what the label says; and the tally of both by class."""

from __future__ import annotations

import numpy as np

from layerkit.blob import Array
from layerkit.errors import DataError


def best_classes(x: Array, labels: Array, axis: int, out: Array) -> None:
    """Write the class with the largest score at each place into `out` (..., 1, ...); of equal scores, the first.

    Raises DataError for a score that is NaN, with its position, unless the place is ignored (its label is -1).
    """
    np.argmax(x, axis=axis, keepdims=True, out=out)  # to which NaN is the largest
    refuse_nan(np.take_along_axis(x, out, axis), labels)


def refuse_nan(scores: Array, labels: Array) -> None:
    """Raise DataError for a score that is NaN, with its place, where the label of the same position is not -1."""
    broken = np.isnan(scores) & (labels >= 0)
    if broken.any():
        place = tuple(int(i) for i in np.argwhere(broken)[0])
        raise DataError(f"a score at place {place} is nan: a metric of it would mean nothing")


def tally(labels: Array, predicted: Array, sums: Array) -> None:
    """Write into sums (3, C) at how many places a class is the label, is predicted, and is both; -1 is ignored."""
    valid = labels >= 0
    classes = sums.shape[1]
    sums[0] = np.bincount(labels[valid], minlength=classes)
    sums[1] = np.bincount(predicted[valid], minlength=classes)
    sums[2] = np.bincount(labels[valid & (labels == predicted)], minlength=classes)


def ratio(part: Array, whole: Array) -> Array:
    """part / whole, and 0 where whole is 0."""
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0)
