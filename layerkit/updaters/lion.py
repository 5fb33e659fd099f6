"""Lion: steps of one size, in the direction of a sign."""

from __future__ import annotations

import numpy as np

from layerkit.updaters.base import Chunk, Updater, blend_in


class Lion(Updater):
    """Evolved sign momentum: only the sign of the moving mean counts.

        w <- w - lr decay w
        w <- w - lr sign(momentum m + (1 - momentum) g)
        m <- momentum2 m + (1 - momentum2) g

    Decay is decoupled. Steps are as long as lr, so that it wants a rate about 3 to 10 times lower than AdamW's, and as
    many times more decay.

    Source: Chen et al., Symbolic discovery of optimization algorithms (2023), algorithm 2.
    """

    histories = ("mean",)
    coupled = False

    def apply(self, chunk: Chunk, lr: float) -> None:
        """One step of the rule."""
        mean, gradient, step = chunk.history["mean"], chunk.diff, chunk.spare
        np.multiply(np.subtract(mean, gradient, out=step), self.rule["momentum"], out=step)
        np.add(step, gradient, out=step)
        blend_in(mean, self.rule["momentum2"], gradient, gradient)
        # x / |x| is the sign of x, 0 of 0, and nan of what is not finite; np.sign takes far longer
        size = np.maximum(np.abs(step, out=gradient), np.finfo(step.dtype).tiny, out=gradient)
        np.divide(step, size, out=step)
        np.subtract(chunk.data, np.multiply(step, lr, out=step), out=chunk.data)
