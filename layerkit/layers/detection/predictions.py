"""What SSD's layers read: predictions for each prior, the priors, the ground truth, and the parameters they share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import DataError, ShapeError
from layerkit.fields import Strict


class NonMaximumSuppression(Strict):
    """How boxes that overlap are thinned out; Caffe's NonMaximumSuppressionParameter."""

    nms_threshold: float = Field(0.3, ge=0, description="The greatest overlap with a better box that is let be.")
    top_k: int = Field(-1, ge=-1, description="How many of the best boxes take part at all; -1: all of them.")
    eta: float = Field(
        1.0, gt=0, le=1, description="Below 1, what a threshold above 0.5 is multiplied by for every box kept."
    )


def check_predictions(loc: Shape, conf: Shape, priors: Shape, loc_classes: int, classes: int) -> int:
    """The number of priors, P. Raises ShapeError unless the bottoms' shapes fit each other.

    `loc` must be (N, P * loc_classes * 4), `conf` (N, P * classes), each maybe with axes of 1 behind, and `priors`
    (1, 2, P * 4), of which only the first row counts.
    """
    if len(priors) not in (3, 4) or priors[1] != 2 or priors[2] % 4 or priors[3:] not in ((), (1,)):
        raise ShapeError(
            f"bottom 2 must be priors of shape 1x2x(4 times their number), not {shape_text(priors)}", "bottom"
        )
    count = priors[2] // 4
    for i, shape, values in ((0, loc, 4 * loc_classes), (1, conf, classes)):
        if not shape or shape[:1] != loc[:1] or math.prod(shape[1:]) != count * values:
            raise ShapeError(
                f"{count} priors need {values} predictions each in bottom {i}, {count * values} an image and as many "
                f"images as in bottom 0, but its shape is {shape_text(shape)}",
                "bottom",
            )
    return count


def read_priors(data: Array) -> tuple[Array, Array]:
    """Boxes (P, 4) and variances (P, 4) from the first row of priors. Raises DataError for a variance of 0 or less."""
    boxes, variances = data[0].reshape(2, -1, 4)
    if not (variances > 0).all():
        prior, i = (int(index) for index in np.argwhere(~(variances > 0))[0])
        raise DataError(f"variance {i} of prior {prior} is {variances[prior, i]:g}, but must be above 0")
    return boxes, variances


@dataclass(frozen=True)
class Truth:
    """The objects that are in an image, G of them."""

    labels: Array
    """(G,)"""
    boxes: Array
    """(G, 4)"""


def read_ground_truth(rows: Array, images: int, params: Any) -> list[Truth]:
    """The objects of each image, from rows (image, label, instance, xmin, ymin, xmax, ymax, difficult).

    Rows of image -1 are padding. `params` are MultiBoxLoss's. Raises DataError, with the value and its row, for an
    image that is not in the batch, and for a label that is no class or is the background's.
    """
    classes = np.inf if params.map_object_to_agnostic else params.num_classes
    rows = rows.reshape(-1, 8)
    for i, (image, label) in enumerate(rows[:, :2]):
        if image == -1:
            continue
        where = f"row {i} of the ground truth"
        if image not in range(images):
            raise DataError(f"{where} is of image {image:g}, but the batch has images 0..{images - 1}")
        if label == params.background_label_id:
            raise DataError(f"{where} has label {label:g}, which is the background's")
        if not 0 <= label < classes or label % 1:
            raise DataError(f"{where} has label {label:g}, which is no class, 0..{classes - 1}")
    counted = rows if params.use_difficult_gt else rows[rows[:, 7] == 0]
    truths = []
    for image in range(images):
        own = counted[counted[:, 0] == image]
        labels = own[:, 1].astype(np.int64)
        truths.append(
            Truth(np.full_like(labels, params.agnostic_label) if params.map_object_to_agnostic else labels, own[:, 3:7])
        )
    return truths
