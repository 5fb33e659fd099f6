"""Update rules: against PyTorch's recordings and plain loops, in chunks, on engines; clipping; wrong fields."""

from __future__ import annotations

import json
import math
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rule_tools import BIASES_APART, RULES, digits_run, feed, fields_of, spec, tiny

import layerkit as lk
from layerkit import engines
from layerkit.spec import load_run
from layerkit.updaters import UPDATERS

RECORDED = np.load(Path(__file__).parent / "torch_reference_rules" / "rules.npz")
NAMES = [name.removesuffix("/after") for name in RECORDED.files if name.endswith("/after")]


def test_every_rule_is_tested_here() -> None:
    assert list(RULES) == list(UPDATERS)
    rules = {json.loads(RECORDED[f"{name}/fields"].item())["type"] for name in NAMES}
    assert rules == set(UPDATERS) - {"Lion"}  # which PyTorch does not have


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_pytorch_to_the_last_digits(name: str) -> None:
    solver = tiny(**json.loads(RECORDED[f"{name}/fields"].item()))
    solver.net.flat.data[...] = RECORDED["weights"]
    steps = zip(RECORDED["gradients"], RECORDED[f"{name}/rates"], RECORDED[f"{name}/after"], strict=True)
    for step, (gradient, rate, wanted) in enumerate(steps):
        found = feed(solver, gradient, rate)
        if solver.average is not None:
            solver.average.take(step + 1)
            found = solver.average.values
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12, err_msg=f"step {step}")


def test_lion_is_the_papers_algorithm_in_plain_loops() -> None:
    solver = tiny(type="Lion", momentum=0.9, momentum2=0.8, weight_decay=0.1)
    weights = RECORDED["weights"].tolist()
    solver.net.flat.data[...] = weights
    means = [0.0] * 8
    for step, gradient in enumerate(RECORDED["gradients"]):
        rate = 0.1 * 0.8**step
        found = feed(solver, gradient, rate)
        for k, g in enumerate(gradient.tolist()):
            lr, decay = (rate, 0.1) if k < 6 else (2 * rate, 0.0)
            update = 0.9 * means[k] + 0.1 * g
            weights[k] -= lr * (math.copysign(1, update) + decay * weights[k])
            means[k] = 0.8 * means[k] + 0.2 * g
        np.testing.assert_allclose(found, weights, rtol=1e-12)
    np.testing.assert_allclose(solver.updater.history["mean"], means, rtol=1e-12)


def test_lion_does_not_move_where_nothing_pulls() -> None:
    solver = tiny(type="Lion", momentum=0.9)
    before = solver.net.flat.data.copy()
    np.testing.assert_array_equal(feed(solver, 0.0, 0.1), before)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_shows_in_the_weights(rule: str, value: float) -> None:
    solver = tiny(**fields_of(rule))
    gradient = np.full(8, 0.1)
    gradient[2] = value
    with np.errstate(all="ignore"):
        after = feed(solver, gradient, 0.1)
    assert np.flatnonzero(~np.isfinite(after)).tolist() == [2]


@pytest.mark.parametrize("rule", RULES)
def test_decay_is_coupled_or_not_as_the_rule_says(rule: str) -> None:
    """Without a gradient only decay moves: a decoupled one multiplies weights by 1 - lr decay, whatever they are."""
    solver = tiny(weight_decay=0.1, **fields_of(rule))
    before = solver.net.flat.data.copy()
    after = feed(solver, 0.0, 0.5)
    decoupled = np.allclose(after[:6], before[:6] * (1 - 0.5 * 0.1), rtol=1e-12)
    np.testing.assert_array_equal(after[6:], before[6:])  # decay_mult is 0
    assert decoupled == (rule in ("AdamW", "Lion") or rule == "SGD")  # SGD's first step is the same either way
    assert UPDATERS[rule].coupled == (rule not in ("AdamW", "Lion"))
    history = np.concatenate([array[:6] for array in solver.updater.history.values()])
    assert history.any() == UPDATERS[rule].coupled


@pytest.mark.parametrize("rule", RULES)
def test_frozen_weights_stay(rule: str) -> None:
    solver = tiny([{"lr_mult": 0}, {"lr_mult": 1}], weight_decay=0.1, **fields_of(rule))
    solver.net.blobs["y"].data[...] = 1
    before = [blob.data.copy() for blob in solver.net.params["fc"]]
    solver.step(2)
    np.testing.assert_array_equal(solver.net.params["fc"].weight.data, before[0])
    assert (solver.net.params["fc"].bias.data != before[1]).all()


