"""Update rules: from gradients to new weights, in a few passes over the flat arrays. Formulas are Caffe's."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import numpy as np

from layerkit.blob import Array
from layerkit.spec import SolverSpec
from layerkit.weights import WeightStore


class Stretch(NamedTuple):
    """A part of the flat arrays whose weights share their multipliers; one dimension each, views."""

    data: Array
    diff: Array
    spare: Array
    """Room to work in."""
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

    def __init__(self, spec: SolverSpec, flat: WeightStore):
        self.spec = spec
        self.flat = flat
        self.history = {name: np.zeros_like(flat.data) for name in self.histories}
        self._stretches = self._split(np.empty_like(flat.data))

    def _split(self, spare: Array) -> list[Stretch]:
        """The trained weights as stretches of equal multipliers, neighbours joined."""
        bounds: list[tuple[int, int, float, float]] = []
        for slot in self.flat.trained:
            start, multipliers = slot.start, (slot.lr_mult, slot.decay_mult)
            if bounds and bounds[-1][2:] == multipliers:
                start = bounds.pop()[0]
            bounds.append((start, slot.span.stop, *multipliers))
        return [
            Stretch(
                self.flat.data[a:b],
                self.flat.diff[a:b],
                spare[a:b],
                {name: whole[a:b] for name, whole in self.history.items()},
                lr_mult,
                decay_mult,
            )
            for a, b, lr_mult, decay_mult in bounds
        ]

    def update(self, lr: float) -> None:
        """Change the weights by the gradients in `flat.diff` (a sum over iter_size batches); uses the gradients up."""
        self._clip()
        for stretch in self._stretches:
            if self.spec.iter_size > 1:
                np.multiply(stretch.diff, 1 / self.spec.iter_size, out=stretch.diff)
            self._regularise(stretch)
            self.apply(stretch, lr * stretch.lr_mult)

    def apply(self, stretch: Stretch, lr: float) -> None:
        """The rule itself, on one stretch: change `data` by `diff`, which may be overwritten."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it updates")

    def _clip(self) -> None:
        """Scale all gradients so that their joint L2 norm is at most clip_gradients (before averaging, as in Caffe)."""
        limit = self.spec.clip_gradients
        if limit is None:
            return
        norm = math.sqrt(float(np.dot(self.flat.diff, self.flat.diff)))
        if norm > limit:
            np.multiply(self.flat.diff, limit / norm, out=self.flat.diff)

    def _regularise(self, stretch: Stretch) -> None:
        """Add the gradient of the penalty: L2 is decay / 2 times the sum of w^2, L1 decay times the sum of |w|."""
        decay = self.spec.weight_decay * stretch.decay_mult
        if not decay:
            return
        if self.spec.regularization_type == "L2":
            np.multiply(stretch.data, decay, out=stretch.spare)
        else:
            np.multiply(np.sign(stretch.data, out=stretch.spare), decay, out=stretch.spare)
        np.add(stretch.diff, stretch.spare, out=stretch.diff)


class SGD(Updater):
    """Stochastic gradient descent with momentum: v <- momentum v + lr g; w <- w - v. Source: Caffe's SGDSolver."""

    histories = ("momentum",)

    def apply(self, stretch: Stretch, lr: float) -> None:
        """One step of the rule."""
        velocity = stretch.history["momentum"]
        np.multiply(velocity, self.spec.momentum, out=velocity)
        np.add(velocity, np.multiply(stretch.diff, lr, out=stretch.diff), out=velocity)
        np.subtract(stretch.data, velocity, out=stretch.data)


UPDATERS: dict[str, type[Updater]] = {"SGD": SGD}
