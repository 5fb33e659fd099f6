"""What the solver displays: the mean loss, how fast samples are read, norms, and the outputs of the last batch."""

from __future__ import annotations

from collections import deque
from typing import Any

from layerkit.evaluation import batch_size, scalars
from layerkit.magnitudes import l2_norm
from layerkit.net import Net
from layerkit.spec import SolverSpec


class Displays:
    """Keeps account of a net's training between displays."""

    def __init__(self, net: Net, spec: SolverSpec):
        self._net, self._iter_size = net, spec.iter_size
        self.losses: deque[float] = deque(maxlen=spec.average_loss)
        """Of the last average_loss iterations."""
        self._samples = 0
        self._seconds = 0.0
        """Spent on updates since the last display, in which `_samples` were read."""

    def count_batch(self) -> None:
        """Count the samples of the batch that the net has seen."""
        self._samples += batch_size(self._net)

    def spend(self, seconds: float) -> None:
        """Count time that an update took."""
        self._seconds += seconds

    def record(self, lr: float) -> dict[str, Any]:
        """The fields of a display at a learning rate; the next one counts samples and seconds from here."""
        speed = round(self._samples / max(self._seconds, 1e-9), 1)
        self._samples, self._seconds = 0, 0.0
        return {
            "loss": sum(self.losses) / len(self.losses),
            "lr": lr,
            "samples_per_s": speed,
            "grad_norm": l2_norm(self._net.flat.diff) / self._iter_size,
            "weight_norm": l2_norm(self._net.flat.values),
            "outputs": {name: float(value) for name, value in scalars(self._net)},
        }
