"""Second derivatives: layers' formulas are the layers, and what backward gives changes as the rules say."""

from __future__ import annotations

import numpy as np
import pytest
from cases import CASES

from layerkit.checks import Case, CheckFailed, prepare
from layerkit.checks.case import Prepared
from layerkit.checks.layers import STEP
from layerkit.curvature import CHOOSING, chooses, curvature
from layerkit.layers.expression.expression import Expression
from layerkit.layers.expression.formulas import FORMULAS, formula_of
from layerkit.tangents import affine

WRITTEN = [case for case in CASES if case.layer_type.__name__ in FORMULAS]
POOLING = CHOOSING - FORMULAS.keys()
RULED = [case for case in CASES if case.layer_type.__name__ in POOLING or case.layer_type.jvp is affine]
BENT = [*RULED, *WRITTEN, *(case for case in CASES if case.layer_type is Expression)]


def asked(lone: Prepared) -> tuple[list[int], list[str]]:
    bottoms = [each for each in lone.requests if isinstance(each, int)]
    return bottoms, [each for each in lone.requests if isinstance(each, str)]


@pytest.mark.parametrize("case", WRITTEN, ids=str)
def test_a_layers_formula_is_the_layer(case: Case) -> None:
    with prepare(case) as lone:
        tops = lone.forward()
        diffs = lone.backward(lone.requests)
        formula = formula_of(lone.layer, lone.bottom, lone.top)
        if formula is None:
            assert case.layer_type.__name__ in ("GELU", "Eltwise")
            return
        for i, got in enumerate(formula.values(np.dtype("float64"))):
            np.testing.assert_allclose(got, tops[f"top {i}"], rtol=1e-9, atol=1e-12)
        got = formula.gradients([top.diff for top in lone.top], np.dtype("float64"))
        names = [*range(len(lone.bottom)), *lone.layer.weights.names]
        for name, diff in zip(names, got, strict=True):
            what = f"bottom {name}" if isinstance(name, int) else f"weight {name!r}"
            if name in lone.requests:
                np.testing.assert_allclose(diff, diffs[f"the diff of {what}"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", BENT, ids=str)
def test_diffs_change_as_the_rule_says(case: Case) -> None:
    with prepare(case) as lone:
        if case.no_gradient or not lone.requests:
            return
        rng = np.random.default_rng(3)
        along = {request: rng.normal(size=lone.blob(request).shape) for request in lone.requests}
        bottoms, _ = asked(lone)
        lone.forward()
        ruled = type(lone.layer).jvp is affine or chooses(lone.layer)
        if not ruled and formula_of(lone.layer, lone.bottom, lone.top) is None:
            return
        lone.layer.weight_tangents = {name: t for name, t in along.items() if isinstance(name, str)}
        tangents = [along.get(i) for i in range(len(lone.bottom))]
        down = [i in bottoms for i in range(len(lone.bottom))]
        got, weights = curvature(lone.layer, lone.bottom, lone.top, tangents, down)
        kept = {request: lone.blob(request).data.copy() for request in along}
        ends = []
        for sign in (1, -1):
            for request, tangent in along.items():
                lone.blob(request).data[...] = kept[request] + sign * STEP * tangent
            lone.forward()
            ends.append(lone.backward(lone.requests))
        for request in lone.requests:
            what = f"the diff of {f'bottom {request}' if isinstance(request, int) else f'weight {request!r}'}"
            slope = (ends[0][what] - ends[1][what]) / (2 * STEP)
            change = got[request] if isinstance(request, int) else weights.get(request)
            change = np.zeros_like(slope) if change is None else change
            allowed = case.gradient_tolerance * max(1, abs(slope).max(initial=0))
            if abs(change - slope).max(initial=0) > allowed:
                raise CheckFailed(f"{case}: {what} changes by {change}, not {slope}")


def test_formulas_are_of_types_that_have_cases() -> None:
    assert {case.layer_type.__name__ for case in WRITTEN} == set(FORMULAS)
    assert {case.layer_type.__name__ for case in [*RULED, *WRITTEN]} >= CHOOSING
