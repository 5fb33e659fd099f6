"""Which priors count in SSD's loss: there are far more without an object than with one. Source: MineHardExamples."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from layerkit.blob import Array
from layerkit.layers.detection.boxes import areas, best_first, suppress
from layerkit.layers.detection.matching import UNMATCHED
from layerkit.layers.detection.predictions import NonMaximumSuppression

MiningType = Literal["NONE", "MAX_NEGATIVE", "HARD_EXAMPLE"]

SMALL = 1e-5  # boxes of less area are never chosen where there is suppression


def mine(params: Any, matches: Array, overlap: Array, losses: Array, boxes: Array) -> Array:
    """Which priors of an image are examples of the background, (P,); also takes what is not chosen out of `matches`.

    matches, overlap (P,): as `match` gives them; losses (P,): of each prior, as it is matched; boxes (P, 4): what
    nms_param is for; params: MultiBoxLoss's.
    MAX_NEGATIVE: of the priors without an object, that overlap none by `neg_overlap` or more, those of the greatest
    loss, `neg_pos_ratio` times as many as there are with an object. HARD_EXAMPLE: of all priors, the `sample_size` of
    the greatest loss; the others' matches are undone. Ignored priors can be among them, but are no examples.
    """
    if params.mining_type == "MAX_NEGATIVE":
        (able,) = np.nonzero((matches == UNMATCHED) & (overlap < params.neg_overlap))
        matched = int(np.count_nonzero(matches > UNMATCHED))
        most = int(np.float32(params.neg_pos_ratio) * np.float32(matched))  # cut off in single precision, as in SSD
    else:
        able, most = np.arange(len(matches)), params.sample_size
    order = able[best_first(losses[able])]
    if params.nms_param is not None and params.nms_param.nms_threshold > 0:
        order = _thinned(params.nms_param, order, boxes)
    chosen = np.zeros(len(matches), bool)
    chosen[order[:most]] = True

    background: Array = chosen & (matches == UNMATCHED)
    if params.mining_type == "HARD_EXAMPLE":
        matches[~chosen & (matches > UNMATCHED)] = UNMATCHED
    return background


def _thinned(nms: NonMaximumSuppression, order: Array, boxes: Array) -> Array:
    """Of priors in order of their losses, those that are left after suppression (which here knows no eta)."""
    # An unset top_k is 0 in SSD at this place, so that nothing would be chosen; here, as elsewhere, it means all.
    order = order if nms.top_k < 0 else order[: nms.top_k]
    order = order[areas(boxes[order]) >= SMALL]
    return order[suppress(boxes[order], nms.nms_threshold)]
