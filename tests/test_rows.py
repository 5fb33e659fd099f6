"""Layers that act row by row: that the check catches those that do not, formulas, and what loops make of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from cases import CASES
from loop_tools import ROWS, SPREAD, STEPS, check_gradients, lent, net_of, simple

from layerkit import checks
from layerkit.checks import Case, CheckFailed, prepare
from layerkit.checks.case import Prepared
from layerkit.engines import missing
from layerkit.layer import Bottoms, Layer, Plan, Tops, Weight

# -- the check ---------------------------------------------------------------------------------------------------------


class ByRows(Layer):
    def plan(self, *bottoms: tuple[int, ...]) -> Plan:
        return Plan(tops=[bottoms[0]], by_rows=True)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        top[0].data[...] = bottom[0].data / 2


class MinusRow0(ByRows):
    def forward(self, bottom: Bottoms, top: Tops) -> None:
        top[0].data[...] = bottom[0].data - bottom[0].data[:1]


class MinusMean(ByRows):  # which two equal batches together leave as it is
    def forward(self, bottom: Bottoms, top: Tops) -> None:
        top[0].data[...] = bottom[0].data - bottom[0].data.mean(axis=0)


class OneRow(ByRows):
    def plan(self, *bottoms: tuple[int, ...]) -> Plan:
        return Plan(tops=[(1, *bottoms[0][1:])], by_rows=True)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        top[0].data[...] = bottom[0].data[:1]


class Counts(ByRows):
    def plan(self, *bottoms: tuple[int, ...]) -> Plan:
        return replace(super().plan(*bottoms), weights=[Weight("seen", (), learned=False)])

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        super().forward(bottom, top)
        self.weights.seen.data[...] += len(bottom[0].data)


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (MinusRow0, "of two batches as one: top 0: element"),
        (MinusMean, "of two batches as one: top 0: element"),
        (OneRow, "of two batches as one top 0 is 1x3, not 2x3"),
        (Counts, "statistic 'seen'"),
    ],
)
def test_a_layer_that_does_not_act_row_by_row_is_caught(cls: type[Layer], message: str) -> None:
    def case(kind: type[Layer]) -> Case:
        return Case(kind, "broken", [(2, 3)], no_formula="only its rows are looked at")

    checks.check_by_rows(case(ByRows))
    with pytest.raises(CheckFailed, match=message):
        checks.check_by_rows(case(cls))


# -- formulas ----------------------------------------------------------------------------------------------------------

A, B = (3, 4), (3, 4)


@pytest.mark.parametrize(
    ("formula", "bottoms"),
    [
        ("tanh(a) * b + w", [A, B]),
        ("where(a > b and w > 0, a, 0)", [A, B]),
        ("softmax(a) @ transpose(v) + sum(b, axis=1, keepdims=True)", [A, B]),
        ("max(a, axis=1) * mean(b, axis=-1)", [A, B]),
        ("reshape(a, (0, 2, -1)) * reshape(b, (-1, 2, 2))", [A, B]),
        ("transpose(a, axes=(0, 2, 1)) @ b", [(3, 4, 5), (3, 4, 2)]),
        ("v @ a", [(3, 4, 5)]),
        ("a * one", [(1, 4)]),
    ],
)
def test_a_formula_acts_row_by_row(formula: str, bottoms: Sequence[tuple[int, ...]]) -> None:
    assert rows_of(formula, bottoms)


@pytest.mark.parametrize(
    ("formula", "bottoms"),
    [
        ("a - mean(a)", [A]),
        ("sum(a, axis=0, keepdims=True) + b", [A, B]),
        ("softmax(a, axis=0)", [A]),
        ("transpose(a) @ b", [A, B]),
        ("a @ transpose(b)", [A, B]),
        ("v * 2 + w", [A]),
        ("w * a", [(4,)]),
        ("dot(w, a)", [(4, 3)]),
        ("a + b", [(3, 4), (5, 3, 4)]),
        ("a + v", [(2, 4)]),
        ("a * v", [(1, 4)]),
        ("reshape(a, (3, 2, 2))", [A]),
        ("reshape(a, (4, 3))", [A]),
        ("reshape(a, (2, 0, 2))", [(2, 2, 2)]),
        ("sum(a)", [()]),
    ],
)
def test_a_formula_mixes_rows(formula: str, bottoms: Sequence[tuple[int, ...]]) -> None:
    """Also where a length that it gives is the number of rows by chance, and where there is one row."""
    assert not rows_of(formula, bottoms)


def rows_of(formula: str, bottoms: Sequence[tuple[int, ...]]) -> bool:
    weights = {"w": {"shape": [4]}, "v": {"shape": [2, 4]}, "one": {"shape": [1, 1]}}
    params = {"expr": formula, "names": ["a", "b"][: len(bottoms)], "weights": weights}
    case = Case("Expression", "rows", bottoms, params, no_formula="only its rows are looked at")
    checks.check_by_rows(case)
    with prepare(case) as lone:
        return lone.plan.by_rows


# -- in loops ----------------------------------------------------------------------------------------------------------

SIGHTED = [
    {"name": "conv", "type": "Convolution", "bottom": "x", "num_output": 4, "kernel_size": 3, "weight_filler": SPREAD},
    {"name": "pool", "type": "Pooling", "kernel_size": 2, "stride": 1},
    {"name": "bn", "type": "BatchNorm", "use_global_stats": True, "scale_bias": True},
    {"name": "seen", "type": "Reduction", "axis": 2},
    {"name": "h_new", "type": "Expression", "bottom": ["seen", "h"], "expr": "tanh(seen + h)"},
    {"name": "norm", "type": "LayerNorm"},
    {"name": "bias", "type": "Bias", "filler": SPREAD},
    {
        "name": "y",
        "type": "Expression",
        "expr": "softmax(bias) @ w",
        "weights": {"w": {"shape": [4, 3], "filler": SPREAD}},
    },
]
IMAGES = np.random.default_rng(4).normal(size=(STEPS, ROWS, 2, 6, 5))


@pytest.mark.parametrize("engine", ["float64", "float32", "onednn"])
def test_a_body_of_many_kinds_of_layers_runs_all_steps_at_once_but_for_what_the_state_needs(engine: str) -> None:
    """It equals the same body in pieces of one step each, but for the gradient that goes through the state."""
    if engine == "onednn" and missing("onednn"):
        pytest.skip(str(missing("onednn")))
    settings = {"dtype": "float64"} if engine == "float64" else {"dtype": "float32"}
    settings["engine"] = "onednn" if engine == "onednn" else "numpy"
    states = {"h": {"next": "h_new", "shape": [4]}}
    nets = [
        net_of(simple(SIGHTED, outputs=["y"], states=states, truncate=steps), {"x": IMAGES.shape}, **settings)
        for steps in (1, STEPS)
    ]
    for net in nets:
        lent(nets[0], net, {name: name for name in net.params["rnn"].names})
        net.params["rnn"]["body/bn.variance"].data[...] = [0.5, 1, 1.5, 2]
        net.params["rnn"]["body/bn.scale_factor"].data[...] = 1
    (piece,) = nets[1].layers["rnn"].bodies["body"].pieces([STEPS])
    count = [node.name for node in piece.graph.nodes]
    assert {name: count.count(name) for name in ("conv", "pool", "bn", "seen", "h_new", "norm", "bias", "y")} == {
        **dict.fromkeys(("conv", "pool", "bn", "seen", "norm", "bias", "y"), 1), "h_new": STEPS,
    }  # fmt: skip
    apart, whole = (net.forward(x=IMAGES)["rnn"] for net in nets)
    allowed = 1e-12 if engine == "float64" else 2e-6
    np.testing.assert_allclose(whole, apart, atol=allowed)
    dy = np.random.default_rng(5).normal(size=whole.shape)
    for net in nets:
        net.backward(rnn=dy)
    for name in ("y.w", "bias.bias", "norm.scale", "norm.bias"):
        apart, whole = (net.params["rnn"][f"body/{name}"].diff for net in nets)
        np.testing.assert_allclose(whole, apart, atol=10 * allowed, err_msg=name)
    if engine == "float64":
        check_gradients(nets[1], {"x": IMAGES.copy()})


def test_every_type_that_acts_row_by_row_runs_once_in_a_body_and_gives_what_it_gives_step_by_step() -> None:
    done: set[str] = set()
    for case in CASES:
        if case.type not in done and case.bottoms:
            with prepare(case) as lone:
                if _could_run_once(lone):
                    _compare_with_steps(lone)
                    done.add(str(case.type))
    assert len(done) > 50


def _could_run_once(lone: Prepared) -> bool:
    heads = {blob.shape[:1] for blob in (*lone.bottom, *lone.top)}
    return lone.plan.by_rows and len(heads) == 1 and bool(lone.top) and min(heads) > (1,)


def _compare_with_steps(lone: Prepared) -> None:
    """A layer in the body of a loop, beside a state that it does not read, and alone in each step."""
    rng, steps, case = np.random.default_rng(0), 3, lone.case
    bottoms, tops = [f"x{i}" for i in range(len(lone.bottom))], [f"y{i}" for i in range(len(lone.top))]
    inner = {"name": "inner", "type": case.type, "bottom": bottoms, "top": tops, **case.params}
    state = {"name": "h_new", "type": "Power", "bottom": "h"}
    more = {"states": {"h": {"next": "h_new", "shape": [2]}}, "top": [f"all_{top}" for top in tops]}
    shapes = {name: (steps, *blob.shape) for name, blob in zip(bottoms, lone.bottom, strict=True)}
    net = net_of(simple([state, inner], bottom=bottoms, outputs=tops, **more), shapes, phase=case.phase)
    own = {name: net.params["rnn"][f"body/inner.{name}"] for name in lone.layer.weights.names}
    for name, blob in own.items():
        blob.data[...] = lone.layer.weights[name].data
    values = [np.stack([rng.permutation(blob.data) for _ in range(steps)]) for blob in lone.bottom]
    seeds = [rng.normal(size=(steps, *blob.shape)) for blob in lone.top]

    got = [array.copy() for array in net.forward(**dict(zip(bottoms, values, strict=True))).values()]
    piece = next(net.layers["rnn"].bodies["body"].pieces([2]))
    assert [node.name for node in piece.graph.nodes].count("inner") == 1, str(case)
    diffs = net.backward(**dict(zip(more["top"], seeds, strict=True))) if lone.requests else {}
    sums = {name: np.zeros(blob.shape) for name, blob in own.items() if name in lone.requests}

    def equal(found: np.ndarray, want: np.ndarray) -> None:
        np.testing.assert_allclose(found, want, rtol=1e-10, atol=1e-11, err_msg=str(case))

    for step in range(steps):
        for blob, value in zip(lone.bottom, values, strict=True):
            blob.data[...] = value[step]
        for blob, seed in zip(lone.top, seeds, strict=True):
            blob.diff[...] = seed[step]
        for found, want in zip(got, lone.forward().values(), strict=True):
            equal(found[step], want)
        if lone.requests:
            lone.backward(lone.requests)
        for request in lone.requests:
            if isinstance(request, str):
                sums[request] += lone.blob(request).diff
            else:
                equal(diffs[bottoms[request]][step], lone.blob(request).diff)
    for name, want in sums.items():
        equal(own[name].diff, want)
