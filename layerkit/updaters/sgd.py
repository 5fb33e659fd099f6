"""SGD: stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from layerkit.updaters.base import Chunk, Updater


class SGD(Updater):
    """Stochastic gradient descent with momentum; decay is coupled.

        v <- momentum v + lr g
        w <- w - v

    Source: Caffe's SGDSolver.
    """

    histories = ("momentum",)
    blends = True

    def apply(self, chunk: Chunk, lr: float) -> None:
        """One step of the rule."""
        velocity = chunk.history["momentum"]
        np.multiply(velocity, self.rule["momentum"], out=velocity)
        np.add(velocity, np.multiply(chunk.diff, lr, out=chunk.diff), out=velocity)
        np.subtract(chunk.data, velocity, out=chunk.data)

    def step(self, chunk: Chunk) -> Callable[[float], None]:
        """As the base's; with L2 decay it is v <- momentum v + lr g + (lr decay) w, and w <- w - v, for the engine."""
        velocity, weights, decay = chunk.history["momentum"], chunk.data, self.decay(chunk)
        accelerate = self.engine.blend(velocity, self.rule["momentum"], chunk.diff, weights)
        move = self.engine.blend(weights, 0.0, weights, velocity)
        if accelerate is None or move is None or (decay and self.spec.regularization_type != "L2"):
            return super().step(chunk)

        def step(lr: float) -> None:
            rate = lr * chunk.lr_mult
            accelerate(rate / self.spec.iter_size, rate * decay)
            move(1.0, -1.0)

        return step
