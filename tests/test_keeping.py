"""The best and the last weights that are kept, and max_time: by themselves and over resumes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rule_tools import digits_run
from test_early_stopping import falling, scores
from test_resume import assert_same, course, everything

import layerkit as lk
from layerkit import arrayfile, events, snapshot
from layerkit.evaluation import evaluate

# -- what is kept ------------------------------------------------------------------------------------------------


def test_keep_best_keeps_the_weights_of_the_best_test_so_far(tmp_path: Path) -> None:
    solver = lk.Solver(digits_run(keep_best="loss", max_iter=12, test_interval=3), folder=tmp_path)
    found: list[tuple[int, int]] = []

    def listen(event: dict[str, Any]) -> None:
        if event["event"] == "best":
            kept = arrayfile.load(tmp_path / event["weights"])[0]
            np.testing.assert_array_equal(kept["fc1.weight"], solver.net.params["fc1"].weight.data)
            found.append((event["iter"], event["at"]))

    solver.events.listen(listen)
    solver.solve()
    losses = {k: outputs["loss"] for k, outputs in scores(tmp_path).items()}
    wanted = [k for k in losses if all(losses[k] < losses[j] for j in losses if j < k)]
    assert found == [(k, k) for k in wanted]
    assert solver.best.early is None
    snapped = arrayfile.load(tmp_path / "iter_12.safetensors")[0]
    np.testing.assert_array_equal(solver.net.params["fc1"].weight.data, snapped["fc1.weight"])  # nothing was restored


def test_keep_best_keeps_the_averaged_weights_that_were_tested(tmp_path: Path) -> None:
    run = digits_run(keep_best=True, average={"type": "ema", "decay": 0.5}, max_iter=6, test_interval=2)
    lk.Solver(run, folder=tmp_path).solve()
    info = snapshot.read_weights_info(tmp_path / "best.safetensors")
    value = max(outputs["accuracy"] for outputs in scores(tmp_path).values())
    net = lk.Net(run, "test", weights=tmp_path / "best.safetensors")
    assert info.averaged == info.iteration
    assert evaluate(net).outputs["accuracy"] == value


def test_keep_last_removes_older_snapshots_of_this_run_once_a_newer_one_is_there(tmp_path: Path) -> None:
    (tmp_path / "iter_1.state.safetensors").write_bytes(b"not of this run")
    solver = lk.Solver(digits_run(keep_last=2, snapshot=2, max_iter=10), folder=tmp_path)
    held: list[list[int]] = []
    solver.events.listen(lambda event: held.append(numbers(tmp_path)) if event["event"] == "snapshot" else None)
    solver.solve()
    assert held == [[], [2], [2, 4], [4, 6], [6, 8]]  # the event comes before the state, and so before the removal
    assert numbers(tmp_path) == [8, 10]
    assert (tmp_path / "iter_1.state.safetensors").exists()
    assert not (tmp_path / "iter_6.safetensors").exists()
    assert snapshot.newest_state(tmp_path) == tmp_path / "iter_10.state.safetensors"


def numbers(folder: Path) -> list[int]:
    """The iterations of the snapshots of which both files are there."""
    names = [path.name.removesuffix(".state.safetensors") for path in folder.glob("iter_*.state.safetensors")]
    return sorted(int(name[5:]) for name in names if (folder / f"{name}.safetensors").exists())


def test_keep_last_never_removes_the_snapshot_of_the_best_test(tmp_path: Path) -> None:
    solver = lk.Solver(falling(snapshot=2, keep_last=1), folder=tmp_path)
    solver.solve()
    assert numbers(tmp_path) == [solver.best.state.iteration, solver.iteration]


def test_a_snapshot_that_fails_removes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    solver = lk.Solver(digits_run(keep_last=1, snapshot=2, max_iter=4), folder=tmp_path)
    solver.step(2)

    def full(*args: Any, **fields: Any) -> None:
        raise lk.SnapshotError("the disk is full")

    monkeypatch.setattr(snapshot, "save_state", full)
    with pytest.raises(lk.SnapshotError, match="the disk is full"):
        solver.step(2)
    assert snapshot.newest_state(tmp_path) == tmp_path / "iter_2.state.safetensors"


def test_a_snapshot_by_hand_removes_none(tmp_path: Path) -> None:
    solver = lk.Solver(digits_run(keep_last=1), folder=tmp_path)
    solver.snapshot()
    solver.step(1)
    solver.snapshot(tmp_path / "mine")
    assert numbers(tmp_path) == [0]


# -- max_time ----------------------------------------------------------------------------------------------------


class Clock:
    """A clock that goes on by a second whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def test_max_time_ends_a_run_with_a_snapshot_from_which_it_goes_on(tmp_path: Path) -> None:
    whole = lk.Solver(digits_run(), folder=tmp_path / "whole")
    whole.solve()
    rounds = []
    for _ in range(9):
        solver = lk.Solver(digits_run(max_time="9s"), folder=tmp_path / "parts")
        solver.limit.clock = Clock()
        state = snapshot.newest_state(tmp_path / "parts")
        if state is not None:
            solver.restore(state)
        begun = solver.iteration
        solver.solve()
        rounds.append((begun, solver.iteration, solver.reason))
        if solver.reason == "finished":
            break
        state = tmp_path / "parts" / f"iter_{solver.iteration}.state.safetensors"
        assert snapshot.newest_state(tmp_path / "parts") == state
        assert events.read(tmp_path / "parts" / "events.jsonl")[-1]["reason"] == "max_time"
    assert len(rounds) > 2
    assert rounds[-1][2] == "finished"
    assert all(one[1] == other[0] for one, other in pairwise(rounds))
    assert_same(everything(solver), everything(whole))
    assert course(tmp_path / "parts") == course(tmp_path / "whole")


def test_max_time_cuts_a_test_short() -> None:
    solver = lk.Solver(digits_run(max_time=2.5, test_iter=50))
    solver.limit.clock = Clock()
    seen: list[str] = []
    solver.events.listen(lambda event: seen.append(event["event"]))
    assert solver.solve() == {}
    assert (seen, solver.iteration, solver.reason) == (["start", "stop"], 0, "max_time")


def test_ctrl_c_is_told_from_max_time(tmp_path: Path) -> None:
    solver = lk.Solver(digits_run(max_time="1h"), folder=tmp_path)
    solver.events.listen(lambda event: setattr(solver, "stopping", event["event"] == "display" or solver.stopping))
    solver.solve()
    assert (solver.reason, solver.iteration) == ("interrupted", 1)
