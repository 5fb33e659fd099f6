"""Nesterov: the gradient's step on top of one that momentum has already made."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from layerkit.updaters.base import Chunk, Updater


class Nesterov(Updater):
    """Nesterov's accelerated gradient; decay is coupled.

        v <- momentum v_old + lr g
        w <- w - ((1 + momentum) v - momentum v_old)

    Here the second line is written w <- w - (momentum v + lr g), which is the same and needs no v_old.

    Source: Caffe's NesterovSolver; Sutskever et al., On the importance of initialization and momentum (2013).
    """

    histories = ("momentum",)
    blends = True

    def apply(self, chunk: Chunk, lr: float) -> None:
        """One step of the rule."""
        velocity, momentum = chunk.history["momentum"], self.rule["momentum"]
        np.multiply(chunk.diff, lr, out=chunk.diff)
        np.multiply(velocity, momentum, out=velocity)
        np.add(velocity, chunk.diff, out=velocity)
        np.subtract(chunk.data, chunk.diff, out=chunk.data)
        np.subtract(chunk.data, np.multiply(velocity, momentum, out=chunk.spare), out=chunk.data)

    def step(self, chunk: Chunk) -> Callable[[float], None]:
        """As the base's; with L2 decay g <- g / iter_size + decay w comes first, and all three are for the engine."""
        velocity, weights, gradient = chunk.history["momentum"], chunk.data, chunk.diff
        momentum, decay, size = self.rule["momentum"], self.decay(chunk), self.spec.iter_size
        regularise = self.engine.blend(gradient, 0.0, gradient, weights)
        accelerate = self.engine.blend(velocity, momentum, gradient, gradient)
        move = self.engine.blend(weights, 1.0, velocity, gradient)
        if regularise is None or accelerate is None or move is None:
            return super().step(chunk)
        if decay and self.spec.regularization_type != "L2":
            return super().step(chunk)

        def step(lr: float) -> None:
            rate = lr * chunk.lr_mult
            if decay:
                regularise(1 / size, decay)
            else:
                rate /= size
            accelerate(rate, 0.0)
            move(-momentum, -rate)

        return step
