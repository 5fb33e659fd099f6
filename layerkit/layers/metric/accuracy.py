"""The fraction of right answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import Field

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, LayerParams, Metric, Plan, Scratch
from layerkit.layers.loss.gains import one_class
from layerkit.layers.loss.labels import check_labels, read_labels
from layerkit.registry import register
from layerkit.words import counted


@register
class Accuracy(Metric):
    """The fraction of places whose label k is among the `top_k` best classes.

        right = [number of other classes c with score x[c] >= x[k]] < top_k        accuracy = mean of right

    so a tie counts against the label, and so does a score that is NaN. Where every place is ignored it is 0.

    Bottoms: x (..., C, ...), scores with C classes on `axis`; labels (..., ...), one whole number in 0..C-1 for each
    place, that is for each index of x without `axis`. There is no gradient.
    Tops: the accuracy (scalar), 0 to 1; optionally the accuracy of each class (C,), 0 for a class that does not occur.
    Raises ShapeError where labels and scores do not match or top_k exceeds C, DataError for a label that is no class.

    Example: {name: accuracy, type: Accuracy, bottom: [fc8, label], top_k: 5, include: test}

    Source: Caffe's accuracy_layer.cpp.
    """

    class Params(LayerParams):
        top_k: int = Field(1, gt=0, description="How many of the best classes count as an answer.")
        axis: int = Field(1, description="The axis of the classes.")
        ignore_label: int | None = Field(None, description="Places with this label do not count.")

    bottoms = (2, 2)
    tops = (1, 2)

    def plan(self, *bottoms: Shape) -> Plan:
        scores, labels = bottoms
        axis = check_labels(scores, labels, self.params.axis)
        if self.params.top_k > scores[axis]:
            classes = counted(scores[axis], "class", "classes")
            raise ShapeError(f"top_k {self.params.top_k} is more than the {classes} of {shape_text(scores)}", "top_k")
        places = one_class(scores, axis)
        return self.plan_sums(
            (2, scores[axis]),
            [(), (scores[axis],)],
            bottoms,
            [Scratch("labels", places, "int64"), Scratch("worse", scores, "bool", like_blob=True)],
        )

    def count(self, bottom: Bottoms, sums: Array) -> None:
        """Of each class, how many places it has and how many of these are right: (2, C)."""
        x, labels, axis = bottom[0].data, self.scratch.labels, self.params.axis
        classes = x.shape[axis]
        read_labels(bottom[1].data, classes, self.params.ignore_label, labels)

        of_label = np.take_along_axis(x, np.maximum(labels, 0), axis)  # (..., 1, ...)
        worse = np.less(x, of_label, out=self.scratch.worse)  # (..., C, ...)
        others = classes - 1 - np.count_nonzero(worse, axis=axis, keepdims=True)  # as good or better, not the label
        valid = labels >= 0
        sums[0] = np.bincount(labels[valid], minlength=classes)
        sums[1] = np.bincount(labels[valid & (others < self.params.top_k)], minlength=classes)

    def values(self, sums: Array) -> Sequence[npt.ArrayLike]:
        seen, right = sums
        return right.sum() / max(1, seen.sum()), right / np.maximum(1, seen)
