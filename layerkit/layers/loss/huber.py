"""The squared distance for small errors, the absolute distance for large ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from layerkit.blob import Shape
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops
from layerkit.layers.loss.pairs import check_pairs
from layerkit.registry import register
from layerkit.tangents import scalar


@register
class Huber(Layer):
    """Half the squared error, but linear from `delta` on: regression with outliers.

    With e = a - b, and c = e kept within -delta..delta:

        loss = sum of c (e - c / 2) / D        d loss / d a = c / D = - d loss / d b

    which is e^2 / 2 for |e| <= delta and delta (|e| - delta / 2) beyond. D is what `normalization` says.

    Bottoms: a (N, ...) and b, as many numbers in N samples. Both can have gradients.
    Tops: the loss (scalar), in the square of the bottoms' unit.
    Raises ShapeError where the bottoms do not match.

    Example: {name: loss, type: Huber, bottom: [fc, target], delta: 0.5}

    Source: Huber 1964, Robust estimation of a location parameter; PyTorch's HuberLoss.
    """

    class Params(LayerParams):
        delta: float = Field(1.0, gt=0, description="Error at which the loss turns from squared to linear.")
        normalization: Literal["FULL", "BATCH_SIZE", "NONE"] = Field(
            "FULL",
            description="What the sum is divided by. FULL: all numbers, as in PyTorch and Keras. "
            "BATCH_SIZE: the samples, N. NONE: 1.",
        )

    bottoms = (2, 2)
    loss = True

    def plan(self, *bottoms: Shape) -> Plan:
        check_pairs(*bottoms)
        a = bottoms[0]
        return Plan(
            tops=[()],
            scratch=[Scratch("error", a, like_blob=True), Scratch("clipped", a, keep=True, like_blob=True)],
            reads_bottoms=(),
            reads_tops=(),
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        a, error, clipped, delta = bottom[0].data, self.scratch.error, self.scratch.clipped, self.params.delta
        np.subtract(a, bottom[1].data.reshape(a.shape), out=error)  # (N, ...)
        np.clip(error, -delta, delta, out=clipped)
        total = np.vdot(clipped, error) - np.vdot(clipped, clipped) / 2
        top[0].data[...] = total / self._divisor(a.shape)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        clipped = self.scratch.clipped
        scale = top[0].diff / self._divisor(clipped.shape)
        for blob, sign, wanted in zip(bottom, (1, -1), propagate_down, strict=True):
            if wanted:
                np.multiply(clipped.reshape(blob.shape), sign * scale, out=blob.diff)

    jvp = scalar

    def _divisor(self, shape: Shape) -> int:
        numbers = {"FULL": math.prod(shape), "BATCH_SIZE": shape[0], "NONE": 1}
        return numbers[self.params.normalization] or 1
