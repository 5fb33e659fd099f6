"""Which prior is to find which object: SSD's matching. Source: Liu et al., SSD (2016), section 2.2; MatchBBox."""

from __future__ import annotations

from typing import Literal

import numpy as np

from layerkit.blob import Array
from layerkit.layers.detection.boxes import outside, overlaps

MatchType = Literal["BIPARTITE", "PER_PREDICTION"]

UNMATCHED = -1  # no object: an example of the background
IGNORED = -2  # neither an object nor an example of the background

TOUCH = 1e-6  # a smaller overlap is none


def match(boxes: Array, objects: Array, kind: MatchType, threshold: float, ignore_outside: bool) -> tuple[Array, Array]:
    """For each of `boxes` (P, 4) the number of its object among `objects` (G, 4), and its greatest overlap with one.

    BIPARTITE: each object gets one box. PER_PREDICTION: then each box that is left gets the object it overlaps most, if
    by `threshold` or more. The number is UNMATCHED for a box without an object, and IGNORED, with `ignore_outside`, for
    one that reaches out of the image.
    """
    matches = np.full(len(boxes), UNMATCHED)
    if not len(objects):
        return matches, np.zeros(len(boxes), boxes.dtype)
    shared = overlaps(boxes[:, None], objects)  # (P, G)
    shared = np.where(shared > TOUCH, shared, 0)
    if ignore_outside:
        ignored = outside(boxes).any(-1)
        matches[ignored] = IGNORED
        shared[ignored] = 0
    _bipartite(shared, matches)
    greatest = shared.max(1)
    if kind == "PER_PREDICTION":
        more = (matches == UNMATCHED) & (greatest > 0) & (greatest >= threshold)
        matches[more] = shared.argmax(1)[more]
    return matches, greatest


def _bipartite(shared: Array, matches: Array) -> None:
    """Match the pair that overlaps most, then of the boxes and objects left again, until none overlap.

    Of equal overlaps the first box wins, and for it the first object.
    """
    left = shared.copy()
    while left.max() > 0:
        box, thing = np.unravel_index(left.argmax(), left.shape)
        matches[box] = thing
        left[box], left[:, thing] = 0, 0


def spread(matches: Array, labels: Array, classes: int) -> Array:
    """Matches (P,) by the classes (C, P) whose box is to find the object: each stands at its object's label only."""
    own = np.full((classes, len(matches)), UNMATCHED)
    (matched,) = np.nonzero(matches > UNMATCHED)
    own[labels[matches[matched]], matched] = matches[matched]
    return own
