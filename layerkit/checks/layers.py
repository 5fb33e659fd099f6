"""The checks of a single layer: one function a promise of the contract, each on one case."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from layerkit.blob import Array, Blob, shape_text
from layerkit.checks.case import Case, CheckFailed, Prepared, Request, named, poison, prepare, same_elements
from layerkit.checks.differences import STEP, slope
from layerkit.graph import plan_alone
from layerkit.layer import Layer

ELEMENTS = 48  # an array with more elements is differentiated at so many of them, and along random directions
EXACT = 1e-12  # two float64 runs that differ only in memory layout or in what else was asked agree to this


def check_layer(case: Case) -> None:
    """Run every check of `CHECKS`. Raises CheckFailed at the first promise that is broken."""
    for check in CHECKS:
        check(case)


def check_plan(case: Case) -> None:
    """The plan is pure, its fillers fit, its arrays are used as they are, and its tops have the formula's shapes."""
    for dtype in (np.float32, np.float64):
        with prepare(case, dtype) as lone:
            again, _ = plan_alone(lone.layer, *(blob.shape for blob in lone.bottom))
            if again != lone.plan:
                raise CheckFailed(f"{case}: plan is not pure: it gave {lone.plan}, and then {again}")
            if len(lone.top) != case.num_tops:
                raise CheckFailed(f"{case}: plan gave {len(lone.top)} tops for {case.num_tops}")
            for weight in lone.plan.weights:
                weight.filler.fill(np.empty(weight.shape, dtype), np.random.default_rng(0))
            lent = {id(array) for array in (*vars(lone.layer.scratch).values(), *vars(lone.layer.state).values())}
            lone.forward()
            for name, array in (*vars(lone.layer.scratch).items(), *vars(lone.layer.state).items()):
                if id(array) not in lent:
                    raise CheckFailed(
                        f"{case}: forward put an array of its own in place of {name!r}, which the net provides"
                    )
            for i, expected in enumerate(_formula(lone)):
                if np.shape(expected) != lone.top[i].shape:
                    planned, real = shape_text(lone.top[i].shape), shape_text(np.shape(expected))
                    raise CheckFailed(f"{case}: top {i} is planned as {planned}, but by the formula it is {real}")


def check_forward(case: Case) -> None:
    """Every top agrees with the case's formula in float64. Nothing to do where the case says why it has none."""
    with prepare(case) as lone:
        expected = {f"top {i}": np.asarray(each, np.float64) for i, each in enumerate(_formula(lone))}
        got = lone.forward()
        for label, want in expected.items():
            _compare(
                f"{case}: forward: {label}", got[label], want, case.tolerance * max(1, _largest(want)), "the formula"
            )


def check_gradient(case: Case) -> None:
    """Every diff that can be asked for agrees with central differences of <top diffs, tops> in float64."""
    with prepare(case) as lone:
        if case.no_gradient or not lone.requests:
            return
        base = list(lone.forward().values())
        got = lone.backward(lone.requests)
        rng = np.random.default_rng(1)

        def derivative(data: Array, at: Any, by: Any) -> float:
            return slope(lone, base, data, at, by)[0]

        for request in lone.requests:
            data, diff = lone.blob(request).data, got[f"the diff of {named(request)}"]
            what = f"{case}: backward: the diff of {named(request)}"
            places = list(np.ndindex(data.shape))
            if len(places) > ELEMENTS:
                places = [places[i] for i in np.sort(rng.choice(len(places), ELEMENTS, replace=False))]
            want, largest = diff.astype(np.float64), 0.0  # elements that are not tried are judged by the directions
            for place in places:
                want[place] = derivative(data, place, 1.0)
                largest = max(largest, abs(float(want[place])))
            _compare(what, diff, want, case.gradient_tolerance * largest + 1e-8, "central differences")
            for _ in range(2 if len(places) < data.size else 0):
                along = rng.normal(size=data.shape)
                by_backward, by_difference = np.array(np.vdot(diff, along)), np.array(derivative(data, ..., along))
                allowed = case.gradient_tolerance * math.sqrt(float(np.vdot(diff, diff))) + 1e-8
                _compare(f"{what} along a random direction", by_backward, by_difference, allowed, "central differences")


