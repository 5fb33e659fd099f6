"""RMSProp: steps measured by the mean size of the last gradients."""

from __future__ import annotations

import numpy as np

from layerkit.updaters.base import Chunk, Updater, blend_in


class RMSProp(Updater):
    """Each weight's step is divided by the root of the moving mean of its squared gradients.

        s <- rms_decay s + (1 - rms_decay) g^2
        w <- w - lr g / (sqrt(s) + delta)

    Decay is coupled; there is no momentum.

    Source: Caffe's RMSPropSolver; Tieleman and Hinton's lecture 6.5 (2012).
    """

    histories = ("square",)

    def apply(self, chunk: Chunk, lr: float) -> None:
        """One step of the rule."""
        square, spare = chunk.history["square"], chunk.spare
        blend_in(square, self.rule["rms_decay"], np.square(chunk.diff, out=spare), spare)
        np.add(np.sqrt(square, out=spare), self.rule["delta"], out=spare)
        np.divide(chunk.diff, spare, out=spare)
        np.subtract(chunk.data, np.multiply(spare, lr, out=spare), out=chunk.data)
