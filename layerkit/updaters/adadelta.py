"""AdaDelta: steps in the units of the weights, by the mean sizes of gradients and of steps."""

from __future__ import annotations

import numpy as np

from layerkit.updaters.base import Chunk, Updater, blend_in


class AdaDelta(Updater):
    """Each weight's step is its gradient times the ratio of the mean step to the mean gradient, with base_lr on top.

        s <- momentum s + (1 - momentum) g^2
        d <- g sqrt((t + delta) / (s + delta))
        t <- momentum t + (1 - momentum) d^2
        w <- w - lr d

    Decay is coupled.

    Source: Caffe's AdaDeltaSolver; Zeiler, ADADELTA (2012), which has no learning rate.
    """

    histories = ("square", "square_step")

    def apply(self, chunk: Chunk, lr: float) -> None:
        """One step of the rule."""
        square, square_step = chunk.history["square"], chunk.history["square_step"]
        keep, delta, step, spare = self.rule["momentum"], self.rule["delta"], chunk.diff, chunk.spare
        blend_in(square, keep, np.square(chunk.diff, out=spare), spare)
        np.multiply(step, np.sqrt(np.add(square_step, delta, out=spare), out=spare), out=step)
        np.divide(step, np.sqrt(np.add(square, delta, out=spare), out=spare), out=step)
        blend_in(square_step, keep, np.square(step, out=spare), spare)
        np.subtract(chunk.data, np.multiply(step, lr, out=step), out=chunk.data)
