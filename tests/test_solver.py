"""Solver: learning-rate policies, the update rule by hand, what falls due when, tests, the event log, divergence."""

from __future__ import annotations

import json
import math
import os
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import layerkit as lk
from layerkit import events
from layerkit.events import EventLog
from layerkit.policies import learning_rate
from layerkit.spec import SolverSpec
from layerkit.updaters import Updater

NET = [
    {"name": "in", "type": "Input", "top": ["x", "y"], "shape": [[4, 3], [4, 2]]},
    {"name": "fc", "type": "InnerProduct", "bottom": "x", "num_output": 2, "weight_filler": "xavier"},
    {"name": "loss", "type": "EuclideanLoss", "bottom": ["fc", "y"]},
]


def spec(**fields: Any) -> SolverSpec:
    return SolverSpec(**{"base_lr": 0.5, "max_iter": 10, **fields})


def tiny(param: Any = None, **fields: Any) -> lk.Solver:
    """A solver in float64 over a linear net with fixed inputs."""
    layers = [*NET[:1], {**NET[1], "param": param or []}, *NET[2:]]
    run = {"net": {"layers": layers}, "solver": {"base_lr": 0.5, "max_iter": 10, "display": 0, **fields}}
    solver = lk.Solver(run, dtype="float64")
    rng = np.random.default_rng(0)
    for name in ("x", "y"):
        blob = solver.net.blobs[name]
        blob.data[...] = rng.uniform(-1, 1, blob.shape)
    solver.net.params["fc"].bias.data[...] = 0.3
    return solver


def digits(tmp: Path | None = None, **fields: Any) -> lk.Solver:
    """A small net on digits."""
    layers = [
        {"name": "digits", "type": "Data", "top": ["data", "label"], "dataset": "digits", "scale": 0.0625,
         "batch_size": {"train": 16, "test": 100}},
        {"name": "fc", "type": "InnerProduct", "bottom": "data", "num_output": 10, "weight_filler": "xavier"},
        {"name": "loss", "type": "SoftmaxWithLoss", "bottom": ["fc", "label"]},
        {"name": "accuracy", "type": "Accuracy", "bottom": ["fc", "label"], "include": "test"},
    ]  # fmt: skip
    run = {"name": "d", "net": {"layers": layers}, "solver": {"base_lr": 0.05, "max_iter": 10, "display": 0, **fields}}
    return lk.Solver(run, folder=tmp)


# -- policies ----------------------------------------------------------------------------------------------------


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


# -- one update --------------------------------------------------------------------------------------------------


def gradient(solver: lk.Solver) -> Any:
    solver.net.forward()
    solver.net.backward()
    return solver.net.flat.diff.copy()


def test_momentum_l2_and_multipliers_by_hand() -> None:
    solver = tiny([{"lr_mult": 1}, {"lr_mult": 2, "decay_mult": 0}], momentum=0.9, weight_decay=0.1)
    w = solver.net.flat.data
    rate = np.repeat([0.5, 1.0], [6, 2])
    decay = np.repeat([0.1, 0.0], [6, 2])
    velocity = np.zeros(8)
    for _ in range(3):
        velocity = 0.9 * velocity + rate * (gradient(solver) + decay * w)
        wanted = w - velocity
        solver.step()
        np.testing.assert_allclose(w, wanted)
    np.testing.assert_allclose(solver.updater.history["momentum"], velocity)


def test_l1_decay_by_hand() -> None:
    solver = tiny(weight_decay=0.1, regularization_type="L1")
    w = solver.net.flat.data
    w[0] = 0  # the sign of 0 is 0
    wanted = w - 0.5 * (gradient(solver) + 0.1 * np.sign(w))
    solver.step()
    np.testing.assert_allclose(w, wanted)


