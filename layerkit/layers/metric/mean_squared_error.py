"""The square of an error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import Field

from layerkit.blob import Array, Shape
from layerkit.layer import Bottoms, LayerParams, Metric, Plan, Scratch
from layerkit.layers.loss.pairs import check_pairs
from layerkit.registry import register


@register
class MeanSquaredError(Metric):
    """The mean squared distance between predicted and true numbers, or its root.

        MSE = mean over all numbers of (a - b)^2        RMSE = square root of MSE

    and 0 of no numbers. The root is taken once, of the mean over everything that was counted.

    Bottoms: a (N, ...) and b, as many numbers in N samples. There is no gradient.
    Tops: the mean (scalar), in the square of the bottoms' unit; with `root` in their unit.
    Raises ShapeError where the bottoms do not match.

    Example: {name: rmse, type: MeanSquaredError, bottom: [predicted, wanted], root: true, include: test}

    Source: scikit-learn's mean_squared_error and root_mean_squared_error.
    """

    class Params(LayerParams):
        root: bool = Field(False, description="Whether the top is the root of the mean.")

    better = "min"
    bottoms = (2, 2)

    def plan(self, *bottoms: Shape) -> Plan:
        check_pairs(*bottoms)
        return self.plan_sums((2,), [()], bottoms, [Scratch("error", bottoms[0], like_blob=True)])

    def count(self, bottom: Bottoms, sums: Array) -> None:
        """The sum of the squared distances, and how many there are."""
        a, error = bottom[0].data, self.scratch.error
        np.subtract(a, bottom[1].data.reshape(a.shape), out=error)
        sums[...] = np.sum(np.square(error, out=error), dtype="float64"), a.size

    def values(self, sums: Array) -> Sequence[npt.ArrayLike]:
        total, numbers = sums
        mean = total / max(1, numbers)
        return [np.sqrt(mean) if self.params.root else mean]