def check_untouched(case: Case) -> None:
    """Whatever is asked for, the same values are written, and nothing else is changed; forward writes only tops."""
    with prepare(case) as lone:
        own = [f"the data of top {i}" for i in range(len(lone.top))]
        own += [f"the data of weight {name!r}" for name in lone.statistics]
        own += [f"the state {name!r}" for name in vars(lone.layer.state)]
        with lone.watched("forward", own):
            lone.forward()
        if not lone.requests:
            return
        want = lone.backward(lone.requests)
        for asked in subsets(lone.requests):
            lone.forward()
            compare_all(
                f"{case}: backward, asked for {' and '.join(map(named, asked))}", lone.backward(asked), want, EXACT
            )


def check_reads(case: Case) -> None:
    """What `Plan.reads_bottoms` and `reads_tops` leave out may be gone (is NaN) before backward, without effect."""
    with prepare(case) as lone:
        if not lone.requests:
            return
        lone.forward()
        want = lone.backward(lone.requests)
        bottoms, tops = lone.plan.reads_bottoms, lone.plan.reads_tops
        hidden = [
            (f"bottom {i}", blob) for i, blob in enumerate(lone.bottom) if bottoms is not None and i not in bottoms
        ]
        hidden += [(f"top {i}", blob) for i, blob in enumerate(lone.top) if tops is not None and i not in tops]
        for label, blob in hidden:
            lone.forward()
            values = blob.data.copy()
            poison(blob.data)
            got = lone.backward(lone.requests)
            blob.data[...] = values
            compare_all(f"{case}: backward reads {label}, which its plan leaves out of what it reads", got, want, 0)


def check_channels_last(case: Case) -> None:
    """With every bottom, top and diff of four or five axes channels-last in memory, the results are the same."""
    compare_all(
        f"{case}: with channels-last blobs", _results(prepare(case, channels_last=True)), _results(prepare(case)), EXACT
    )


def check_float32(case: Case) -> None:
    """In float32 the results are those of float64, within float32's own error."""
    allowed = case.float32_eps * float(np.finfo(np.float32).eps)
    compare_all(f"{case}: in float32", _results(prepare(case, np.float32)), _results(prepare(case)), allowed)


def check_zero_rows(case: Case) -> None:
    """With axis 0 of every bottom empty, forward and backward write finite values; empty tops give no gradient."""
    if case.no_zero_rows or not case.bottoms:
        return
    lone = prepare(case, zero_rows=True)
    results = _results(lone)
    empty = all(top.count == 0 for top in lone.top)
    for label, got in results.items():
        want = np.zeros_like(got) if empty else np.where(np.isfinite(got), got, 0)
        _compare(f"{case}: with zero rows: {label}", got, want, 0, "a finite value would be")


def check_in_place(case: Case) -> None:
    """Where the plan allows it, top 0 may lie in bottom 0's memory, and bottom 0's diff in top 0's, without effect."""
    with prepare(case) as lone:
        if not lone.plan.in_place:
            return
        want_forward = lone.forward()
        want = lone.backward(lone.requests)

        bottom, top = lone.bottom[0], lone.top[0]
        shared = bottom.data.copy()
        lone.restore()
        with lone.explained("forward in place"):
            inside = Blob.of(shared.reshape(top.shape, copy=False))
            lone.layer.forward([Blob.of(shared), *lone.bottom[1:]], [inside, *lone.top[1:]])
        _compare(
            f"{case}: forward in place: top 0",
            inside.data,
            want_forward["top 0"],
            EXACT * _largest(inside.data),
            "apart",
        )

        lone.forward()
        lone.layer.asked = frozenset(request for request in lone.requests if isinstance(request, str))
        shared = top.diff.copy()
        down = [i in lone.requests for i in range(len(lone.bottom))]
        with lone.explained("backward in place"):
            inside = Blob.of(bottom.data, shared.reshape(bottom.shape, copy=False))
            lone.layer.backward([Blob.of(top.data, shared), *lone.top[1:]], down, [inside, *lone.bottom[1:]])
        for request in lone.requests:
            got = inside.diff if request == 0 else lone.blob(request).diff
            label = f"the diff of {named(request)}"
            _compare(f"{case}: backward in place: {label}", got, want[label], EXACT * _largest(got), "apart")


