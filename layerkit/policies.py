"""Learning-rate policies: the rate as a pure function of the iteration. Names and formulas are Caffe's."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable

from layerkit.spec import SolverSpec


def learning_rate(spec: SolverSpec, iteration: int) -> float:
    """The learning rate of the update that iteration `iteration` (from 0) makes; inf where it outgrows a double."""
    return spec.base_lr * POLICIES[spec.lr_policy](spec, iteration)


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
    return _pow(max(0.0, 1 - iteration / spec.max_iter), _power(spec))


def _sigmoid(spec: SolverSpec, iteration: int) -> float:
    exponent = -_gamma(spec) * (iteration - _stepsize(spec))
    return 1 / (1 + math.exp(min(exponent, 700.0)))  # exp(710) overflows a double


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
}
"""Policy -> factor on base_lr."""
