"""Update rules: from gradients to new weights, in a few passes over the flat arrays. Formulas are Caffe's."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import numpy as np

from layerkit.blob import Array
from layerkit.spec import SolverSpec
from layerkit.weights import WeightStore


class Run(NamedTuple):
    """A stretch of the flat arrays whose weights share their multipliers."""

    span: slice
    lr_mult: float
    decay_mult: float


class Updater:
    """What all rules share: clip, average over iter_size, regularise; a subclass turns the gradient into an update.

    `history` holds the rule's flat arrays by name; they are saved with the solver's state.
    """

    histories: ClassVar[tuple[str, ...]] = ()

    def __init__(self, spec: SolverSpec, flat: WeightStore):
        self.spec = spec
        self.flat = flat
        self.history = {name: np.zeros_like(flat.data) for name in self.histories}
        self._spare: Array = np.empty_like(flat.data)
        self._runs = _runs(flat)

    def update(self, lr: float) -> None:
        """Change the weights by the gradients in `flat.diff` (a sum over iter_size batches); uses the gradients up."""
        self._clip()
        for span, lr_mult, decay_mult in self._runs:
            diff, spare = self.flat.diff[span], self._spare[span]
            if self.spec.iter_size > 1:
                diff *= 1 / self.spec.iter_size
            self._regularise(self.flat.data[span], diff, spare, self.spec.weight_decay * decay_mult)
            self.apply(span, lr * lr_mult, spare)

    def apply(self, span: slice, lr: float, spare: Array) -> None:
        """The rule itself, on one stretch; `spare` is room to work in."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it updates")

    def _clip(self) -> None:
        """Scale all gradients so that their joint L2 norm is at most clip_gradients (before averaging, as in Caffe)."""
        limit = self.spec.clip_gradients
        if limit is None:
            return
        norm = math.sqrt(float(np.dot(self.flat.diff, self.flat.diff)))
        if norm > limit:
            self.flat.diff *= limit / norm

    def _regularise(self, data: Array, diff: Array, spare: Array, decay: float) -> None:
        if not decay:
            return
        if self.spec.regularization_type == "L2":
            np.multiply(data, decay, out=spare)
        else:
            np.sign(data, out=spare)
            spare *= decay
        diff += spare


class SGD(Updater):
    """Stochastic gradient descent with momentum: v <- momentum v + lr g; w <- w - v. Source: Caffe's SGDSolver."""

    histories = ("momentum",)

    def apply(self, span: slice, lr: float, spare: Array) -> None:
        """One step of the rule."""
        velocity = self.history["momentum"][span]
        velocity *= self.spec.momentum
        np.multiply(self.flat.diff[span], lr, out=spare)
        velocity += spare
        self.flat.data[span] -= velocity


UPDATERS: dict[str, type[Updater]] = {"SGD": SGD}


def _runs(flat: WeightStore) -> list[Run]:
    """The trained weights as stretches of equal multipliers, neighbours joined."""
    runs: list[Run] = []
    for slot in flat.trained:
        end = slot.start + slot.blob.count
        if runs and runs[-1][1:] == (slot.lr_mult, slot.decay_mult):
            runs[-1] = runs[-1]._replace(span=slice(runs[-1].span.start, end))
        else:
            runs.append(Run(slice(slot.start, end), slot.lr_mult, slot.decay_mult))
    return runs