def check_by_rows(case: Case) -> None:
    """Where the plan says that the layer acts row by row, rows of several batches run as one, and no statistic changes.

    The one batch has the rows in reverse, and then row 0 as often as there are rows.
    """
    with prepare(case) as lone:
        if not lone.plan.by_rows or not all(blob.shape for blob in lone.bottom):
            return
        want = lone.forward()
        for name, before in lone.statistics.items():
            _compare(f"{case}: statistic {name!r}", lone.blob(name).data, before, 0, "before forward, as by rows")
        several = [_in_reverse_and_first(blob.data) for blob in lone.bottom]
        weights = {name: blob.data for name, blob in lone.layer.weights.items()}
    with prepare(replace(case, bottoms=several, weights=weights)) as lone:
        for label, got in lone.forward().items():
            whole = _in_reverse_and_first(np.atleast_1d(want[label]))
            if got.shape != whole.shape:
                shapes = f"{shape_text(got.shape)}, not {shape_text(whole.shape)}"
                raise CheckFailed(f"{case}: of two batches as one {label} is {shapes}: it does not act row by row")
            _compare(f"{case}: of two batches as one: {label}", got, whole, EXACT * _largest(whole), "alone")


def _in_reverse_and_first(rows: Array) -> Array:
    return np.concatenate([rows[::-1], np.repeat(rows[:1], len(rows), axis=0)])


def check_jvp(case: Case) -> None:
    """Where the layer has a forward-mode rule J, it is backward's transpose, <u, J v> = <J' u, v>, and forward's slope.

    Bottoms and weights move all together, and each alone. The rule writes all of the tops' tangents and nothing else,
    and leaves what forward kept as it is. The slope, by central differences, is not tried where the case says that they
    cannot be compared.
    """
    with prepare(case) as lone:
        if type(lone.layer).jvp is Layer.jvp or not lone.requests:
            return
        rng = np.random.default_rng(2)
        for moving in {tuple(lone.requests), *((request,) for request in lone.requests)}:
            lone.forward()
            along = {request: rng.normal(size=lone.blob(request).shape) for request in moving}
            got = tangents(lone, along)
            back = lone.backward(moving)
            left = sum(np.vdot(top.diff, tangent) for top, tangent in zip(lone.top, got, strict=True))
            right = sum(np.vdot(back[f"the diff of {named(request)}"], along[request]) for request in moving)
            scale = max(1.0, *(_largest(diff) for diff in back.values()))
            what = f"{case}: jvp along {' and '.join(map(named, moving))}"
            dots = f"{what}: <top diffs, tangents>"
            _compare(dots, np.array(left), np.array(right), 1e-10 * scale, "<diffs, what moves>")
            if not case.no_gradient:
                terms = sum(np.vdot(abs(back[f"the diff of {named(each)}"]), abs(along[each])) for each in moving)
                size = float(terms) / max(1, sum(top.count for top in lone.top))  # of what adds up in each element
                for i, (tangent, slope) in enumerate(zip(got, _slopes(lone, along), strict=True)):
                    allowed = case.gradient_tolerance * max(size, _largest(slope)) + 1e-8
                    _compare(f"{what}: the tangent of top {i}", tangent, slope, allowed, "central differences")


