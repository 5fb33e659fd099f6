"""Learning-rate policies: tables of values written out, PyTorch's schedulers, and plateau's memory.

Caffe's seven are held against Caffe itself in test_solver_recorded.py.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rule_tools import digits_run, spec
from test_rules import sentence

import layerkit as lk
from layerkit.policies import POLICIES, Plateau, learning_rate
from layerkit.spec import SolverSpec

RECORDED = np.load(Path(__file__).parent / "torch_reference_rules" / "rules.npz")
ROOT = math.sqrt(0.5)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, {0: 0.5, 9: 0.5}),
        ({"lr_policy": "step", "gamma": 0.1, "stepsize": 4}, {0: 0.5, 3: 0.5, 4: 0.05, 7: 0.05, 8: 0.005}),
        ({"lr_policy": "exp", "gamma": 0.9}, {0: 0.5, 1: 0.45, 10: 0.5 * 0.9**10}),
        ({"lr_policy": "inv", "gamma": 0.1, "power": 0.75}, {0: 0.5, 10: 0.5 * 2**-0.75}),
        (
            {"lr_policy": "multistep", "gamma": 0.1, "stepvalue": [3, 5]},
            {0: 0.5, 2: 0.5, 3: 0.05, 4: 0.05, 5: 0.005, 99: 0.005},
        ),
        ({"lr_policy": "poly", "power": 2.0}, {0: 0.5, 5: 0.125, 9: 0.005, 10: 0.0, 11: 0.0}),
        (
            {"lr_policy": "sigmoid", "gamma": 0.7, "stepsize": 5},
            {0: 0.5 / (1 + math.exp(3.5)), 5: 0.25, 6: 0.5 / (1 + math.exp(-0.7)), 10**6: 0.5},
        ),
    ],
    ids=lambda value: value.get("lr_policy", "") if isinstance(value, dict) else "",
)
def test_policies_are_caffes_at_every_boundary(fields: dict[str, Any], wanted: dict[int, float]) -> None:
    for iteration, rate in wanted.items():
        assert learning_rate(spec(**fields), iteration) == pytest.approx(rate, rel=1e-12), iteration


@pytest.mark.parametrize(
    ("fields", "iteration"),
    [
        ({"lr_policy": "exp", "gamma": 10.0}, 10**6),
        ({"lr_policy": "poly", "power": -1.0}, 10),
        ({"lr_policy": "sigmoid", "gamma": 1e6, "stepsize": 5}, 0),
    ],
)
def test_a_rate_that_leaves_the_doubles_raises_nothing(fields: dict[str, Any], iteration: int) -> None:
    rate = learning_rate(spec(**fields), iteration)
    assert rate == math.inf or rate < 1e-300


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"lr_policy": "cosine"}, {0: 0.5, 5: 0.25, 10: 0.0, 11: 0.0}),
        ({"lr_policy": "cosine", "end_factor": 0.2, "max_iter": 8},
         {0: 0.5, 2: 0.1 + 0.2 * (1 + ROOT), 4: 0.3, 6: 0.1 + 0.2 * (1 - ROOT), 8: 0.1, 99: 0.1}),
        ({"lr_policy": "cosine", "restart_iter": 4},
         {0: 0.5, 1: 0.25 * (1 + ROOT), 2: 0.25, 3: 0.25 * (1 - ROOT), 4: 0.5, 6: 0.25, 8: 0.5, 10**9 + 2: 0.25}),
        ({"lr_policy": "cosine", "restart_iter": 2, "restart_mult": 3, "end_factor": 0.5},
         {0: 0.5, 1: 0.375, 2: 0.5, 5: 0.375, 8: 0.5, 17: 0.375, 26: 0.5}),
        ({"lr_policy": "one_cycle", "max_iter": 20},
         {0: 0.02, 3: 0.26, 6: 0.5, 13: 0.25, 20: 0.0, 21: 0.0}),
        ({"lr_policy": "one_cycle", "max_iter": 10, "peak": 0.4, "start_factor": 0.2, "end_factor": 0.1},
         {0: 0.1, 1: 0.3 - 0.2 * ROOT, 2: 0.3, 4: 0.5, 7: 0.275, 10: 0.05}),
        ({"lr_policy": "table", "lr_table": [[2, 1.0], [6, 0.2], [8, 0.2]]},
         {0: 0.5, 2: 0.5, 3: 0.4, 4: 0.3, 5: 0.2, 6: 0.1, 7: 0.1, 8: 0.1, 99: 0.1}),
        ({"lr_policy": "table", "lr_table": [[0, 0], [4, 1], [4, 0.5], [8, 0.5], [8, 0.1]]},  # with jumps
         {0: 0.0, 2: 0.25, 3: 0.375, 4: 0.25, 7: 0.25, 8: 0.05, 9: 0.05}),
        ({"lr_policy": "table", "lr_table": [[3, 0.5]]}, {0: 0.25, 3: 0.25, 9: 0.25}),
        ({"warmup_iter": 5}, {0: 0.0, 1: 0.1, 4: 0.4, 5: 0.5, 6: 0.5}),
        ({"warmup_iter": 4, "warmup_start": 0.2}, {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4, 4: 0.5}),
        ({"warmup_iter": 4, "lr_policy": "step", "gamma": 0.1, "stepsize": 3},  # the policy counts from the beginning
         {0: 0.0, 1: 0.125, 2: 0.25, 3: 0.0375, 4: 0.05, 5: 0.05, 6: 0.005}),
        ({"warmup_iter": 2, "lr_policy": "cosine"}, {0: 0.0, 1: 0.125 * (1 + math.cos(math.pi / 10)), 5: 0.25}),
        ({"warmup_iter": 2, "lr_policy": "plateau", "gamma": 0.5, "test_interval": 1,
          "plateau": {"metric": "loss", "mode": "min", "patience": 1}}, {0: 0.0, 1: 0.25, 2: 0.5, 9: 0.5}),
    ],
    ids=lambda value: ",".join(map(str, value.values())) if isinstance(value, dict) and 0 not in value else "",
)  # fmt: skip
def test_rates_are_those_written_out(fields: dict[str, Any], wanted: dict[int, float]) -> None:
    for iteration, rate in wanted.items():
        assert learning_rate(spec(**fields), iteration) == pytest.approx(rate, rel=1e-12, abs=1e-15), iteration


@pytest.mark.parametrize("name", ["cosine", "restarts", "warmup"])
def test_rates_are_pytorchs(name: str) -> None:
    about = spec(**json.loads(RECORDED[f"{name}/fields"].item()))
    found = [learning_rate(about, iteration) for iteration in range(len(RECORDED[f"{name}/rates"]))]
    np.testing.assert_allclose(found, RECORDED[f"{name}/rates"], rtol=1e-9, atol=1e-12)


def test_a_warm_up_can_stand_in_front_of_every_policy() -> None:
    needs = {
        "gamma": 0.5, "power": 1.0, "stepsize": 3, "stepvalue": [3], "lr_table": [[0, 1.0]], "test_interval": 1,
        "plateau": {"metric": "loss", "mode": "min", "patience": 1},
    }  # fmt: skip
    for policy in POLICIES:
        fields = {k: v for k, v in needs.items() if k not in ("lr_table", "plateau") or policy == k.removeprefix("lr_")}
        plain, warm = (spec(lr_policy=policy, **fields, **more) for more in ({}, {"warmup_iter": 4}))
        found = [learning_rate(warm, k) for k in range(8)]
        wanted = [learning_rate(plain, k) * min(k / 4, 1) for k in range(8)]
        np.testing.assert_allclose(found, wanted, rtol=1e-12, err_msg=policy)


# -- plateau -----------------------------------------------------------------------------------------------------


def plateau(**fields: Any) -> Plateau:
    about = {"metric": "m", "mode": "max", "patience": 2, **fields}
    return Plateau(spec(lr_policy="plateau", gamma=0.5, test_interval=1, plateau=about))


def test_the_rate_falls_after_patience_tests_without_an_improvement() -> None:
    policy = plateau(min_delta=0.125)
    course = [
        (0.5, 1),
        (0.625, 1),
        (0.75, 1),
        (0.8, 1),
        (0.875, 0.5),
        (0.875, 0.5),
        (0.9, 0.5),
        (1.0, 0.5),
        (1.01, 0.25),
    ]
    for value, factor in course:
        policy.see({"m": value, "other": 0.0})
        assert policy.state.factor == factor, value
    assert policy.state.best == 0.9


def test_lower_is_better_in_mode_min_and_nan_never_is() -> None:
    policy = plateau(mode="min", patience=1)
    for value, factor in [
        (math.nan, 0.5),
        (3.0, 0.5),
        (3.0, 0.25),
        (2.0, 0.25),
        (math.nan, 0.125),
        (-math.inf, 0.0625),
    ]:
        policy.see({"m": value})
        assert policy.state.factor == factor, value
    assert policy.state.best == 2.0


def test_plateau_is_pytorchs() -> None:
    policy = Plateau(SolverSpec(base_lr=0.5, **json.loads(RECORDED["plateau/fields"].item())))
    found = []
    for value in RECORDED["plateau/metric"].tolist():
        policy.see({"loss": value})
        found.append(0.5 * policy.state.factor)
    np.testing.assert_allclose(found, RECORDED["plateau/rates"], rtol=1e-12)


def on_plateau(**fields: Any) -> dict[str, Any]:
    about = {"metric": "loss", "mode": "min", "patience": 1, "min_delta": 1e3, **fields}  # nothing improves by that
    return digits_run(lr_policy="plateau", gamma=0.5, plateau=about, test_interval=2, max_iter=6)


def test_tests_that_fall_due_drive_the_rate_and_no_others() -> None:
    solver = lk.Solver(on_plateau())
    rates: list[float] = []
    solver.events.listen(lambda event: rates.append(event["lr"]) if event["event"] == "display" else None)
    solver.test()
    solver.solve()
    assert rates == [0.05, 0.05, 0.025, 0.025, 0.0125, 0.0125]
    assert solver.lr == 0.0125  # the test at the end is none that falls due


def test_a_metric_that_is_no_output_of_the_tests_is_refused_before_training() -> None:
    with pytest.raises(lk.UnknownNameError) as error:
        lk.Solver(on_plateau(metric="acuracy"))
    assert str(error.value) == "there is no output of the test net (of one number) 'acuracy'; did you mean 'accuracy'?"


# -- fields ------------------------------------------------------------------------------------------------------

PLATEAU = {"metric": "loss", "mode": "min", "patience": 1}


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"lr_policy": "table"}, "lr_policy: table needs lr_table"),
        ({"lr_policy": "plateau", "test_interval": 5}, "lr_policy: plateau needs gamma and plateau"),
        ({"lr_policy": "plateau", "gamma": 0.1, "plateau": PLATEAU},
         "solver: the policy plateau needs a test_interval above 0, since tests decide"),
        ({"lr_policy": "plateau", "gamma": 1.0, "plateau": PLATEAU, "test_interval": 5},
         "plateau needs a gamma below 1"),
        ({"lr_policy": "plateau", "gamma": 0.1, "plateau": {**PLATEAU, "patiense": 1}, "test_interval": 5},
         "unknown field 'patiense'; did you mean 'patience'?"),
        ({"lr_policy": "plateau", "gamma": 0.1, "plateau": {**PLATEAU, "mode": "mim"}, "test_interval": 5},
         "plateau.mode must be one of min, max, not 'mim'; did you mean 'min'?"),
        ({"lr_policy": "cosine", "restart_mult": 2}, "restart_mult: it needs restart_iter"),
        ({"lr_policy": "step", "gamma": 0.1, "stepsize": 2, "restart_iter": 3},
         "lr_policy: step does not use restart_iter, which is for cosine"),
        ({"end_factor": 0.1}, "fixed does not use end_factor, which is for one_cycle and cosine"),
        ({"lr_policy": "one_cycle", "lr_table": [[0, 1]]}, "one_cycle does not use lr_table, which is for table"),
        ({"lr_policy": "cosin"}, "; did you mean 'cosine'?"),
        ({"lr_policy": "one_cycle", "peak": 1}, "peak must be less than 1, not 1"),
        ({"warmup_start": 0.1}, "warmup_start: without warmup_iter it is not used"),
        ({"warmup_iter": -1}, "warmup_iter must be at least 0, not -1"),
        ({"lr_policy": "table", "lr_table": []}, "lr_table must not be empty"),
        ({"lr_policy": "table", "lr_table": [[0, 1], [5]]}, "lr_table must be pairs [iteration, factor]"),
        ({"lr_policy": "table", "lr_table": [[0.5, 1]]}, "lr_table must be pairs [iteration, factor]"),
        ({"lr_policy": "table", "lr_table": [[0, -1]]}, "lr_table must be pairs [iteration, factor]"),
        ({"lr_policy": "table", "lr_table": [[5, 1], [4, 1]]}, "lr_table must be in the order of the iterations"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_does_not_fit_is_one_sentence(fields: dict[str, Any], part: str) -> None:
    assert part in sentence(**fields)
