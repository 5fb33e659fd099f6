"""What all update rules share: chunks of the flat arrays, clipping, averaging over iter_size, and weight decay."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import ClassVar, NamedTuple

import numpy as np

from layerkit.blob import Array
from layerkit.engines import Engine
from layerkit.spec import SolverSpec
from layerkit.updaters.clipping import clip
from layerkit.weights import WeightStore

CHUNK = 1 << 16
"""Elements that all steps of a rule go over before the next ones are fetched: few enough to stay in a cache."""


class Chunk(NamedTuple):
    """What is updated at a time: a part of the flat arrays, as views, whose weights share their multipliers."""

    data: Array
    diff: Array
    spare: Array
    """Room to work in; all chunks have the same."""
    history: dict[str, Array]
    lr_mult: float
    decay_mult: float


class Updater:
    """What all rules share: clip, average over iter_size, decay; a subclass turns the gradient into an update.

    `history` holds the rule's arrays by name, each as long as the flat arrays and zero at first. They are saved with
    the solver's state, and so is `count`, the updates made with them, for rules whose formula asks for it.

    Source: Caffe's SGDSolver::ApplyUpdate.
    """

    histories: ClassVar[tuple[str, ...]] = ()
    """Names of the arrays in `history`."""
    counts: ClassVar[bool] = False
    """Whether the rule depends on how many updates were made."""
    blends: ClassVar[bool] = False
    """Whether the engine's `blend` does the work, where it has one."""
    coupled: ClassVar[bool] = True
    """Whether weight decay is added to the gradient, and not taken from the weights."""

    def __init__(self, spec: SolverSpec, flat: WeightStore, engine: Engine | None = None):
        self.spec = spec
        self.flat = flat
        self.engine = engine or Engine()
        self.rule = spec.rule
        """The rule's numbers by their fields' names."""
        self.history = {name: np.zeros_like(flat.values) for name in self.histories}
        self.count: Array = np.zeros(1, np.int64)
        self._chunks = list(self._split())
        self._steps = [self.step(chunk) for chunk in self._chunks]

    def _split(self) -> Iterator[Chunk]:
        """The trained weights in chunks; neighbours with equal multipliers may share one."""
        size = CHUNK * (self.engine.blend_factor if self.blends else 1)
        spare = np.empty(min(size, self.flat.values.size), self.flat.values.dtype)
        alike = itertools.groupby(self.flat.trained, key=lambda slot: (slot.lr_mult, slot.decay_mult))
        for multipliers, slots in alike:
            spans = [slot.span for slot in slots]
            end = spans[-1].stop
            for start in range(spans[0].start, end, size):
                part = slice(start, min(start + size, end))
                yield Chunk(
                    self.flat.values[part],
                    self.flat.diff[part],
                    spare[: part.stop - start],
                    {name: whole[part] for name, whole in self.history.items()},
                    *multipliers,
                )

    def arrays(self) -> dict[str, Array]:
        """What is saved in the solver's state, as live views: `history.NAME.layer.weight`, and the count."""
        arrays = {
            f"history.{name}.{slot.key}": whole[slot.span].reshape(slot.shape, copy=False)
            for name, whole in self.history.items()
            for slot in self.flat.trained
        }
        return {**arrays, **({"history.count": self.count} if self.counts else {})}

    def update(self, lr: float) -> None:
        """Change the weights by the gradients in `flat.diff` (a sum over iter_size batches); uses the gradients up."""
        clip(self.spec, [self.flat])
        self.change(lr)

    def change(self, lr: float) -> None:
        """What `update` does with gradients that are clipped already."""
        self.count += 1
        for step in self._steps:
            step(lr)
        self.flat.change()

    def step(self, chunk: Chunk) -> Callable[[float], None]:
        """A function of the learning rate that updates one chunk, made once; the engine may have a quicker one."""
        decay = self.decay(chunk)

        def step(lr: float) -> None:
            rate = lr * chunk.lr_mult
            if self.spec.iter_size > 1:
                np.multiply(chunk.diff, 1 / self.spec.iter_size, out=chunk.diff)
            if decay and self.coupled:
                self._add_penalty(chunk, decay)
            elif decay:
                np.multiply(chunk.data, 1 - rate * decay, out=chunk.data)
            self.apply(chunk, rate)

        return step

    def apply(self, chunk: Chunk, lr: float) -> None:
        """The rule itself, on one chunk: change `data` by the gradient `diff`; may overwrite `diff` and `spare`."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it updates")

    def decay(self, chunk: Chunk) -> float:
        """How strong the weight decay of a chunk is."""
        return self.spec.weight_decay * chunk.decay_mult

    def _add_penalty(self, chunk: Chunk, decay: float) -> None:
        """Add the gradient of the penalty: L2 is decay / 2 times the sum of w^2, L1 decay times the sum of |w|."""
        if self.spec.regularization_type == "L2":
            np.multiply(chunk.data, decay, out=chunk.spare)
        else:
            np.multiply(np.sign(chunk.data, out=chunk.spare), decay, out=chunk.spare)
        np.add(chunk.diff, chunk.spare, out=chunk.diff)


def blend_in(mean: Array, keep: float, new: Array, spare: Array) -> None:
    """An exponential moving average: mean <- keep mean + (1 - keep) new. `spare` may be `new`, which is spent then."""
    np.multiply(mean, keep, out=mean)
    np.add(mean, np.multiply(new, 1 - keep, out=spare), out=mean)