@pytest.mark.parametrize("rule", RULES)
def test_weights_updated_in_small_chunks_are_the_same_bits(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {**fields_of(rule), "iter_size": 2, "clip_layer_norm": 0.5, "average": "ema"}
    whole = lk.Solver(digits_run(**fields))
    monkeypatch.setattr("layerkit.updaters.base.CHUNK", 2)
    monkeypatch.setattr(type(whole.net.engine), "blend_factor", 1)
    monkeypatch.setattr("layerkit.averaging.CHUNK", 7)
    parts = lk.Solver(digits_run(**fields))
    assert len(parts.updater._chunks) > 50 > len(whole.updater._chunks)
    whole.step(3)
    parts.step(3)
    np.testing.assert_array_equal(parts.net.flat.data, whole.net.flat.data)
    np.testing.assert_array_equal(parts.average.values, whole.average.values)


@pytest.mark.parametrize("rule", RULES)
def test_an_update_takes_no_memory(rule: str) -> None:
    layers = [
        {"name": "x", "type": "Input", "shape": [1, 500]},
        {"name": "fc", "type": "InnerProduct", "num_output": 500},
        {"name": "loss", "type": "EuclideanLoss", "bottom": ["fc", "x"]},
    ]
    fields = {**fields_of(rule), "weight_decay": 0.1, "clip_value": 1.0, "clip_layer_norm": 1.0, "iter_size": 2}
    solver = lk.Solver({"net": {"layers": layers}, "solver": {"max_iter": 1, "average": "swa", **fields}})
    solver.step(2)
    tracemalloc.start()
    solver.updater.update(0.1)
    solver.average.take(3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000  # the weights are 1 MB


@pytest.mark.skipif(engines.missing("onednn") is not None, reason="oneDNN (the extra `fast`) cannot run here")
@pytest.mark.parametrize("decay", [{}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "regularization_type": "L1"}])
@pytest.mark.parametrize("rule", ["SGD", "Nesterov", "Adam"])
def test_an_engine_moves_weights_as_numpy_does(rule: str, decay: dict[str, Any]) -> None:
    layers = [
        {"name": "x", "type": "Input", "shape": [2, 80]},
        {"name": "fc", "type": "InnerProduct", "num_output": 80, "weight_filler": "xavier", "param": BIASES_APART},
        {"name": "loss", "type": "EuclideanLoss", "bottom": ["fc", "x"]},
    ]
    run = {"net": {"layers": layers}, "solver": {"max_iter": 1, "iter_size": 2, **fields_of(rule), **decay}}
    fast, plain = (lk.Solver(run, engine=engine) for engine in ("onednn", "numpy"))
    rng = np.random.default_rng(0)
    for rate in (0.1, 0.03, 0.2):
        gradient = rng.uniform(-1, 1, 80 * 81)
        found, wanted = feed(fast, gradient, rate), feed(plain, gradient, rate)
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


# -- clipping ----------------------------------------------------------------------------------------------------


def two_layers(**fields: Any) -> lk.Solver:
    """A solver over two layers of 6 and 2, and of 4 and 2, weights and biases, that moves by the gradient itself."""
    layers = [
        {"name": "x", "type": "Input", "shape": [4, 3]},
        {"name": "a", "type": "InnerProduct", "bottom": "x", "num_output": 2},
        {"name": "b", "type": "InnerProduct", "num_output": 2},
        {"name": "y", "type": "Input", "shape": [4, 2]},
        {"name": "loss", "type": "EuclideanLoss", "bottom": ["b", "y"]},
    ]
    return lk.Solver({"net": {"layers": layers}, "solver": {"base_lr": 1.0, "max_iter": 1, **fields}}, dtype="float64")


GRADIENT = np.array([3.0, -0.1, 0.2, 0.4, -5.0, 0.3, 1.0, -2.0, 0.01, 0.02, -0.03, 0.01, 0.02, 0.0])


def by_value(g: Any) -> Any:
    return np.array([min(max(x, -0.5), 0.5) for x in g])


def by_layer(g: Any) -> Any:
    parts = g[:8], g[8:]
    return np.concatenate([part * min(1, 0.7 / math.sqrt(sum(x * x for x in part))) for part in parts])


def by_all(g: Any) -> Any:
    return g * min(1, 0.6 / math.sqrt(sum(x * x for x in g)))


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"clip_value": 0.5}, by_value(GRADIENT)),
        ({"clip_layer_norm": 0.7}, by_layer(GRADIENT)),
        ({"clip_gradients": 0.6}, by_all(GRADIENT)),
        (
            {"clip_gradients": 0.6, "clip_layer_norm": 0.7, "clip_value": 0.5},
            by_all(by_layer(by_value(GRADIENT))),
        ),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_clipping_in_the_order_that_is_said(fields: dict[str, float], wanted: Any) -> None:
    np.testing.assert_allclose(-feed(two_layers(**fields), GRADIENT, 1.0), wanted, rtol=1e-12)


