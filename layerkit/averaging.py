"""An average of the weights over a run, kept beside them: often better than any of the weights that it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np

from layerkit.blob import Array
from layerkit.spec import AverageSpec
from layerkit.updaters.base import CHUNK
from layerkit.weights import WeightStore

DECAY = 0.999


class Average:
    """An average of a net's trained weights, one flat array; training never reads it.

    After the updates `start`, `start + every`, ... the weights w are taken in:

        ema    average <- decay average + (1 - decay) w, the first time average <- w
        swa    the mean of all w that were taken in

    Tests run, and snapshots are written, inside `in_place`: the net then has the averaged weights, once there are any.
    So a snapshot's weights are what anyone who loads it wants to use, and the trained ones, which only going on with
    the run needs, stand in the solver's state beside it.

    Only trained weights are averaged. Statistics that layers keep (BatchNorm's) are used as training left them last:
    they were gathered under the trained weights, not under the average, to which those of ema stay near. With swa over
    weights far apart they may not fit; then nets without such layers, or a late `start`, are safer.

    Source: Polyak and Juditsky, Acceleration of stochastic approximation by averaging (1992); Izmailov et al.,
    Averaging weights leads to wider optima (2018); statistics as in PyTorch's AveragedModel.
    """

    def __init__(self, spec: AverageSpec, flat: WeightStore):
        self.spec = spec
        self._flat = flat
        self.values: Array = flat.values.copy()
        """The average, in the order of the flat array; of no meaning while `count` is 0."""
        self.count: Array = np.zeros(1, np.int64)
        """How often weights were taken in."""
        size = self.values.size
        self._spare = np.empty(min(CHUNK, size), self.values.dtype)
        self._parts = [slice(start, min(start + CHUNK, size)) for start in range(0, size, CHUNK)]

    def take(self, updates: int) -> None:
        """Take the weights in if it is their turn after `updates` updates."""
        past = updates - self.spec.start
        if past < 0 or past % self.spec.every:
            return
        self.count += 1
        share = 1 / int(self.count[0])
        if self.spec.type == "ema" and share < 1:
            share = 1 - (DECAY if self.spec.decay is None else self.spec.decay)
        for part in self._parts:
            average, weights = self.values[part], self._flat.values[part]
            if share == 1:
                np.copyto(average, weights)
                continue
            step = np.subtract(weights, average, out=self._spare[: average.size])
            np.add(average, np.multiply(step, share, out=step), out=average)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """While inside, the net has the averaged weights in place of the trained ones, if there are any yet."""
        if not self.count[0]:
            yield
            return
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        """Let the averaged and the trained weights change places."""
        for part in self._parts:
            average, weights = self.values[part], self._flat.values[part]
            spare = self._spare[: average.size]
            np.copyto(spare, average)
            np.copyto(average, weights)
            np.copyto(weights, spare)
        self._flat.change()

    def arrays(self) -> dict[str, Array]:
        """What is saved in the solver's state, as live views: the count. The average itself is in the snapshot."""
        return {"average.count": self.count}

    def adopt(self) -> None:
        """Take the weights that a snapshot put into the net for the average."""
        np.copyto(self.values, self._flat.values)


def in_place(average: Average | None) -> AbstractContextManager[None]:
    """While inside, the nets have the weights that tests and snapshots use: averaged ones, if there are any."""
    return nullcontext() if average is None else average.in_place()
