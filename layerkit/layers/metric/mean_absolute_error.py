"""The size of an error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from layerkit.blob import Array, Shape
from layerkit.layer import Bottoms, LayerParams, Metric, Plan, Scratch
from layerkit.layers.loss.pairs import check_pairs
from layerkit.registry import register


@register
class MeanAbsoluteError(Metric):
    """The mean distance between predicted and true numbers.

        MAE = mean over all numbers of |a - b|

    and 0 of no numbers.

    Bottoms: a (N, ...) and b, as many numbers in N samples. There is no gradient.
    Tops: the mean (scalar), in the bottoms' unit.
    Raises ShapeError where the bottoms do not match.

    Example: {name: mae, type: MeanAbsoluteError, bottom: [predicted, wanted], include: test}

    Source: scikit-learn's mean_absolute_error.
    """

    class Params(LayerParams):
        """MeanAbsoluteError has no parameters."""

    better = "min"
    bottoms = (2, 2)

    def plan(self, *bottoms: Shape) -> Plan:
        check_pairs(*bottoms)
        return self.plan_sums((2,), [()], bottoms, [Scratch("error", bottoms[0], like_blob=True)])

    def count(self, bottom: Bottoms, sums: Array) -> None:
        """The sum of the distances, and how many there are."""
        a, error = bottom[0].data, self.scratch.error
        np.subtract(a, bottom[1].data.reshape(a.shape), out=error)
        sums[...] = np.sum(np.abs(error, out=error), dtype="float64"), a.size

    def values(self, sums: Array) -> Sequence[npt.ArrayLike]:
        total, numbers = sums
        return [total / max(1, numbers)]
