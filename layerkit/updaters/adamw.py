"""AdamW: Adam with decoupled weight decay."""

from __future__ import annotations

from layerkit.updaters.adam import Adam


class AdamW(Adam):
    """As Adam, but weights decay by themselves and the gradient's averages see nothing of it, for the t-th update:

        w <- w - lr decay w
        m <- momentum m + (1 - momentum) g
        v <- momentum2 v + (1 - momentum2) g^2
        w <- w - lr / (1 - momentum^t) m / (sqrt(v) / sqrt(1 - momentum2^t) + delta)

    Decay is decoupled; it is multiplied by the learning rate of the iteration, as in PyTorch.

    Source: Loshchilov and Hutter, Decoupled weight decay regularization (2019).
    """

    coupled = False

    def delta(self, unbias: float) -> float:
        """What is added to sqrt(v), which is not divided by `unbias` here but in the step."""
        return self.rule["delta"] * unbias
