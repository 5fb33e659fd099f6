"""Learning-rate policies: the rate as a pure function of the iteration. Names and formulas of seven are Caffe's.

Beyond Caffe are cosine, one_cycle and table, a warm-up in front of any policy, and plateau: what tests found decides
there, so that it alone has something to remember, which is saved in the solver's state.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any

from pydantic import Field

from layerkit.errors import UnknownNameError
from layerkit.fields import Strict
from layerkit.spec import SolverSpec


def learning_rate(spec: SolverSpec, iteration: int) -> float:
    """The learning rate of the update that iteration `iteration` (from 0) makes; inf where it outgrows a double.

    For the policy plateau, times the factor that its `Plateau` has come to.
    """
    return spec.base_lr * POLICIES[spec.lr_policy](spec, iteration) * _warmup(spec, iteration)


def depends_on_the_end(spec: SolverSpec) -> bool:
    """Whether the learning rate depends on max_iter."""
    return spec.lr_policy in ("poly", "one_cycle") or (spec.lr_policy == "cosine" and spec.restart_iter is None)


def _warmup(spec: SolverSpec, iteration: int) -> float:
    """Rises linearly from warmup_start to 1; meanwhile the policy counts its iterations from 0 all the same."""
    if iteration >= spec.warmup_iter:
        return 1.0
    start = spec.warmup_start or 0.0
    return start + (1 - start) * iteration / spec.warmup_iter


def _fixed(spec: SolverSpec, iteration: int) -> float:
    return 1.0


def _step(spec: SolverSpec, iteration: int) -> float:
    return _pow(_gamma(spec), iteration // _stepsize(spec))


def _exp(spec: SolverSpec, iteration: int) -> float:
    return _pow(_gamma(spec), iteration)


def _inv(spec: SolverSpec, iteration: int) -> float:
    return _pow(1 + _gamma(spec) * iteration, -_power(spec))


def _multistep(spec: SolverSpec, iteration: int) -> float:
    return _pow(_gamma(spec), bisect_right(spec.stepvalue or [], iteration))


def _poly(spec: SolverSpec, iteration: int) -> float:
    return _pow(max(0.0, 1 - iteration / spec.iterations), _power(spec))


def _sigmoid(spec: SolverSpec, iteration: int) -> float:
    exponent = -_gamma(spec) * (iteration - _stepsize(spec))
    return 1 / (1 + math.exp(min(exponent, 700.0)))  # exp(710) overflows a double


def _cosine(spec: SolverSpec, iteration: int) -> float:
    """Half a cosine from 1 to end_factor over max_iter; with restart_iter over that many, and then again from 1.

    Each course is restart_mult times as long as the one before. Source: Loshchilov and Hutter, SGDR (2017).
    """
    end = spec.end_factor or 0.0
    if spec.restart_iter is None:
        return _fall(1.0, end, iteration / spec.iterations)
    begun, length = 0, spec.restart_iter
    if spec.restart_mult in (None, 1):
        begun = iteration // length * length
    else:
        while iteration >= begun + length:
            begun, length = begun + length, length * (spec.restart_mult or 1)
    return _fall(1.0, end, (iteration - begun) / length)


def _one_cycle(spec: SolverSpec, iteration: int) -> float:
    """Half a cosine up from start_factor to 1 at peak * max_iter, and another down to end_factor at max_iter.

    Momentum stays as it is. Source: Smith and Topin, Super-Convergence (2018), with PyTorch's cosine for its lines.
    """
    start = 0.04 if spec.start_factor is None else spec.start_factor
    top = (0.3 if spec.peak is None else spec.peak) * spec.iterations
    if iteration < top:
        return _fall(start, 1.0, iteration / top)
    return _fall(1.0, spec.end_factor or 0.0, (iteration - top) / (spec.iterations - top))


def _fall(first: float, last: float, share: float) -> float:
    """From `first` to `last` along half a cosine, of which `share` is done; after the end `last`."""
    return last + (first - last) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


def _table(spec: SolverSpec, iteration: int) -> float:
    """Linear between the pairs of lr_table; before the first and after the last their factors.

    Two pairs of the same iteration are a jump: from it on the later one holds.
    """
    table = spec.lr_table or []
    for (start, first), (end, last) in pairwise(table):
        if start <= iteration < end:
            return first + (last - first) * (iteration - start) / (end - start)
    return table[0][1] if iteration < table[0][0] else table[-1][1]


class PlateauState(Strict):
    """What the policy plateau remembers, as it is saved in the solver's state."""

    best: float | None = Field(None, description="The best value of a test that counted as an improvement.")
    bad: int = Field(0, ge=0, description="Tests since then, or since the rate fell.")
    factor: float = Field(1.0, ge=0, description="Factor on the learning rate.")


class Plateau:
    """Multiplies the rate by gamma after `patience` tests in a row whose metric is no better than the best before.

    Better is above best + min_delta (mode max) or below best - min_delta (mode min); nan never is. The tests that fall
    due by test_interval count, before the update of their iteration; the one at the end does not.

    Source: PyTorch's ReduceLROnPlateau with threshold_mode abs, whose `patience` is one less.
    """

    def __init__(self, spec: SolverSpec):
        assert spec.plateau is not None  # SolverSpec lets no policy pass without what it needs
        self.spec = spec.plateau
        self._gamma = _gamma(spec)
        self.state = PlateauState()

    def expect(self, outputs: Iterable[str]) -> None:
        """Raise UnknownNameError where the metric is none of a test's `outputs`."""
        known = list(outputs)
        if self.spec.metric not in known:
            raise UnknownNameError("output of the test net (of one number)", self.spec.metric, known)

    def see(self, outputs: Mapping[str, float]) -> bool:
        """Take in what a test gave; whether the rate falls."""
        value, best, factor = outputs[self.spec.metric], self.state.best, self.state.factor
        sign = 1 if self.spec.mode == "max" else -1
        if math.isfinite(value) and (best is None or sign * (value - best) > self.spec.min_delta):
            self.state = PlateauState(best=value, factor=factor)
        elif self.state.bad + 1 < self.spec.patience:
            self.state = PlateauState(best=best, bad=self.state.bad + 1, factor=factor)
        else:
            self.state = PlateauState(best=best, factor=factor * self._gamma)
        return self.state.factor != factor

    def about(self) -> dict[str, Any]:
        """What is told of a rate that fell: the metric that decided, and its best value so far."""
        return {"metric": self.spec.metric, "best": self.state.best}


def _pow(base: float, exponent: float) -> float:
    """`base ** exponent` for base >= 0, as C's pow: inf where Python would raise."""
    try:
        return math.pow(base, exponent)
    except (OverflowError, ValueError):  # too great, or zero to a negative power
        return math.inf


def _gamma(spec: SolverSpec) -> float:
    assert spec.gamma is not None  # SolverSpec lets no policy pass without what it needs
    return spec.gamma


def _stepsize(spec: SolverSpec) -> int:
    assert spec.stepsize is not None
    return spec.stepsize


def _power(spec: SolverSpec) -> float:
    assert spec.power is not None
    return spec.power


POLICIES: dict[str, Callable[[SolverSpec, int], float]] = {
    "fixed": _fixed,
    "step": _step,
    "exp": _exp,
    "inv": _inv,
    "multistep": _multistep,
    "poly": _poly,
    "sigmoid": _sigmoid,
    "cosine": _cosine,
    "one_cycle": _one_cycle,
    "table": _table,
    "plateau": _fixed,
}
"""Policy -> factor on base_lr."""