@pytest.mark.parametrize("limit", [1e-3, 1e3])
def test_clipping_bounds_the_norm_of_all_gradients_together(limit: float) -> None:
    solver = tiny(clip_gradients=limit)
    w = solver.net.flat.data
    g = gradient(solver)
    wanted = w - 0.5 * g * min(1, limit / np.linalg.norm(g))
    solver.step()
    np.testing.assert_allclose(w, wanted)


def test_iter_size_averages_batches_and_clips_their_sum_as_caffe_does() -> None:
    solver, once = tiny(iter_size=3), tiny()
    solver.step()
    once.step()
    np.testing.assert_allclose(solver.net.flat.data, once.net.flat.data)
    clipped = tiny(iter_size=3, clip_gradients=0.01)
    w, g = clipped.net.flat.data, gradient(clipped)
    wanted = w - 0.5 * g * 0.01 / np.linalg.norm(3 * g)
    clipped.step()
    np.testing.assert_allclose(w, wanted)


def test_iter_size_is_as_good_as_a_greater_batch() -> None:
    parts, whole = digits(iter_size=4, momentum=0.9), digits(momentum=0.9)
    whole = lk.Solver(whole.run.resolved(), overrides=["net.layers.digits.batch_size.train=64"])
    parts.step(3)
    whole.step(3)
    np.testing.assert_allclose(parts.net.flat.data, whole.net.flat.data, atol=1e-5)


def test_frozen_weights_stay_and_neighbours_of_equal_multipliers_share_a_chunk() -> None:
    solver = tiny([{"lr_mult": 0}, {"lr_mult": 1}], momentum=0.9, weight_decay=0.1)
    frozen = solver.net.params["fc"].weight.data.copy()
    solver.step(3)
    np.testing.assert_array_equal(solver.net.params["fc"].weight.data, frozen)
    assert len(solver.updater._chunks) == 1
    assert len(tiny().updater._chunks) == 1
    assert len(tiny([{"lr_mult": 1}, {"lr_mult": 2}]).updater._chunks) == 2


def test_weights_updated_in_small_chunks_are_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"momentum": 0.9, "weight_decay": 0.01, "iter_size": 2, "clip_gradients": 1.0}
    whole = digits(**fields)
    monkeypatch.setattr("layerkit.updaters.base.CHUNK", 7)
    parts = digits(**fields)
    assert len(whole.updater._chunks) == 1
    assert len(parts.updater._chunks) > parts.net.flat.data.size // 7
    whole.step(3)
    parts.step(3)
    np.testing.assert_array_equal(parts.net.flat.data, whole.net.flat.data)
    np.testing.assert_array_equal(parts.updater.history["momentum"], whole.updater.history["momentum"])


