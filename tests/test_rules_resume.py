"""Interrupted and resumed equals uninterrupted, bit for bit, over all update rules, policies and averages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rule_tools import RULES, digits_run, fields_of
from test_resume import assert_same, course, everything

import layerkit as lk
from layerkit import arrayfile
from layerkit.policies import POLICIES
from layerkit.updaters import UPDATERS

POLICY_FIELDS: dict[str, dict[str, Any]] = {
    "fixed": {"warmup_iter": 7},
    "step": {"gamma": 0.5, "stepsize": 4},
    "exp": {"gamma": 0.9},
    "inv": {"gamma": 0.1, "power": 0.75},
    "multistep": {"gamma": 0.5, "stepvalue": [4, 6]},
    "poly": {"power": 2.0},
    "sigmoid": {"gamma": 0.5, "stepsize": 6},
    "cosine": {"restart_iter": 3, "restart_mult": 2},
    "one_cycle": {},
    "table": {"lr_table": [[0, 0.1], [5, 1.0], [12, 0.0]]},
    "plateau": {"gamma": 0.5, "plateau": {"metric": "accuracy", "mode": "max", "patience": 2, "min_delta": 0.2}},
}
AVERAGES = [None, "ema", {"type": "swa", "start": 4, "every": 2}, {"type": "ema", "decay": 0.5, "start": 9}]


def cases() -> list[dict[str, Any]]:
    """Every rule, policy and average, combined as they fall."""
    policies = list(POLICY_FIELDS.items())
    rows = []
    for k in range(max(len(RULES), len(policies))):
        policy, fields = policies[k % len(policies)]
        average = AVERAGES[k % len(AVERAGES)]
        rule = fields_of(list(RULES)[k % len(RULES)])
        rows.append({**rule, "lr_policy": policy, **fields, **({} if average is None else {"average": average})})
    return rows


def name_of(fields: dict[str, Any]) -> str:
    average = fields.get("average", {})
    return f"{fields['type']}-{fields['lr_policy']}-{average if isinstance(average, str) else average.get('type', '')}"


def memory(solver: lk.Solver) -> dict[str, Any]:
    """All that must be the same, the averages and what plateau remembers with the rest."""
    average = solver.average.values.copy() if solver.average is not None and solver.average.count[0] else None
    return {
        **everything(solver),
        "average": average,
        "plateau": solver._plateau and solver._plateau.state,
        "lr": solver.lr,
    }


def test_every_rule_and_policy_is_resumed_here() -> None:
    assert list(POLICY_FIELDS) == list(POLICIES)
    assert {each["type"] for each in cases()} == set(UPDATERS)
    assert {each["lr_policy"] for each in cases()} == set(POLICIES)


@pytest.mark.parametrize("fields", cases(), ids=name_of)
def test_resumed_from_every_snapshot_equals_uninterrupted(tmp_path: Path, fields: dict[str, Any]) -> None:
    run = digits_run(iter_size=2, clip_layer_norm=2.0, snapshot=1, test_interval=3, **fields)
    whole = lk.Solver(run, folder=tmp_path / "whole")
    outputs = whole.solve()
    wanted, log = memory(whole), course(tmp_path / "whole")
    for k in (1, 3, 4, 6, 10):  # before and after tests, and before and after there is an average
        folder = tmp_path / f"from{k}"
        shutil.copytree(tmp_path / "whole", folder)
        solver = lk.Solver(run, folder=folder)
        assert solver.restore(folder / f"iter_{k}.state.safetensors") == []
        assert solver.solve() == outputs
        assert_same(memory(solver), wanted)
        assert course(folder) == log
        for path in (folder / "iter_12.safetensors", folder / f"iter_{k}.safetensors"):
            assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes()
        assert_same(arrayfile.load(folder / "iter_12.state.safetensors")[0],
                    arrayfile.load(tmp_path / "whole" / "iter_12.state.safetensors")[0])  # fmt: skip


def test_another_rule_starts_its_history_and_its_count_afresh(tmp_path: Path) -> None:
    lk.Solver(digits_run(momentum=0.9), folder=tmp_path).solve()
    solver = lk.Solver(digits_run(**fields_of("Adam")))
    solver.step(2)
    notes = solver.restore(tmp_path / "iter_12.state.safetensors")
    assert "history.count: not in the state, so it starts afresh" in notes
    assert "history.mean.fc1.weight: not in the state, so it starts afresh" in notes
    assert solver.updater.count[0] == 0
    before = solver.net.flat.values.copy()
    solver.step()
    step = np.abs(solver.net.flat.values - before)[: 8 * 64]
    assert step.max() == pytest.approx(0.01, rel=1e-3)  # Adam's first step is lr, with the count of a first step


def test_what_plateau_remembers_must_be_sound(tmp_path: Path) -> None:
    run = digits_run(lr_policy="plateau", **POLICY_FIELDS["plateau"])
    lk.Solver(run, folder=tmp_path).solve()
    state = tmp_path / "iter_12.state.safetensors"
    arrays, notes = arrayfile.load(state)
    about = json.loads(notes["layerkit"])
    assert set(about["plateau"]) == {"best", "bad", "factor"}
    about["plateau"]["factor"] = "half"
    arrayfile.save(state, arrays, {"layerkit": json.dumps(about)})
    with pytest.raises(lk.SnapshotError, match=r"the snapshot's metadata cannot be used: plateau\.factor"):
        lk.Solver(run).restore(state)
