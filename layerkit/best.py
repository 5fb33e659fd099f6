"""The best test of a run: by what it is told, what its weights were, and how many tests since were no better."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from pydantic import Field

from layerkit.blob import Array
from layerkit.errors import UnknownNameError, UsageError
from layerkit.fields import Strict
from layerkit.layer import Layer, Metric
from layerkit.spec import BestSpec, SolverSpec


class BestState(Strict):
    """What is known of the best test, as it is saved in the solver's state."""

    value: float | None = Field(None, description="The metric's best value.")
    iteration: int = Field(0, ge=0, description="Updates made before that test.")
    averaged: int = Field(0, ge=0, description="How often weights had been taken into the average that was tested.")
    outputs: dict[str, float | None] = Field({}, description="What else that test gave; null is not finite.")
    passed: float | None = Field(None, description="Early stopping: the value of the last improvement.")
    bad: int = Field(0, ge=0, description="Early stopping: tests since then.")


class Best:
    """Follows the tests of a run for early_stopping and keep_best.

    Of equal values the first is the best; nan and infinity never are. The best weights, statistics too, are kept beside
    the net's, and in the solver's state: so a run that goes on from an earlier snapshot has those of that time.

    An improvement is a value above that of the last improvement + min_delta (mode max) or below it - min_delta (min).
    """

    def __init__(self, spec: SolverSpec, makers: Mapping[str, Layer]):
        """`makers` are a test's outputs of one number, each with its layer.

        Raises UnknownNameError for a metric that is none of them, UsageError where metric or mode must be said.
        """
        self.early = spec.early_stopping
        self.metric, mode = _chosen(self.early or spec.keep_best or BestSpec(), makers)
        self._sign = 1 if mode == "max" else -1
        self.keeps = spec.keep_best is not None or (self.early is not None and self.early.restore_best)
        """Whether the best weights are kept."""
        self.state = BestState()
        self.weights: dict[str, Array] = {}
        """The best test's weights by their names in snapshots."""

    @staticmethod
    def wanted(spec: SolverSpec) -> bool:
        """Whether a run asks for its best test."""
        return (spec.early_stopping or spec.keep_best) is not None

    def see(self, outputs: Mapping[str, float], iteration: int, averaged: int = 0) -> bool:
        """Take in what a test gave; whether it is the best so far, so that its weights are to be taken."""
        value, was = outputs[self.metric], self.state
        least = 0.0 if self.early is None else self.early.min_delta
        improved = self._better(value, was.passed, least)
        course = {"passed": value, "bad": 0} if improved else {"passed": was.passed, "bad": was.bad + 1}
        if not self._better(value, was.value, 0.0):
            self.state = was.model_copy(update=course)
            return False
        known = {name: each if math.isfinite(each) else None for name, each in outputs.items()}
        self.state = BestState(value=value, iteration=iteration, averaged=averaged, outputs=known).model_copy(
            update=course
        )
        return True

    def take(self, weights: Mapping[str, Array]) -> None:
        """Take a copy of the weights that were tested."""
        for name, array in weights.items():
            if name in self.weights:
                np.copyto(self.weights[name], array)
            else:
                self.weights[name] = array.copy()

    def restore(self, state: BestState | None, weights: Mapping[str, Array]) -> None:
        """Go on from what a solver's state holds."""
        self.state = state or BestState()
        self.weights = {}
        self.take(weights)

    @property
    def exhausted(self) -> bool:
        """Whether early stopping ends the run."""
        return self.early is not None and self.state.bad >= self.early.patience

    @property
    def outputs(self) -> dict[str, float]:
        """What the best test gave."""
        return {name: math.nan if value is None else value for name, value in self.state.outputs.items()}

    def _better(self, value: float, than: float | None, least: float) -> bool:
        return math.isfinite(value) and (than is None or self._sign * (value - than) > least)


def _chosen(said: BestSpec, makers: Mapping[str, Layer]) -> tuple[str, str]:
    """The metric and the mode: as said, or else the first metric (or else loss) and what is better in its kind."""
    metric = said.metric
    if metric is None:
        metrics = [name for name, layer in makers.items() if isinstance(layer, Metric)]
        first = [*metrics, *(name for name, layer in makers.items() if layer.loss)]
        if not first:
            raise UsageError(
                "the test net has no metric or loss of one number, so there is no best test; name a metric"
            )
        metric = first[0]
    elif metric not in makers:
        raise UnknownNameError("output of the test net (of one number)", metric, makers)
    layer = makers[metric]
    mode = said.mode or (layer.better if isinstance(layer, Metric) else "min" if layer.loss else None)
    if mode is None:
        raise UsageError(f"whether higher or lower is better is not known of {metric!r}; say mode: max or mode: min")
    return metric, mode