@pytest.mark.parametrize("fields", [{"clip_value": 0.5}, {"clip_layer_norm": 0.7}])
def test_beyond_caffe_clipping_bounds_the_mean_over_iter_size(fields: dict[str, float]) -> None:
    once, twice = two_layers(**fields), two_layers(**fields, iter_size=2)
    np.testing.assert_allclose(feed(twice, 2 * GRADIENT, 1.0), feed(once, GRADIENT, 1.0), rtol=1e-12)


def test_clipping_comes_before_decay() -> None:
    solver = two_layers(clip_value=1e-6, weight_decay=0.1)
    solver.net.flat.data[...] = 1
    np.testing.assert_allclose(feed(solver, 0.0, 1.0), 0.9)


# -- fields ------------------------------------------------------------------------------------------------------

DEFAULTS = {
    "SGD": {"momentum": 0.0},
    "Nesterov": {"momentum": 0.0},
    "AdaGrad": {"delta": 1e-8},
    "RMSProp": {"rms_decay": 0.99, "delta": 1e-8},
    "AdaDelta": {"momentum": 0.5, "delta": 1e-8},
    "Adam": {"momentum": 0.5, "momentum2": 0.999, "delta": 1e-8},
    "AMSGrad": {"momentum": 0.5, "momentum2": 0.999, "delta": 1e-8},
    "AdamW": {"momentum": 0.5, "momentum2": 0.999, "delta": 1e-8},
    "Lion": {"momentum": 0.5, "momentum2": 0.99},
}
NEED_MOMENTUM = ("AdaDelta", "Adam", "AMSGrad", "AdamW", "Lion")


@pytest.mark.parametrize("rule", DEFAULTS)
def test_what_is_left_out_is_caffes_or_the_papers(rule: str) -> None:
    said = {"momentum": 0.5} if rule in NEED_MOMENTUM else {}
    assert spec(type=rule, **said).rule == DEFAULTS[rule]
    assert spec(type=rule.upper(), **said).type == rule


def sentence(**fields: Any) -> str:
    """The one sentence about a solver that is refused."""
    lines = [f"  {key}: {json.dumps(value)}" for key, value in {"base_lr": 0.1, "max_iter": 5, **fields}.items()]
    text = "net: {layers: [{name: x, type: Input, shape: [1, 2]}]}\nsolver:\n" + "\n".join(lines)
    with pytest.raises(lk.ConfigError) as error:
        load_run(text)
    assert "\n" not in str(error.value), str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["momentum", "momentum2", "rms_decay", "delta"])
@pytest.mark.parametrize("rule", DEFAULTS)
def test_a_number_that_a_rule_does_not_use_is_refused(rule: str, name: str) -> None:
    said = {"momentum": 0.5} if rule in NEED_MOMENTUM else {}
    if name in DEFAULTS[rule]:
        assert spec(type=rule, **{**said, name: 0.25}).rule[name] == 0.25
    else:
        text = sentence(type=rule, **said, **{name: 0.25})
        column = len(name) + 5
        line = 6 + len(said)
        assert text == (
            f"{line}:{column}: solver: {name}: {rule} does not use it; leave it out, or choose another type"
        )


@pytest.mark.parametrize("rule", NEED_MOMENTUM)
def test_momentum_must_be_said_where_0_is_hardly_ever_meant(rule: str) -> None:
    usual = 0.95 if rule == "AdaDelta" else 0.9
    assert sentence(type=rule).endswith(f"solver: {rule} needs momentum, usually {usual}")
    assert spec(type=rule, momentum=0).rule["momentum"] == 0


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"type": "AdamW", "momentum": 0.9, "regularization_type": "L2"},
         "solver: regularization_type: AdamW takes decay from the weights, not by the gradient; leave it out"),
        ({"type": "Adem"}, "; did you mean 'Adam'?"),
        ({"momentun": 0.9}, "unknown field 'momentun'; did you mean 'momentum'?"),
        ({"type": "Adam", "momentum": 1.0}, "momentum must be less than 1, not 1.0"),
        ({"clip_valeu": 1}, "unknown field 'clip_valeu'; did you mean 'clip_value'?"),
        ({"clip_layer_norm": 0}, "clip_layer_norm must be greater than 0, not 0"),
        ({"average": {"type": "swa", "decay": 0.9}}, "average.decay: swa weighs all alike and does not use it"),
        ({"average": {"type": "ema", "evry": 2}}, "unknown field 'evry'; did you mean 'every'?"),
        ({"average": "emma"}, "did you mean 'ema'?"),
        ({"average": {"type": "ema", "decay": 1}}, "average.decay must be less than 1, not 1"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_does_not_fit_is_one_sentence(fields: dict[str, Any], part: str) -> None:
    assert part in sentence(**fields)