def tangents(lone: Prepared, along: Mapping[Request, Array]) -> list[Array]:
    """What the layer's jvp makes of tangents of bottoms and weights."""
    found = [np.full(top.shape, np.nan) for top in lone.top]
    lone.layer.weight_tangents = {name: tangent for name, tangent in along.items() if isinstance(name, str)}
    with lone.watched("jvp", ()):
        lone.layer.jvp(lone.bottom, lone.top, [along.get(i) for i in range(len(lone.bottom))], found)
    lone.layer.weight_tangents = {}
    return found


def _slopes(lone: Prepared, along: Mapping[Request, Array]) -> list[Array]:
    """The tops' derivatives where bottoms and weights move, by central differences."""
    kept = {request: lone.blob(request).data.copy() for request in along}
    ends = []
    for sign in (1, -1):
        for request, tangent in along.items():
            lone.blob(request).data[...] = kept[request] + sign * STEP * tangent
        ends.append(list(lone.forward().values()))
    for request, values in kept.items():
        lone.blob(request).data[...] = values
    return [(above - below) / (2 * STEP) for above, below in zip(*ends, strict=True)]


CHECKS: tuple[Callable[[Case], None], ...] = (
    check_plan,
    check_forward,
    check_gradient,
    check_untouched,
    check_reads,
    check_channels_last,
    check_float32,
    check_zero_rows,
    check_in_place,
    check_by_rows,
    check_jvp,
)
"""Every check, in the order in which a mistake is easiest to understand."""


def _results(lone: Prepared) -> dict[str, Array]:
    """The tops, and every diff that can be asked for."""
    with lone:
        tops = lone.forward()
        return tops | (lone.backward(lone.requests) if lone.requests else {})


def _formula(lone: Prepared) -> Sequence[npt.ArrayLike]:
    if lone.case.formula is None:
        return []
    bottoms = [blob.data.astype(np.float64) for blob in lone.bottom]
    lone.restore()
    weights = [blob.data.astype(np.float64) for blob in lone.layer.weights]
    return lone.case.formula(bottoms, weights, lone.layer.params)


def subsets(requests: Sequence[Request]) -> list[tuple[Request, ...]]:
    """What a net may ask for: every subset of a few; of many, each alone, none, and each left out."""
    n = len(requests)
    sizes = range(n + 1) if n <= 4 else sorted({0, 1, n - 1})
    return [subset for size in sizes for subset in combinations(requests, size)]


def _largest(array: Array) -> float:
    return float(np.max(np.abs(array), initial=0))


def compare_all(what: str, got: Mapping[str, Array], want: Mapping[str, Array], relative: float) -> None:
    """Raise CheckFailed unless each array agrees, within `relative` of the largest magnitude of what is wanted."""
    for label, array in got.items():
        _compare(f"{what}: {label}", array, want[label], relative * _largest(want[label]), "otherwise")


def _compare(what: str, got: Array, want: Array, allowed: float, by: str) -> None:
    """Raise unless `got` has the shape of `want` and is nowhere further from it than `allowed`."""
    if got.shape != want.shape:
        raise CheckFailed(f"{what} has shape {shape_text(got.shape)}; {by}: {shape_text(want.shape)}")
    if not got.size:
        return
    off = np.where(same_elements(got, want), 0, np.abs(np.subtract(got, want, dtype=np.float64)))
    off = np.where(np.isnan(off), np.inf, off)
    where = tuple(int(i) for i in np.unravel_index(np.argmax(off), got.shape))
    if off[where] > allowed:
        hint = ": was it left unwritten, added to, or read from scratch?" if np.isnan(got[where]) else ""
        values = f"element {list(where)} is {got[where]:.9g}; {by}: {want[where]:.9g}"
        raise CheckFailed(f"{what}: {values} (allowed difference {allowed:.2g}){hint}")
