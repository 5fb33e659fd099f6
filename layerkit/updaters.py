"""Update rules: from gradients to new weights, chunk by chunk over the flat arrays. Formulas are Caffe's."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import ClassVar, NamedTuple

import numpy as np

from layerkit.blob import Array
from layerkit.engines import Engine
from layerkit.spec import SolverSpec
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
    """What all rules share: clip, average over iter_size, regularise; a subclass turns the gradient into an update.

    `history` holds the rule's arrays by name, each as long as the flat arrays and zero at first; they are saved with
    the solver's state.

    Source: Caffe's SGDSolver::ApplyUpdate.
    """

    histories: ClassVar[tuple[str, ...]] = ()
    """Names of the arrays in `history`."""

    def __init__(self, spec: SolverSpec, flat: WeightStore, engine: Engine | None = None):
        self.spec = spec
        self.flat = flat
        self.engine = engine or Engine()
        self.history = {name: np.zeros_like(flat.values) for name in self.histories}
        self._chunks = list(self._split())
        self._steps = [self.step(chunk) for chunk in self._chunks]

    def _split(self) -> Iterator[Chunk]:
        """The trained weights in chunks; neighbours with equal multipliers may share one."""
        spare = np.empty(min(CHUNK, self.flat.values.size), self.flat.values.dtype)
        alike = itertools.groupby(self.flat.trained, key=lambda slot: (slot.lr_mult, slot.decay_mult))
        for multipliers, slots in alike:
            spans = [slot.span for slot in slots]
            end = spans[-1].stop
            for start in range(spans[0].start, end, CHUNK):
                part = slice(start, min(start + CHUNK, end))
                yield Chunk(
                    self.flat.values[part],
                    self.flat.diff[part],
                    spare[: part.stop - start],
                    {name: whole[part] for name, whole in self.history.items()},
                    *multipliers,
                )

    def update(self, lr: float) -> None:
        """Change the weights by the gradients in `flat.diff` (a sum over iter_size batches); uses the gradients up."""
        self._clip()
        for step in self._steps:
            step(lr)
        self.flat.change()

    def step(self, chunk: Chunk) -> Callable[[float], None]:
        """A function of the learning rate that updates one chunk, made once; the engine may have a quicker one."""

        def step(lr: float) -> None:
            if self.spec.iter_size > 1:
                np.multiply(chunk.diff, 1 / self.spec.iter_size, out=chunk.diff)
            self._regularise(chunk)
            self.apply(chunk, lr * chunk.lr_mult)

        return step

    def apply(self, chunk: Chunk, lr: float) -> None:
        """The rule itself, on one chunk: change `data` by the gradient `diff`; may overwrite `diff` and `spare`."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it updates")

    def _clip(self) -> None:
        """Scale all gradients so that their joint L2 norm is at most clip_gradients (before averaging, as in Caffe)."""
        limit = self.spec.clip_gradients
        if limit is None:
            return
        norm = math.sqrt(float(np.dot(self.flat.diff, self.flat.diff)))
        if norm > limit:
            np.multiply(self.flat.diff, limit / norm, out=self.flat.diff)

    def _regularise(self, chunk: Chunk) -> None:
        """Add the gradient of the penalty: L2 is decay / 2 times the sum of w^2, L1 decay times the sum of |w|."""
        decay = self.spec.weight_decay * chunk.decay_mult
        if not decay:
            return
        if self.spec.regularization_type == "L2":
            np.multiply(chunk.data, decay, out=chunk.spare)
        else:
            np.multiply(np.sign(chunk.data, out=chunk.spare), decay, out=chunk.spare)
        np.add(chunk.diff, chunk.spare, out=chunk.diff)


class SGD(Updater):
    """Stochastic gradient descent with momentum: v <- momentum v + lr g; w <- w - v. Source: Caffe's SGDSolver."""

    histories = ("momentum",)

    def apply(self, chunk: Chunk, lr: float) -> None:
        """One step of the rule."""
        velocity = chunk.history["momentum"]
        np.multiply(velocity, self.spec.momentum, out=velocity)
        np.add(velocity, np.multiply(chunk.diff, lr, out=chunk.diff), out=velocity)
        np.subtract(chunk.data, velocity, out=chunk.data)

    def step(self, chunk: Chunk) -> Callable[[float], None]:
        """As the base's; with L2 decay it is v <- momentum v + lr g + (lr decay) w, and w <- w - v, for the engine."""
        velocity, weights = chunk.history["momentum"], chunk.data
        decay = self.spec.weight_decay * chunk.decay_mult
        accelerate = self.engine.blend(velocity, self.spec.momentum, chunk.diff, weights)
        move = self.engine.blend(weights, 0.0, weights, velocity)
        if accelerate is None or move is None or (decay and self.spec.regularization_type != "L2"):
            return super().step(chunk)

        def step(lr: float) -> None:
            rate = lr * chunk.lr_mult
            accelerate(rate / self.spec.iter_size, rate * decay)
            move(1.0, -1.0)

        return step


UPDATERS: dict[str, type[Updater]] = {"SGD": SGD}
