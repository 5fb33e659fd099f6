"""AMSGrad: Adam with a divisor that never shrinks."""

from __future__ import annotations

import numpy as np

from layerkit.blob import Array
from layerkit.updaters.adam import Adam
from layerkit.updaters.base import Chunk


class AMSGrad(Adam):
    """As Adam, but the divisor is the greatest that there has been, for the t-th update:

        m <- momentum m + (1 - momentum) g
        v <- momentum2 v + (1 - momentum2) g^2
        u <- max(u, v)
        w <- w - lr / (1 - momentum^t) m / (sqrt(u) / sqrt(1 - momentum2^t) + delta)

    Decay is coupled.

    Source: Reddi, Kale and Kumar, On the convergence of Adam and beyond (2018), with Adam's correction for the
    beginning and delta where PyTorch has them.
    """

    histories = ("mean", "square", "greatest")

    def delta(self, unbias: float) -> float:
        """What is added to sqrt(u), which is not divided by `unbias` here but in the step."""
        return self.rule["delta"] * unbias

    def divisor(self, chunk: Chunk, square: Array) -> Array:
        """The greatest v so far, number by number: u."""
        greatest = chunk.history["greatest"]
        return np.maximum(greatest, square, out=greatest)
