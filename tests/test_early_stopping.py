"""Early stopping: which test is the best, when a run ends, and that resuming knows it."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rule_tools import digits_run
from test_resume import assert_same, course, everything
from test_rules import sentence

import layerkit as lk
from layerkit import arrayfile, events, snapshot
from layerkit.best import Best
from layerkit.layer import Layer
from layerkit.spec import SolverSpec

ACCURACY = lk.layer_class("Accuracy")(lk.layer_class("Accuracy").Params())
LOSS = lk.layer_class("SoftmaxWithLoss")(lk.layer_class("SoftmaxWithLoss").Params())
ERROR = lk.layer_class("MeanAbsoluteError")(lk.layer_class("MeanAbsoluteError").Params())
OTHER = lk.layer_class("Reduction")(lk.layer_class("Reduction").Params())


def best(makers: dict[str, Layer] | None = None, **fields: Any) -> Best:
    about = SolverSpec(base_lr=0.1, max_iter=9, test_interval=1, **fields)
    return Best(about, {"loss": LOSS, "accuracy": ACCURACY} if makers is None else makers)


def see(followed: Best, values: list[float]) -> list[tuple[bool, bool]]:
    """Whether each test was the best so far, and whether it ended the run."""
    return [
        (followed.see({followed.metric: value, "loss": math.nan}, k), followed.exhausted)
        for k, value in enumerate(values)
    ]


# -- which test is the best --------------------------------------------------------------------------------------


def test_the_run_ends_after_patience_tests_without_an_improvement() -> None:
    followed = best(early_stopping={"metric": "accuracy", "patience": 2})
    assert see(followed, [0.5, 0.6, 0.6, 0.7, 0.65, 0.7]) == [
        (True, False), (True, False), (False, False), (True, False), (False, False), (False, True),
    ]  # fmt: skip
    assert (followed.state.value, followed.state.iteration, followed.state.bad) == (0.7, 3, 2)
    assert followed.outputs["accuracy"] == 0.7
    assert math.isnan(followed.outputs["loss"])


def test_a_small_improvement_is_the_best_yet_and_no_improvement() -> None:
    followed = best(early_stopping={"patience": 3, "min_delta": 0.25})
    assert see(followed, [0.5, 0.625, 0.75, 0.8125]) == [(True, False), (True, False), (True, False), (True, False)]
    assert (followed.state.passed, followed.state.bad) == (0.8125, 0)  # since 0.5 it adds up to more than min_delta


def test_lower_is_better_in_mode_min_and_what_is_not_finite_never_is() -> None:
    followed = best(early_stopping={"metric": "accuracy", "mode": "min", "patience": 3})
    assert see(followed, [math.nan, 0.5, -math.inf, 0.4, math.nan]) == [
        (False, False), (True, False), (False, False), (True, False), (False, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("makers", "fields", "metric", "sign"),
    [
        ({"loss": LOSS, "accuracy": ACCURACY}, {}, "accuracy", 1),
        ({"loss": LOSS, "error": ERROR, "accuracy": ACCURACY}, {}, "error", -1),
        ({"sum": OTHER, "loss": LOSS}, {}, "loss", -1),
        ({"sum": OTHER, "loss": LOSS}, {"metric": "sum", "mode": "max"}, "sum", 1),
        ({"loss": LOSS, "accuracy": ACCURACY}, {"metric": "loss"}, "loss", -1),
        ({"loss": LOSS, "accuracy": ACCURACY}, {"mode": "min"}, "accuracy", -1),
    ],
)
@pytest.mark.parametrize("field", ["early_stopping", "keep_best"])
def test_metric_and_mode_have_sensible_defaults(
    makers: dict[str, Layer], fields: dict[str, Any], metric: str, sign: int, field: str
) -> None:
    followed = best(makers, **{field: fields})
    assert (followed.metric, followed._sign) == (metric, sign)


def test_what_cannot_be_guessed_must_be_said() -> None:
    with pytest.raises(lk.UsageError, match="has no metric or loss of one number, so there is no best test"):
        best({"sum": OTHER}, keep_best=True)
    with pytest.raises(lk.UsageError, match="is not known of 'sum'; say mode: max or mode: min"):
        best({"sum": OTHER}, keep_best={"metric": "sum"})
    with pytest.raises(lk.UnknownNameError, match=r"\(of one number\) 'acuracy'; did you mean 'accuracy'"):
        lk.Solver(digits_run(early_stopping={"metric": "acuracy"}))


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"early_stopping": True}, "early_stopping: it needs a test_interval above 0, since tests decide"),
        ({"keep_best": True}, "keep_best: it needs a test_interval above 0, since tests decide"),
        ({"early_stopping": {"patience": 0}, "test_interval": 1}, "early_stopping.patience must be greater than 0"),
        ({"early_stopping": {"patiense": 3}, "test_interval": 1}, "'patiense'; did you mean 'patience'?"),
        ({"keep_best": {"mode": "maxi"}, "test_interval": 1}, "keep_best.mode must be one of min, max, not 'maxi'"),
        ({"keep_best": 3, "test_interval": 1}, "keep_best must be a metric or a mapping, not 3"),
        ({"keep_best": "loss", "early_stopping": "accuracy", "test_interval": 1},
         "keep_best: early_stopping says what is best; write keep_best: true"),
        ({"keep_last": 0}, "keep_last must be greater than 0, not 0"),
        ({"max_time": "2 hours"}, "time such as 2h30m, 45m or 90s, or a number of seconds, not '2 hours'"),
        ({"max_time": "0s"}, "max_time must be longer than no time, not '0s'"),
        ({"max_time": ""}, "max_time must be a time such as"),
        ({"max_time": True}, "max_time must be a time such as"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_cannot_be_meant_is_one_sentence(fields: dict[str, Any], part: str) -> None:
    assert part in sentence(**fields)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("2h30m", 9000), ("90s", 90), ("1d 2h", 93600), ("45m", 2700), (7.5, 7.5), (60, 60), ("1m5s", 65)],
)
def test_a_time_may_have_units(said: str | float, seconds: float) -> None:
    assert SolverSpec(base_lr=0.1, max_iter=1, max_time=said).max_time == seconds


# -- whole runs --------------------------------------------------------------------------------------------------


def falling(**fields: Any) -> dict[str, Any]:
    """A run whose tests get better and then worse: its rate grows until nothing fits any more."""
    about = {"base_lr": 0.1, "momentum": 0.9, "max_iter": 60, "test_interval": 2}
    about |= {"lr_policy": "table", "lr_table": [[0, 1], [14, 1], [16, 300]]}
    return digits_run(**about, early_stopping={"metric": "loss", "patience": 3, **fields.pop("early", {})}, **fields)


def scores(folder: Path) -> dict[int, dict[str, float]]:
    return {e["iter"]: e["outputs"] for e in events.read(folder / "events.jsonl") if e["event"] == "test"}


def test_a_run_that_gets_no_better_ends_with_its_best_weights(tmp_path: Path) -> None:
    solver = lk.Solver(falling(), folder=tmp_path)
    outputs = solver.solve()
    tests = scores(tmp_path)
    at = min(tests, key=lambda k: (tests[k]["loss"], k))
    last = max(tests)
    assert 0 < at < last < 60
    assert (solver.iteration, solver.reason, solver.finished) == (last, "early_stopping", True)
    losses = [tests[k]["loss"] for k in sorted(tests)]
    assert min(losses[-3:]) >= min(losses[:-3])
    assert outputs == tests[at] == solver.test()
    ended = [e for e in events.read(tmp_path / "events.jsonl") if e["event"] == "stop"][-1]
    assert ended["reason"] == "early_stopping"
    assert ended["best"] == {"metric": "loss", "value": tests[at]["loss"], "at": at}
    kept, info = (
        arrayfile.load(tmp_path / "best.safetensors")[0],
        snapshot.read_weights_info(tmp_path / "best.safetensors"),
    )
    assert info.iteration == at
    for name, array in solver.net.flat.arrays().items():
        np.testing.assert_array_equal(array, kept[name])
    snapped = arrayfile.load(tmp_path / f"iter_{last}.safetensors")[0]
    assert any((snapped[name] != kept[name]).any() for name in kept)  # what the run goes on from is not the best
    assert lk.load(tmp_path / "best.safetensors").outputs == ["prob"]


def test_the_last_weights_stay_where_the_best_are_not_restored(tmp_path: Path) -> None:
    solver = lk.Solver(falling(early={"restore_best": False}), folder=tmp_path)
    outputs = solver.solve()
    tests = scores(tmp_path)
    assert outputs == tests[solver.iteration]
    assert list(tests).count(solver.iteration) == 1
    assert not (tmp_path / "best.safetensors").exists()
    snapped = arrayfile.load(tmp_path / f"iter_{solver.iteration}.safetensors")[0]
    for name, array in solver.net.flat.arrays().items():
        np.testing.assert_array_equal(array, snapped[name])


def test_a_run_that_finishes_has_its_best_weights_too_and_its_last_test_counts() -> None:
    solver = lk.Solver(digits_run(early_stopping="loss", max_iter=30, test_interval=8, base_lr=0.1, momentum=0.9))
    outputs = solver.solve()
    assert (solver.reason, solver.best.state.iteration) == ("finished", 30)
    assert outputs == solver.test() == solver.best.outputs


def test_steps_by_hand_stop_at_the_end_and_go_on_if_asked_again() -> None:
    solver = lk.Solver(falling())
    solver.step(60)
    ended = solver.iteration
    assert ended < 60
    solver.step(2)
    assert solver.iteration == ended + 2


@pytest.mark.parametrize("average", [None, {"type": "ema", "decay": 0.5, "start": 3}])
def test_resumed_from_every_snapshot_it_ends_as_if_uninterrupted(tmp_path: Path, average: Any) -> None:
    run = falling(snapshot=3, **({} if average is None else {"average": average}))
    whole = lk.Solver(run, folder=tmp_path / "whole")
    outputs, wanted, log = whole.solve(), everything(whole), course(tmp_path / "whole")
    states = snapshot.states(tmp_path / "whole")
    assert len(states) > 5
    for state in states:
        folder = tmp_path / f"from_{state.name}"
        shutil.copytree(tmp_path / "whole", folder)
        solver = lk.Solver(run, folder=folder)
        assert solver.restore(folder / state.name) == []
        kept = folder / "best.safetensors"
        if solver.best.state.value is None:
            assert not kept.exists()
        else:
            assert snapshot.read_weights_info(kept).iteration == solver.best.state.iteration <= solver.iteration
        assert solver.solve() == outputs
        assert (solver.reason, solver.best.state) == ("early_stopping", whole.best.state)
        assert_same(everything(solver), wanted)
        assert course(folder) == log
        assert kept.read_bytes() == (tmp_path / "whole" / "best.safetensors").read_bytes()


def test_gone_on_with_in_another_folder_the_best_is_there_too(tmp_path: Path) -> None:
    run = falling(early={"patience": 1})
    lk.Solver(run, folder=tmp_path / "a").solve()
    state = snapshot.newest_state(tmp_path / "a")
    solver = lk.Solver(run, folder=tmp_path / "b")
    solver.restore(state)
    solver.solve()
    assert (tmp_path / "b" / "best.safetensors").read_bytes() == (tmp_path / "a" / "best.safetensors").read_bytes()


def test_nets_without_tests_follow_none() -> None:
    whole = lk.Solver(falling())
    assert lk.Solver.from_net(lk.Net(whole.run.resolved()), whole.spec).best is None


def test_with_more_patience_an_ended_run_goes_on_as_if_it_had_had_it_from_the_beginning(tmp_path: Path) -> None:
    patient = falling(early={"patience": 6})
    whole = lk.Solver(patient, folder=tmp_path / "whole")
    whole.solve()
    lk.Solver(falling(), folder=tmp_path / "parts").solve()
    state = snapshot.newest_state(tmp_path / "parts")
    second = lk.Solver(patient, folder=tmp_path / "parts")
    assert second.restore(state) == ["solver.early_stopping.patience: 3 -> 6"]
    assert not second.finished
    second.solve()
    assert second.iteration == whole.iteration
    assert_same(everything(second), everything(whole))
    assert course(tmp_path / "parts") == course(tmp_path / "whole")


def test_a_test_that_falls_due_where_a_plateau_ended_the_run_is_seen_once(tmp_path: Path) -> None:
    fields = {"lr_policy": "plateau", "gamma": 0.5, "plateau": {"metric": "loss", "mode": "min", "patience": 2}}
    runs = [
        digits_run(
            **fields, max_iter=30, test_interval=2, base_lr=8.0, early_stopping={"metric": "loss", "patience": k}
        )
        for k in (3, 5)
    ]
    whole = lk.Solver(runs[1], folder=tmp_path / "whole")
    whole.solve()
    first = lk.Solver(runs[0], folder=tmp_path / "parts")
    first.solve()
    assert first.reason == "early_stopping"
    second = lk.Solver(runs[1], folder=tmp_path / "parts")
    second.restore(snapshot.newest_state(tmp_path / "parts"))
    second.solve()
    assert (second.lr, second._plateau.state) == (whole.lr, whole._plateau.state)
    assert course(tmp_path / "parts") == course(tmp_path / "whole")


def test_a_state_without_the_best_begins_to_follow(tmp_path: Path) -> None:
    lk.Solver(digits_run(snapshot=6), folder=tmp_path).solve()
    solver = lk.Solver(digits_run(keep_best=True), folder=tmp_path)
    assert solver.restore(tmp_path / "iter_6.state.safetensors") == [
        "solver.snapshot: 6 -> (none)",
        "solver.keep_best: (none) -> true",
    ]
    solver.solve()
    assert solver.best.state.iteration >= 6


def test_best_weights_of_another_shape_are_refused_before_anything_changes(tmp_path: Path) -> None:
    solver = lk.Solver(digits_run(keep_best=True, snapshot=6), folder=tmp_path)
    solver.solve()
    state = tmp_path / "iter_6.state.safetensors"
    arrays, notes = arrayfile.load(state)
    arrays["best.fc2.bias"] = np.zeros(3, "float32")
    arrayfile.save(state, arrays, notes)
    with pytest.raises(lk.SnapshotError, match=r"'best.fc2.bias' was float32 \[3\] and is float32 \[10\]"):
        solver.restore(state)
