"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import Field

from layerkit.blob import Array, Shape
from layerkit.layer import Bottoms, LayerParams, Metric, Plan, Scratch
from layerkit.layers.loss.gains import one_class
from layerkit.layers.loss.labels import check_labels, read_labels
from layerkit.layers.metric.answers import best_classes, ratio
from layerkit.registry import register


@register
class ConfusionMatrix(Metric):
    """Counts how often each class is taken for each other one.

        top[k, c] = number of places with label k where class c has the largest score, the first of equal ones

    With `normalize` each row is divided by its sum: the fraction of places with label k that are taken for c; the row
    of a class that does not occur is 0.

    Bottoms: x (..., C, ...), scores with C classes on `axis`; labels (..., ...), one whole number in 0..C-1 for each
    place, that is for each index of x without `axis`. There is no gradient.
    Tops: the matrix (C, C), a row for each label, a column for each answer.
    Raises ShapeError where labels and scores do not match, DataError for a label that is no class or a score that is
    NaN.

    Example: {name: confusion, type: ConfusionMatrix, bottom: [fc8, label], include: test}

    Source: scikit-learn's confusion_matrix.
    """

    class Params(LayerParams):
        axis: int = Field(1, description="The axis of the classes.")
        ignore_label: int | None = Field(None, description="Places with this label do not count.")
        normalize: bool = Field(False, description="Whether each row holds fractions that sum to 1, and not counts.")

    bottoms = (2, 2)

    def plan(self, *bottoms: Shape) -> Plan:
        scores, labels = bottoms
        axis = check_labels(scores, labels, self.params.axis)
        places = one_class(scores, axis)
        square = (scores[axis], scores[axis])
        return self.plan_sums(
            square, [square], bottoms, [Scratch("labels", places, "int64"), Scratch("predicted", places, "int64")]
        )

    def count(self, bottom: Bottoms, sums: Array) -> None:
        """The matrix of counts, (C, C)."""
        x, labels, predicted = bottom[0].data, self.scratch.labels, self.scratch.predicted
        read_labels(bottom[1].data, len(sums), self.params.ignore_label, labels)
        best_classes(x, labels, self.params.axis, predicted)
        valid = labels >= 0
        cells = labels[valid] * len(sums) + predicted[valid]
        sums[...] = np.bincount(cells, minlength=sums.size).reshape(sums.shape)

    def values(self, sums: Array) -> Sequence[npt.ArrayLike]:
        return [ratio(sums, np.broadcast_to(sums.sum(1, keepdims=True), sums.shape)) if self.params.normalize else sums]
