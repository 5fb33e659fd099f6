"""Box geometry: every box is four numbers (xmin, ymin, xmax, ymax) on the last axis of an array.

SSD's boxes are normalized: the image is the square from 0 to 1. Faster R-CNN's are in pixels, and a box from pixel 3 to
pixel 5 is three wide, so that every width and height there is one more than the difference; `pixel=1` says so.
Source: SSD's bbox_util.cpp; Faster R-CNN's bbox_transform.py, nms.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from layerkit.blob import Array

CodeType = Literal["CORNER", "CENTER_SIZE", "CORNER_SIZE"]
"""What the offsets between a prior and a box are; see `encode`."""

absurd = np.errstate(over="ignore", invalid="ignore")
"""Decorator: a prediction may be absurd, and its box infinite or NaN, which then overlaps nothing; no warning."""


def sizes(boxes: Array) -> Array:
    """Width and height: (..., 4) -> (..., 2)."""
    return boxes[..., 2:] - boxes[..., :2]


def centers(boxes: Array) -> Array:
    """The middle's x and y: (..., 4) -> (..., 2)."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


@absurd
def areas(boxes: Array, pixel: float = 0.0) -> Array:
    """Width times height: (..., 4) -> (...); 0 for a box whose corners are the wrong way round."""
    extent = sizes(boxes)
    return np.where((extent >= 0).all(-1), np.prod(extent + pixel, -1), 0)


@absurd
def overlaps(a: Array, b: Array, pixel: float = 0.0) -> Array:
    """Jaccard overlap, intersection over union: (..., 4) and (..., 4) -> their common leading axes, 0 to 1."""
    shared = np.concatenate([np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])], -1)
    both = areas(shared, pixel)  # boxes apart have a shared box that is the wrong way round
    either = areas(a, pixel) + areas(b, pixel) - both
    ratio = np.zeros_like(both)
    np.divide(both, either, out=ratio, where=both > 0)
    return ratio


def outside(boxes: Array) -> Array:
    """Which coordinates of normalized boxes lie outside of the image."""
    return (boxes < 0) | (boxes > 1)


def encode(code: CodeType, priors: Array, boxes: Array, variances: Array | float) -> Array:
    """What to predict, (..., 4), so that `decode` gives `boxes` for these priors; both need a positive size.

    CORNER: the differences of the corners. CORNER_SIZE: these in units of the prior's size. CENTER_SIZE: the centers'
    difference in units of the prior's size, and the logarithm of the sizes' ratio. All over the variances, which may
    be 1.
    """
    if code == "CENTER_SIZE":
        shift = (centers(boxes) - centers(priors)) / sizes(priors)
        offsets = np.concatenate([shift, np.log(sizes(boxes) / sizes(priors))], -1)
    else:
        offsets = (boxes - priors) / _unit(code, priors)
    return offsets / variances


@absurd
def decode(code: CodeType, priors: Array, offsets: Array, variances: Array | float) -> Array:
    """The boxes, (..., 4), that the predicted offsets mean; the inverse of `encode`."""
    offsets = offsets * variances
    if code != "CENTER_SIZE":
        return priors + offsets * _unit(code, priors)
    middle = centers(priors) + offsets[..., :2] * sizes(priors)
    half = np.exp(offsets[..., 2:]) * sizes(priors) / 2
    return np.concatenate([middle - half, middle + half], -1)


def _unit(code: CodeType, priors: Array) -> Array | float:
    """What corner differences are measured in: 1, or the prior's width, height, width, height."""
    return 1.0 if code == "CORNER" else np.concatenate([sizes(priors), sizes(priors)], -1)


def best_first(scores: Array) -> Array:
    """The indices of scores (K,) from the greatest down; of equal ones the first comes first (the C++ leaves it open).

    NaN comes last.
    """
    return np.argsort(-scores, kind="stable")


def suppress(
    boxes: Array, threshold: float, *, eta: float = 1.0, limit: int | None = None, pixel: float = 0.0
) -> Array:
    """Non-maximum suppression of boxes (K, 4) that come best first: the indices that are kept, in this order.

    A box is kept where it overlaps no box kept before by more than `threshold`; at most `limit` are. With eta < 1 it is
    SSD's adaptive suppression: each time a box is kept, a threshold above 0.5 is multiplied by eta.
    """
    kept: list[int] = []
    worst = np.zeros(len(boxes), boxes.dtype)  # each box's greatest overlap with one that is kept
    for i in range(len(boxes)):
        if len(kept) == limit:
            break
        if worst[i] <= threshold:
            kept.append(i)
            later = worst[i + 1 :]
            np.maximum(later, overlaps(boxes[i], boxes[i + 1 :], pixel), out=later)
            if eta < 1 and threshold > 0.5:
                threshold *= eta
    return np.array(kept, np.int64)
