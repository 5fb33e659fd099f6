"""Adam: moving means of the gradient and of its square."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from layerkit.blob import Array
from layerkit.updaters.base import Chunk, Updater, blend_in


class Adam(Updater):
    """Adaptive moments, for the t-th update:

        m <- momentum m + (1 - momentum) g
        v <- momentum2 v + (1 - momentum2) g^2
        w <- w - lr sqrt(1 - momentum2^t) / (1 - momentum^t) m / (sqrt(v) + delta)

    Decay is coupled. `t` counts the updates that m and v have seen.

    Source: Caffe's AdamSolver; Kingma and Ba, Adam (2015), whose hat epsilon at the end of section 2 is delta.
    """

    histories: ClassVar[tuple[str, ...]] = ("mean", "square")
    counts = True

    def apply(self, chunk: Chunk, lr: float) -> None:
        """One step of the rule."""
        mean, square, spare = chunk.history["mean"], chunk.history["square"], chunk.spare
        t, beta1, beta2 = int(self.count[0]), self.rule["momentum"], self.rule["momentum2"]
        blend_in(square, beta2, np.square(chunk.diff, out=spare), spare)
        blend_in(mean, beta1, chunk.diff, chunk.diff)
        unbias = math.sqrt(1 - beta2**t)
        np.add(np.sqrt(self.divisor(chunk, square), out=spare), self.delta(unbias), out=spare)
        step = np.divide(mean, spare, out=spare)
        np.multiply(step, lr * unbias / (1 - beta1**t), out=step)
        np.subtract(chunk.data, step, out=chunk.data)

    def delta(self, unbias: float) -> float:
        """What is added to sqrt(v)."""
        return self.rule["delta"]

    def divisor(self, chunk: Chunk, square: Array) -> Array:
        """The mean square whose root divides the step: v."""
        return square