def test_an_update_takes_no_memory() -> None:
    layers = [
        {"name": "x", "type": "Input", "shape": [1, 1000]},
        {"name": "fc", "type": "InnerProduct", "num_output": 1000},
        {"name": "loss", "type": "EuclideanLoss", "bottom": ["fc", "x"]},
    ]
    fields = {"momentum": 0.9, "weight_decay": 0.1, "clip_gradients": 1.0, "iter_size": 2}
    solver = lk.Solver({"net": {"layers": layers}, "solver": {"base_lr": 0.1, "max_iter": 1, **fields}})
    solver.step(2)
    tracemalloc.start()
    solver.updater.update(0.1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000  # the weights are 4 MB


def test_a_rule_that_does_nothing_says_so() -> None:
    with pytest.raises(NotImplementedError, match="Updater does not say how it updates"):
        Updater(spec(), tiny().net.flat).update(0.1)


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


def test_the_event_log_holds_what_it_promises(tmp_path: Path) -> None:
    solver = digits(tmp_path, max_iter=4, display=2, test_interval=4, snapshot=4)
    heard: list[Any] = []
    solver.events.listen(heard.append)
    solver.solve()
    log = events.read(tmp_path / "events.jsonl")
    assert log == json.loads(json.dumps(heard))
    by_kind = {event["event"]: event for event in log}
    common = {"event", "iter", "time"}
    about = {"name", "max_iter", "epoch", "weights", "seed", "resumed", "threads", "engine"}
    assert set(by_kind["start"]) == common | about
    assert (by_kind["start"]["name"], by_kind["start"]["weights"], by_kind["start"]["resumed"]) == ("d", 650, False)
    norms = {"grad_norm", "weight_norm"}
    assert set(by_kind["display"]) == common | norms | {"loss", "lr", "samples_per_s", "outputs"}
    assert by_kind["display"]["lr"] == 0.05
    assert by_kind["display"]["samples_per_s"] > 0
    assert set(by_kind["test"]) == common | {"outputs", "samples", "samples_per_s", "lr"}
    assert set(by_kind["test"]["outputs"]) == {"loss", "accuracy"}
    assert by_kind["test"]["samples"] == 360
    assert by_kind["snapshot"]["weights"] == "iter_4.safetensors"
    assert by_kind["stop"]["reason"] == "finished"
    assert all(b["time"] >= a["time"] for a, b in pairwise(log))


def test_a_line_that_a_crash_cut_off_is_left_out_and_taken_back(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log")
    log.emit("one", 1)
    with (tmp_path / "log").open("a") as file:
        file.write('{"event": "tw')
    assert [event["event"] for event in events.read(tmp_path / "log")] == ["one"]
    EventLog(tmp_path / "log").emit("three", 3)
    assert [event["event"] for event in events.read(tmp_path / "log")] == ["one", "three"]


def test_rewinding_forgets_what_came_after(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log")
    assert log.position() == 0
    log.rewind(5)
    log.emit("one", 1)
    here = log.position()
    log.emit("two", 2)
    log.rewind(here + 3)  # a position within a line counts to the line's beginning
    assert [event["event"] for event in events.read(tmp_path / "log")] == ["one"]
    log.rewind(10**6)
    assert log.position() == here


def test_a_number_that_is_not_finite_is_null_in_the_file_only(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log")
    heard: list[Any] = []
    log.listen(heard.append)
    log.emit("test", 1, outputs={"a": math.inf}, tables={"b": [1.5, math.nan]})
    [event] = events.read(tmp_path / "log")
    assert (event["outputs"], event["tables"]) == ({"a": None}, {"b": [1.5, None]})
    assert heard[0]["outputs"]["a"] == math.inf


def test_a_log_that_cannot_be_read_or_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder\n")
    with pytest.raises(lk.DataError, match=r"cannot write the event log .*: (Not a directory|File exists)"):
        EventLog(tmp_path / "file" / "log").emit("one", 1)
    with pytest.raises(lk.DataError, match=r"cannot read the event log .*: No such file"):
        events.read(tmp_path / "missing")
    with pytest.raises(lk.DataError, match=r"file is not an event log of layerkit: its first line does not say so"):
        events.read(tmp_path / "file")


def test_a_log_that_cannot_be_rewound_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    log = EventLog(tmp_path / "log")
    with pytest.raises(lk.DataError, match=r"cannot write the event log .*: Is a directory"):
        log.rewind(3)
    with pytest.raises(lk.DataError, match=r"cannot read the event log .*: Is a directory"):
        log.position()


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = EventLog(tmp_path / "log")
    log.emit("one", 1)
    monkeypatch.setattr(events, "_write", _half)
    with pytest.raises(lk.DataError, match=r"cannot write the event log .*: No space left on device"):
        log.emit("two", 2)
    monkeypatch.undo()
    log.emit("three", 3)
    assert [event["event"] for event in events.read(tmp_path / "log")] == ["one", "three"]


def _half(descriptor: int, line: bytes) -> int:
    os.write(descriptor, line[: len(line) // 2])
    raise OSError(28, "No space left on device")


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


def test_an_error_is_told_even_if_the_log_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    solver = digits(tmp_path, max_iter=50, display=1)
    monkeypatch.setattr(events, "_write", _half)
    with pytest.raises(lk.DataError, match="cannot write the event log"):
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
