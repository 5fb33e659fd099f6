"""How well segments overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import Field

from layerkit.blob import Array, Shape
from layerkit.layer import Bottoms, LayerParams, Metric, Plan, Scratch
from layerkit.layers.loss.gains import one_class
from layerkit.layers.loss.labels import check_labels, read_labels
from layerkit.layers.metric.answers import best_classes, ratio, tally
from layerkit.registry import register


@register
class MeanIoU(Metric):
    """Intersection over union of the segments that are predicted and labelled.

    For each class, over all places of all images, with the class of the largest score as prediction,

        IoU = both / (predicted + labelled - both)        mean IoU = mean over the classes that occur

    A class that is neither label nor prediction anywhere is left out of the mean; by itself it is 0.

    Bottoms: x (..., C, ...), scores with C classes on `axis`; labels (..., ...), one whole number in 0..C-1 for each
    place, that is for each index of x without `axis`. There is no gradient.
    Tops: the mean (scalar), 0 to 1; optionally the IoU of each class (C,).
    Raises ShapeError where labels and scores do not match, DataError for a label that is no class or a score that is
    NaN.

    Example: {name: iou, type: MeanIoU, bottom: [score, label], ignore_label: 255, include: test}

    Source: Everingham et al. 2010, The PASCAL visual object classes challenge (segmentation accuracy).
    """

    class Params(LayerParams):
        axis: int = Field(1, description="The axis of the classes.")
        ignore_label: int | None = Field(
            None, description="Places with this label do not count, whatever is predicted."
        )

    bottoms = (2, 2)
    tops = (1, 2)

    def plan(self, *bottoms: Shape) -> Plan:
        scores, labels = bottoms
        axis = check_labels(scores, labels, self.params.axis)
        places = one_class(scores, axis)
        return self.plan_sums(
            (3, scores[axis]),
            [(), (scores[axis],)],
            bottoms,
            [Scratch("labels", places, "int64"), Scratch("predicted", places, "int64")],
        )

    def count(self, bottom: Bottoms, sums: Array) -> None:
        """Of each class, how many places have it as label, have it predicted, and have both: (3, C)."""
        x, labels, predicted = bottom[0].data, self.scratch.labels, self.scratch.predicted
        read_labels(bottom[1].data, sums.shape[1], self.params.ignore_label, labels)
        best_classes(x, labels, self.params.axis, predicted)
        tally(labels, predicted, sums)

    def values(self, sums: Array) -> Sequence[npt.ArrayLike]:
        labelled, predicted, both = sums
        union = predicted + labelled - both
        by_class = ratio(both, union)
        return by_class.sum() / max(1, np.count_nonzero(union)), by_class
