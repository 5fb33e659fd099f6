"""How wrong the gradients of one layer are, at a bounded number of points; what is wrong is traced to one element.

A small array is differentiated element by element. Of a large one, a bounded number of elements move together, up or
down at random, which shows any wrong derivative among them by two forward passes; halving then leads to the worst.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from layerkit.blob import Array
from layerkit.checks.case import CheckFailed, Prepared, Request, named, poison
from layerkit.checks.differences import STEP, slope
from layerkit.checks.layers import ELEMENTS, tangents
from layerkit.layer import Layer

LIMIT = 1e-6
"""The greatest relative error that rounding explains."""
CLOSE = 1e-3
"""The greatest relative error of a gradient that is all but right: of a formula that a small constant keeps from
dividing by zero, which backward may take another way than forward."""
TOGETHER = 1 << 16
"""The most elements of an array that move together."""
JVP_ELEMENTS = 1 << 21
"""A layer's forward mode is compared where its arrays have no more elements together: it takes copies of all."""
_STEPS = (STEP, STEP / 10, STEP / 100)
_FLOOR = 0.01
"""Added to the magnitude by which an error is divided, so that gradients that are all but zero are not judged by it."""


@dataclass(frozen=True)
class Probe:
    """A derivative by the layer and by differences; `error` is relative to the largest derivative of the array."""

    array: str
    """`bottom 0`, `weight 'bias'`; or what the forward mode was asked along."""
    error: float
    analytic: float
    numeric: float
    index: tuple[int, ...] | None = None
    """The element; None where many moved together."""

    @property
    def off(self) -> bool:
        """Whether it is further off than rounding explains."""
        return not self.error <= LIMIT


def gradient_probes(lone: Prepared, requests: Sequence[Request], spend: int) -> list[Probe]:
    """The worst derivative of each array asked for, by backward against central differences in float64.

    `spend` is how many pairs of forward passes each array is worth, beyond the one that it takes at least. Raises
    CheckFailed where a pass raises, or where forward makes a value that is not finite.
    """
    with np.errstate(all="ignore"):
        base = list(lone.forward().values())
        if not all(np.isfinite(top).all() for top in base):
            raise CheckFailed(f"{lone.case}: forward makes values that are not finite")
        _backward(lone, requests)
        rng = np.random.default_rng(3)
        return [_Array(lone, request, base, rng).worst(spend) for request in requests]


def jvp_probe(lone: Prepared, requests: Sequence[Request]) -> Probe | None:
    """The dot-product test of a layer's forward mode, <u, J v> = <J' u, v>; None where it has none, or is too large."""
    blobs = [*lone.bottom, *lone.layer.weights, *lone.top]
    layers = [lone.layer, *(node.layer for node in lone.inside)]
    if any(type(layer).jvp is Layer.jvp for layer in layers) or sum(blob.count for blob in blobs) > JVP_ELEMENTS:
        return None
    rng = np.random.default_rng(4)
    with np.errstate(all="ignore"):
        lone.forward()
        along = {request: rng.normal(size=lone.blob(request).shape) for request in requests}
        got = tangents(lone, along)
        _backward(lone, requests)
        left = sum(float(np.vdot(top.diff, tangent)) for top, tangent in zip(lone.top, got, strict=True))
        terms = [lone.blob(request).diff * along[request] for request in requests]
        right = sum(float(term.sum()) for term in terms)
        scale = math.sqrt(sum(float(np.vdot(term, term)) for term in terms))
    return Probe("forward mode (jvp)", _relative(left, right, scale), left, right)


class _Array:
    """A bottom or a weight whose elements move."""

    def __init__(self, lone: Prepared, request: Request, base: Sequence[Array], rng: np.random.Generator):
        self.lone, self.name, self.base, self.rng = lone, named(request), base, rng
        blob = lone.blob(request)
        self.shape = blob.shape
        self.data, self.diff = blob.data.reshape(-1, copy=False), blob.diff.reshape(-1).copy()
        self.largest = float(np.max(np.abs(self.diff), initial=0))

    def worst(self, spend: int) -> Probe:
        """Its worst derivative, as far as it is looked for."""
        bad = np.flatnonzero(~np.isfinite(self.diff))
        if bad.size:
            return self._element(int(bad[0]))
        if not self.diff.size:
            return Probe(self.name, 0.0, 0.0, 0.0)
        if self.diff.size <= min(ELEMENTS, spend):
            return max(map(self._element, range(self.diff.size)), key=lambda probe: probe.error)
        places = np.arange(self.diff.size)
        if places.size > TOGETHER:
            places = np.sort(self.rng.choice(places.size, TOGETHER, replace=False))
        signs = self.rng.choice((-1.0, 1.0), places.size)
        found = self._together(places, signs)
        if found.off:
            return self._halved(places, signs, found)
        tried = self.rng.choice(places, min(spend, ELEMENTS, places.size), replace=False)
        return max([found, *(self._element(int(place)) for place in tried)], key=lambda probe: probe.error)

    def _element(self, place: int) -> Probe:
        index = tuple(int(i) for i in np.unravel_index(place, self.shape))
        return self._probe(place, 1.0, float(self.diff[place]), self.largest, index)

    def _together(self, places: Array, signs: Array) -> Probe:
        part = self.diff[places]
        return self._probe(places, signs, float(part @ signs), math.sqrt(float(part @ part)))

    def _probe(
        self, at: int | Array, by: float | Array, analytic: float, scale: float, index: tuple[int, ...] | None = None
    ) -> Probe:
        """One derivative; near a kink, steps that are shorter get out of its way."""
        for step in _STEPS:
            numeric, slack = slope(self.lone, self.base, self.data, at, by, step)
            error = _relative(analytic, numeric, max(scale if math.isfinite(scale) else 0.0, abs(numeric)))
            probe = Probe(self.name, error, analytic, numeric, index)
            if not probe.off or not abs(analytic - numeric) <= slack:
                return probe
        return Probe(self.name, 0.0, analytic, numeric, index)

    def _halved(self, places: Array, signs: Array, found: Probe) -> Probe:
        """Follow the larger error down to one element."""
        while places.size > 1:
            half = places.size // 2
            first = self._together(places[:half], signs[:half])
            error = first.analytic - first.numeric
            rest = Probe(self.name, 0.0, found.analytic - first.analytic, found.numeric - first.numeric)
            if abs(error) >= abs(rest.analytic - rest.numeric):
                places, signs, found = places[:half], signs[:half], first
            else:
                places, signs, found = places[half:], signs[half:], rest
        return self._element(int(places[0]))


def _backward(lone: Prepared, requests: Sequence[Request]) -> None:
    """Run backward for what is asked; unlike `Prepared.backward` it copies nothing, as weights may be large."""
    lone.layer.asked = frozenset(request for request in requests if isinstance(request, str))
    for blob in (*lone.bottom, *lone.layer.weights):
        poison(blob.diff)
    with lone.explained("backward"):
        lone.layer.backward(lone.top, [i in requests for i in range(len(lone.bottom))], lone.bottom)


def _relative(analytic: float, numeric: float, scale: float) -> float:
    """The relative error of a derivative in an array whose largest is `scale`."""
    if not (math.isfinite(analytic) and math.isfinite(numeric)):
        return math.inf
    return abs(analytic - numeric) / (scale + _FLOOR)
