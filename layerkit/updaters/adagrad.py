"""AdaGrad: steps that shorten where gradients were great before."""

from __future__ import annotations

import numpy as np

from layerkit.updaters.base import Chunk, Updater


class AdaGrad(Updater):
    """Adaptive gradient: each weight's step is divided by the root of the sum of its squared gradients.

        s <- s + g^2
        w <- w - lr g / (sqrt(s) + delta)

    Decay is coupled; there is no momentum.

    Source: Caffe's AdaGradSolver; Duchi, Hazan and Singer, Adaptive subgradient methods (2011).
    """

    histories = ("square",)

    def apply(self, chunk: Chunk, lr: float) -> None:
        """One step of the rule."""
        square, spare = chunk.history["square"], chunk.spare
        np.add(square, np.square(chunk.diff, out=spare), out=square)
        np.add(np.sqrt(square, out=spare), self.rule["delta"], out=spare)
        np.divide(chunk.diff, spare, out=spare)
        np.subtract(chunk.data, np.multiply(spare, lr, out=spare), out=chunk.data)
