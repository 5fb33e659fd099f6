"""How much of what is found is right, and how much of what there is is found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from layerkit.blob import Array, Shape
from layerkit.layer import Bottoms, LayerParams, Metric, Plan, Scratch, canonical_axis
from layerkit.layers.loss.gains import one_class
from layerkit.layers.loss.labels import check_labels, read_labels
from layerkit.layers.loss.pairs import check_pairs
from layerkit.layers.metric.answers import best_classes, ratio, refuse_nan, tally
from layerkit.registry import register


@register
class PrecisionRecall(Metric):
    """Precision, recall and F1: by class, or averaged over the classes.

    With, for each class, how many places have it as label, have it predicted, and have both,

        precision = both / predicted        recall = both / labelled        F1 = 2 both / (predicted + labelled)

    each 0 where it would be 0 / 0. `average` says how classes become one number: MACRO is the mean over the classes
    that occur as a label or as a prediction, MICRO takes the sums over all classes first, NONE leaves one a class.

    The prediction is the class with the largest score, the first of equal ones. With `threshold` there are independent
    yes-or-no answers instead, as behind a Sigmoid: yes where a score is greater; bottom 1 then holds 0 or 1 for each.

    Bottoms: x (..., C, ...), scores with C classes on `axis`; labels (..., ...), one whole number in 0..C-1 for each
    place, that is for each index of x without `axis`; with `threshold` as many as x, each 0 or 1. There is no gradient.
    Tops: the precision, 0 to 1 (scalar, or (C,) for NONE); optionally the recall; optionally F1.
    Raises ShapeError where labels and scores do not match, DataError for a label that is no class or a score that is
    NaN.

    Example: {name: pr, type: PrecisionRecall, bottom: [fc8, label], top: [precision, recall, f1], include: test}

    Source: scikit-learn's precision_recall_fscore_support.
    """

    class Params(LayerParams):
        average: Literal["MACRO", "MICRO", "NONE"] = Field(
            "MACRO",
            description="MACRO: the mean over classes that occur. MICRO: of all classes' sums. NONE: a value a class.",
        )
        axis: int = Field(1, description="The axis of the classes.")
        ignore_label: int | None = Field(None, description="Places with this label do not count.")
        threshold: float | None = Field(
            None, description="Score above which an independent answer is yes: 0.5 behind a Sigmoid, 0 before it."
        )

    bottoms = (2, 2)
    tops = (1, 3)

    def plan(self, *bottoms: Shape) -> Plan:
        scores, labels = bottoms
        if self.params.threshold is None:
            axis = check_labels(scores, labels, self.params.axis)
            places = one_class(scores, axis)
            predicted = Scratch("predicted", places, "int64")
        else:
            axis = canonical_axis(self.params.axis, scores)
            check_pairs(scores, labels)
            places = scores
            predicted = Scratch("predicted", places, "bool", like_blob=True)
        top = (scores[axis],) if self.params.average == "NONE" else ()
        return self.plan_sums((3, scores[axis]), [top] * 3, bottoms, [Scratch("labels", places, "int64"), predicted])

    def count(self, bottom: Bottoms, sums: Array) -> None:
        """Of each class, how many places have it as label, have it predicted, and have both: (3, C)."""
        x, labels, predicted, axis = bottom[0].data, self.scratch.labels, self.scratch.predicted, self.params.axis
        if self.params.threshold is None:
            read_labels(bottom[1].data, sums.shape[1], self.params.ignore_label, labels)
            best_classes(x, labels, axis, predicted)
            tally(labels, predicted, sums)
            return
        read_labels(bottom[1].data, 2, self.params.ignore_label, labels)
        refuse_nan(x, labels)
        np.greater(x, self.params.threshold, out=predicted)
        others = tuple(i for i in range(x.ndim) if i != axis % x.ndim)
        sums[0] = np.count_nonzero(labels == 1, axis=others)
        sums[1] = np.count_nonzero(predicted & (labels >= 0), axis=others)
        sums[2] = np.count_nonzero(predicted & (labels == 1), axis=others)

    def values(self, sums: Array) -> Sequence[npt.ArrayLike]:
        if self.params.average == "MICRO":
            sums = sums.sum(1)
        labelled, predicted, both = sums
        by_class = [ratio(both, predicted), ratio(both, labelled), ratio(2 * both, predicted + labelled)]
        if self.params.average == "MACRO":
            occurring = max(1, np.count_nonzero(labelled + predicted))
            return [values.sum() / occurring for values in by_class]  # those that do not occur are 0
        return by_class
