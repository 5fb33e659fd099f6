"""Solver: what falls due when, tests, divergence, and what cannot be trained."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from solver_tools import NET, digits, tiny

import layerkit as lk
from layerkit import events

# -- what falls due ----------------------------------------------------------------------------------------------


def happenings(solver: lk.Solver) -> list[tuple[str, int]]:
    seen: list[tuple[str, int]] = []
    solver.events.listen(lambda event: seen.append((event["event"], event["iter"])))
    solver.solve()
    return seen


def test_tests_displays_and_snapshots_fall_due_as_in_caffe(tmp_path: Path) -> None:
    seen = happenings(digits(tmp_path, max_iter=7, display=3, test_interval=2, snapshot=4))
    assert seen == [
        ("start", 0),
        ("test", 0), ("display", 0),
        ("test", 2),
        ("display", 3),
        ("snapshot", 4), ("test", 4),
        ("test", 6), ("display", 6),
        ("snapshot", 7), ("test", 7),
        ("stop", 7),
    ]  # fmt: skip
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"events.jsonl"} | {f"iter_{k}{s}.safetensors" for k in (4, 7) for s in ("", ".state")}


def test_a_snapshot_that_fell_due_at_the_end_is_not_written_twice(tmp_path: Path) -> None:
    seen = happenings(digits(tmp_path, max_iter=4, snapshot=2))
    assert [each for each in seen if each[0] == "snapshot"] == [("snapshot", 2), ("snapshot", 4)]
    later = tmp_path / "later"
    seen = happenings(digits(later, max_iter=4, snapshot=3, snapshot_after_train=False))
    assert [each for each in seen if each[0] == "snapshot"] == [("snapshot", 3)]


def test_test_initialization_can_be_left_out_and_without_an_interval_there_is_one_test_at_the_end() -> None:
    tests = [
        k for kind, k in happenings(digits(max_iter=4, test_interval=2, test_initialization=False)) if kind == "test"
    ]
    assert tests == [2, 4]
    assert [k for kind, k in happenings(digits(max_iter=4)) if kind == "test"] == [4]


def test_a_run_that_says_nothing_of_tests_has_no_test_net() -> None:
    solver = tiny()
    assert solver.test_net is None
    assert solver.solve() == {}
    with pytest.raises(lk.UsageError, match="there is no test net"):
        solver.test()


def test_nothing_is_written_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    solver = digits(snapshot=2)
    solver.solve()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(lk.UsageError, match="nowhere to snapshot to"):
        solver.snapshot()


def test_stopping_ends_after_the_update_in_hand_with_a_snapshot(tmp_path: Path) -> None:
    solver = digits(tmp_path, max_iter=100, display=5)

    def stop(event: dict[str, Any]) -> None:
        solver.stopping = solver.stopping or (event["event"] == "display" and event["iter"] == 5)

    solver.events.listen(stop)
    assert solver.solve() == {}
    assert solver.iteration == 6
    log = events.read(tmp_path / "events.jsonl")
    assert [(each["event"], each["iter"]) for each in log[-2:]] == [("snapshot", 6), ("stop", 6)]
    assert log[-1]["reason"] == "interrupted"
    assert (tmp_path / "iter_6.state.safetensors").exists()


def test_step_returns_the_loss_and_solve_goes_on_from_there() -> None:
    solver = digits(max_iter=6)
    first = solver.step()
    assert first == pytest.approx(solver.net.loss)
    solver.step(2)
    assert solver.iteration == 3
    solver.solve()
    assert solver.iteration == 6
    assert solver.net.layers["digits"].state.consumed[0] == 6 * 16


# -- tests -------------------------------------------------------------------------------------------------------


def test_test_iter_counts_batches_from_the_beginning() -> None:
    solver = digits(test_iter=2)
    seen: list[Any] = []
    solver.events.listen(seen.append)
    first = solver.test()
    assert solver.test() == first
    assert [each["samples"] for each in seen] == [200, 200]


def test_a_test_does_not_disturb_training() -> None:
    tested, plain = digits(test_interval=1), digits()
    tested.step(5)
    plain.step(5)
    np.testing.assert_array_equal(tested.net.flat.data, plain.net.flat.data)


def test_the_test_net_reads_the_weights_that_are_trained() -> None:
    solver = digits(max_iter=60)
    before = solver.test()
    after = solver.solve()
    assert after["accuracy"] > before["accuracy"] + 0.3
    assert after["loss"] < before["loss"]


# -- the record --------------------------------------------------------------------------------------------------


def test_the_displayed_loss_is_a_mean_over_average_loss_iterations() -> None:
    averaged, plain = digits(average_loss=3, display=1), digits(display=1)
    losses: list[float] = []
    means: list[float] = []
    plain.events.listen(lambda event: losses.append(event["loss"]) if event["event"] == "display" else None)
    averaged.events.listen(lambda event: means.append(event["loss"]) if event["event"] == "display" else None)
    plain.step(5)
    averaged.step(5)
    wanted = [np.mean(losses[max(0, k - 2) : k + 1]) for k in range(5)]
    np.testing.assert_allclose(means, wanted)


# -- what goes wrong ---------------------------------------------------------------------------------------------


def test_a_loss_that_is_no_longer_finite_stops_with_one_sentence(tmp_path: Path) -> None:
    solver = digits(tmp_path, base_lr=1e30, weight_decay=1e10, max_iter=50)
    where = r"first in the weight of layer 'fc' \(InnerProduct\), which an update made so"
    with pytest.raises(
        lk.DataError, match=rf"^the loss is (nan|inf) at iteration 1, {where} \(.*\): lower base_lr, or"
    ):
        solver.solve()
    last = events.read(tmp_path / "events.jsonl")[-1]
    assert last["event"] == "error"
    assert last["message"].startswith("the loss is")
    assert last["iter"] == solver.iteration


def test_a_rate_that_overflows_ends_in_the_same_sentence() -> None:
    solver = digits(lr_policy="exp", gamma=1e200, max_iter=50)
    with pytest.raises(lk.DataError, match="the loss is nan"):
        solver.solve()


def test_a_run_without_a_solver_has_nothing_to_train_by() -> None:
    with pytest.raises(lk.UsageError, match="the run 'r' has no 'solver', so there is nothing to train by"):
        lk.Solver({"name": "r", "net": {"layers": NET}})


def test_a_run_with_nothing_to_train_is_refused() -> None:
    solver = {"base_lr": 0.1, "max_iter": 1}
    frozen = {**NET[1], "param": [{"lr_mult": 0}, {"lr_mult": 0}]}
    for layers, why in (
        (NET[:2], "no layer of the train net is a loss, so there is nothing to train"),
        ([NET[0], frozen, NET[2]], "no layer of the train net has weights that learn"),
        ([NET[0], {**NET[2], "bottom": ["x", "x"]}], "no layer of the train net has weights that learn"),
    ):
        with pytest.raises(lk.UsageError, match=why):
            lk.Solver({"net": {"layers": layers}, "solver": solver})


def test_a_negative_count_of_updates_is_refused() -> None:
    with pytest.raises(lk.UsageError, match="the count of updates must be 0 or more, not -1"):
        tiny().step(-1)
    assert math.isnan(tiny().step(0))


def test_from_net_takes_nets_that_exist() -> None:
    whole = digits(max_iter=5)
    parts = lk.Solver.from_net(lk.Net(whole.run.resolved()), whole.spec, test_net=lk.Net(whole.run.resolved(), "test"))
    assert set(parts.solve()) == {"loss", "accuracy"}
    whole.solve()
    np.testing.assert_array_equal(parts.net.flat.data, whole.net.flat.data)
    parts.close()
