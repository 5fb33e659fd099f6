"""Interrupted and resumed equals uninterrupted, bit for bit, in one process; test_resume_killed.py kills real ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import net_tools  # noqa: F401 (registers the test layers)
import numpy as np
import pytest

import layerkit as lk
from layerkit import arrayfile, events, snapshot
from layerkit.spec import differences

DATA = """
    - {name: digits, type: Data, top: [data, label], dataset: digits, batch_size: {train: 50, test: 100}, scale: 0.0625}
    - {name: fc1, type: InnerProduct, bottom: data, num_output: 12, weight_filler: xavier}
    - {name: relu, type: ReLU, top: fc1}
"""
END = """
    - {name: fc2, type: InnerProduct, num_output: 10, weight_filler: xavier}
    - {name: loss, type: SoftmaxWithLoss, bottom: [fc2, label]}
    - {name: accuracy, type: Accuracy, bottom: [fc2, label], include: test}
"""
MIDDLE = {
    "plain": "",
    "dropout": "    - {name: drop, type: Dropout, dropout_ratio: 0.3}\n",
    "walk": "    - {name: walk, type: TestWalk, size: 0.01}\n",
}


def run_text(middle: str = "plain", **solver: Any) -> str:
    """A run of 36 iterations on digits, whose first epoch of 1437 samples ends within iteration 28."""
    fields = {
        "base_lr": 0.05, "momentum": 0.9, "weight_decay": 0.001, "max_iter": 36, "display": 1, "average_loss": 4,
        "test_interval": 5, "lr_policy": "inv", "gamma": 0.1, "power": 0.75, **solver,
    }  # fmt: skip
    listed = ", ".join(f"{key}: {value}" for key, value in fields.items())
    return f"name: run\nnet:\n  layers:{DATA}{MIDDLE[middle]}{END}solver: {{{listed}}}\n"


def everything(solver: lk.Solver) -> dict[str, Any]:
    """All that must be the same: weights, history, positions, generators."""
    nets = {"train": solver.net, "test": solver.test_net}
    generators = {key: repr(rng.bit_generator.state) for key, rng in snapshot._generators(nets).items()}
    arrays = {**solver.net.flat.arrays(), **snapshot._arrays(nets, solver.updater, solver.average)}
    return {**{key: array.copy() for key, array in arrays.items()}, **generators, "iteration": solver.iteration}


def course(folder: Path) -> list[dict[str, Any]]:
    """The displays and tests of a run, less times and speeds."""
    kept = [event for event in events.read(folder / "events.jsonl") if event["event"] in ("display", "test")]
    return [{key: value for key, value in event.items() if key not in ("time", "samples_per_s")} for event in kept]


def assert_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)


# -- in one process ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("middle", "fields"),
    [
        ("plain", {}),
        ("plain", {"momentum": 0, "weight_decay": 0}),
        ("plain", {"iter_size": 2, "clip_gradients": 1.0}),
        ("dropout", {}),
        ("dropout", {"iter_size": 2}),
        ("walk", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(value) or "-",
)
def test_resumed_from_every_snapshot_equals_uninterrupted(tmp_path: Path, middle: str, fields: dict[str, Any]) -> None:
    text = run_text(middle, snapshot=7, **fields)  # in the middle of test intervals, and before and after an epoch ends
    whole = lk.Solver(text, folder=tmp_path / "whole")
    outputs = whole.solve()
    wanted, log = everything(whole), course(tmp_path / "whole")
    assert [event["iter"] for event in log if event["event"] == "display"] == list(range(36))
    for k in (7, 14, 21, 28, 35, 36):
        folder = tmp_path / f"from{k}"
        shutil.copytree(tmp_path / "whole", folder)
        solver = lk.Solver(text, folder=folder)
        assert solver.restore(folder / f"iter_{k}.state.safetensors") == []
        assert solver.iteration == k
        assert solver.solve() == outputs
        assert_same(everything(solver), wanted)
        assert course(folder) == log
        for path in folder.glob("*.safetensors"):
            if path.name.endswith(".state.safetensors"):
                continue
            assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes()


@pytest.mark.parametrize("at", [1, 13, 28, 29])
def test_interrupted_at_any_iteration_and_resumed_equals_uninterrupted(tmp_path: Path, at: int) -> None:
    text = run_text("dropout")
    whole = lk.Solver(text, folder=tmp_path / "whole")
    whole.solve()
    first = lk.Solver(text, folder=tmp_path / "parts")

    def stop(event: dict[str, Any]) -> None:
        first.stopping = first.stopping or event["iter"] == at

    first.events.listen(stop)
    first.solve()
    state = snapshot.newest_state(tmp_path / "parts")
    second = lk.Solver(text, folder=tmp_path / "parts")
    assert state is not None
    assert second.restore(state) == []
    second.solve()
    assert_same(everything(second), everything(whole))
    assert course(tmp_path / "parts") == course(tmp_path / "whole")
    stops = [event["reason"] for event in events.read(tmp_path / "parts" / "events.jsonl") if event["event"] == "stop"]
    assert stops == ["finished"]


@pytest.mark.parametrize("at", [10, 36])
def test_a_test_that_is_cut_short_is_as_if_it_had_not_begun(tmp_path: Path, at: int) -> None:
    text = run_text("walk")
    whole = lk.Solver(text, folder=tmp_path / "whole")
    whole.solve()
    first = lk.Solver(text, folder=tmp_path / "parts")
    real, passes = first.test_net.forward, []

    def forward() -> Any:
        passes.append(first.iteration)
        first.stopping = first.stopping or first.iteration == at
        return real()

    first.test_net.forward = forward
    assert first.solve() == {}
    assert (first.iteration, passes.count(at), first.finished) == (at, 1, at == 36)
    log = events.read(tmp_path / "parts" / "events.jsonl")
    assert log[-1]["reason"] == ("finished" if at == 36 else "interrupted")
    assert ("test", at) not in [(event["event"], event["iter"]) for event in log]
    second = lk.Solver(text, folder=tmp_path / "parts")
    second.restore(tmp_path / "parts" / f"iter_{at}.state.safetensors")
    second.solve()
    assert_same(everything(second), everything(whole))
    assert course(tmp_path / "parts") == course(tmp_path / "whole")


def test_a_used_solver_can_be_restored_too(tmp_path: Path) -> None:
    solver = lk.Solver(run_text("dropout", snapshot=10), folder=tmp_path)
    solver.solve()
    wanted, log = everything(solver), course(tmp_path)
    solver.restore(tmp_path / "iter_10.state.safetensors")
    assert solver.iteration == 10
    solver.solve()
    assert_same(everything(solver), wanted)
    assert course(tmp_path) == log


def test_a_state_from_another_folder_begins_a_record_of_its_own(tmp_path: Path) -> None:
    lk.Solver(run_text(snapshot=20), folder=tmp_path / "a").solve()
    before = (tmp_path / "a" / "events.jsonl").read_bytes()
    solver = lk.Solver(run_text(), folder=tmp_path / "b")
    solver.restore(tmp_path / "a" / "iter_20.state.safetensors")
    solver.solve()
    log = events.read(tmp_path / "b" / "events.jsonl")
    assert (log[0]["event"], log[0]["iter"], log[0]["resumed"]) == ("start", 20, True)
    assert (tmp_path / "a" / "events.jsonl").read_bytes() == before


# -- with an edited run ------------------------------------------------------------------------------------------


def saved(tmp_path: Path, text: str) -> Path:
    lk.Solver(text, folder=tmp_path / "run").solve()
    return tmp_path / "run" / "iter_36.state.safetensors"


def test_what_differs_is_listed(tmp_path: Path) -> None:
    state = saved(tmp_path, run_text())
    edited = run_text("dropout", base_lr=0.01, max_iter=50, clip_gradients=2.0).replace("train: 50", "train: 20")
    notes = lk.Solver(edited).restore(state)
    assert notes == [
        "net.layers.digits.batch_size.train: 50 -> 20",
        'net.layers.drop: (none) -> {"name": "drop", "type": "Dropout", "dropout_ratio": 0.3}',
        "solver.base_lr: 0.05 -> 0.01",
        "solver.max_iter: 36 -> 50",
        "solver.clip_gradients: (none) -> 2.0",
        "train.drop: not in the state, so it starts afresh",
    ]


def test_differences_follow_names_and_shorten_what_is_long() -> None:
    old = {"a": [1, 2], "layers": [{"name": "x", "k": 1}, {"name": "y"}], "same": 1}
    new = {"a": [1, 3], "layers": [{"name": "y"}, {"name": "x", "k": "v" * 90}], "same": 1, "more": None}
    short = differences(old, new)
    assert short[0] == "a: [1, 2] -> [1, 3]"
    assert short[1].startswith('layers.x.k: 1 -> "vvv')
    assert short[1].endswith("...")
    assert len(short) == 2
    assert differences({"l": [{"b": 1}]}, {"l": [{"b": 2}]}) == ['l: [{"b": 1}] -> [{"b": 2}]']


def test_layers_without_a_name_are_told_apart_by_type_and_number() -> None:
    relu = {"type": "ReLU"}
    old = {"layers": [{"name": "x"}, relu, relu, {"block": "b"}]}
    new = {"layers": [{"name": "x"}, relu, {**relu, "negative_slope": 0.1}, {"type": "TanH"}]}
    assert differences(old, new) == [
        "layers.ReLU#2.negative_slope: (none) -> 0.1",
        'layers.b#1: {"block": "b"} -> (none)',
        'layers.TanH#1: (none) -> {"type": "TanH"}',
    ]


@pytest.mark.parametrize("place", [0, 30, 59, 60, 61, 150, 200])
def test_long_values_are_cut_around_what_differs(place: int) -> None:
    text = "".join(chr(ord("a") + k % 26) for k in range(200))
    [line] = differences({"k": text}, {"k": text[:place] + "!" + text[place + 1 :]})
    was, now = line.removeprefix("k: ").split(" -> ")
    assert was != now
    assert "!" in now
    assert max(len(was), len(now)) <= 66


def test_another_number_of_threads_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = saved(tmp_path, run_text())
    now = snapshot.threads()
    monkeypatch.setattr(snapshot, "threads", lambda: now + 1)
    assert lk.Solver(run_text()).restore(state) == [f"threads: {now} -> {now + 1} (the last bits may differ)"]


def test_other_versions_are_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = saved(tmp_path, run_text())
    now = snapshot.versions()
    monkeypatch.setattr(snapshot, "versions", lambda: {**now, "numpy": "99.0"})
    assert lk.Solver(run_text()).restore(state) == [f"numpy: {now['numpy']} -> 99.0 (the last bits may differ)"]


def test_a_weight_that_was_frozen_starts_its_history_afresh(tmp_path: Path) -> None:
    frozen = run_text().replace("num_output: 12,", "num_output: 12, param: [{lr_mult: 0}],")
    solver = lk.Solver(run_text(max_iter=50))
    solver.step(3)
    notes = solver.restore(saved(tmp_path, frozen))
    assert "history.momentum.fc1.weight: not in the state, so it starts afresh" in notes
    span = solver.net.flat.slots["fc1.weight"].span
    assert not solver.updater.history["momentum"][span].any()
    solver.solve()


def refused(solver: lk.Solver, state: Path) -> str:
    """The sentence of a restore that is refused and changed nothing."""
    solver.step(2)
    before = everything(solver)
    with pytest.raises(lk.SnapshotError) as error:
        solver.restore(state)
    assert_same(everything(solver), before)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_net_that_does_not_fit_is_refused_before_anything_changes(tmp_path: Path) -> None:
    state = saved(tmp_path, run_text())
    wider = lk.Solver(run_text().replace("num_output: 12", "num_output: 13"))
    assert "'history.momentum.fc1.weight' was float32 [12, 64] and is float32 [13, 64]" in refused(wider, state)
    renamed = lk.Solver(run_text(momentum=0).replace("name: fc2,", "name: fc3,").replace("[fc2,", "[fc3,"))
    assert refused(renamed, state) == (
        f"{state}: layer 'fc3' of the net is new, there is no weight 'fc3.weight' to go on with; "
        "start from what there is with --weights iter_36.safetensors"
    )
    exact = lk.Solver(run_text(), dtype="float64")
    assert "was float32 [12, 64] and is float64 [12, 64]" in refused(exact, state)


def test_a_broken_generator_is_refused_before_anything_changes(tmp_path: Path) -> None:
    state = saved(tmp_path, run_text("dropout"))
    arrays, notes = arrayfile.load(state)
    about = json.loads(notes["layerkit"])
    good = about["generators"]["train.drop"]
    broken_ones = (
        {},
        {"bit_generator": "MT19937"},
        {**good, "state": {"state": "x"}},
        {**good, "uinteger": 10**30},
        {**good, "state": {**good["state"], "inc": -1}},
    )
    for broken in broken_ones:
        changed = {**about, "generators": {"train.drop": broken}}
        arrayfile.save(state, arrays, {"layerkit": json.dumps(changed)})
        assert "the state of the generator 'train.drop' cannot be used" in refused(
            lk.Solver(run_text("dropout")), state
        )


# -- files that do not belong together ---------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A folder with snapshots at 12, 24 and 36."""
    lk.Solver(run_text(snapshot=12), folder=tmp_path / "run").solve()
    return tmp_path / "run"


def test_killed_between_weights_and_state_the_older_pair_is_the_newest(pair: Path) -> None:
    (pair / "iter_36.state.safetensors").unlink()
    assert snapshot.newest_state(pair) == pair / "iter_24.state.safetensors"
    (pair / "iter_24.safetensors").unlink()
    assert snapshot.newest_state(pair) == pair / "iter_12.state.safetensors"
    (pair / "iter_12.state.safetensors").write_bytes(b"cut")
    assert snapshot.newest_state(pair) is None


def test_weights_of_another_run_beside_a_state_are_refused_and_passed_over(pair: Path, tmp_path: Path) -> None:
    other = lk.Solver(run_text(snapshot=12, base_lr=0.01), folder=tmp_path / "other")
    other.solve()
    # a second course of the run, with another rate, was killed after it wrote its weights over the first one's
    shutil.copy(tmp_path / "other" / "iter_24.safetensors", pair)
    shutil.copy(tmp_path / "other" / "iter_36.safetensors", pair)
    assert snapshot.newest_state(pair) == pair / "iter_12.state.safetensors"
    text = refused(lk.Solver(run_text()), pair / "iter_24.state.safetensors")
    assert "iter_24.state.safetensors: the state does not belong to iter_24.safetensors beside it" in text
    (pair / "iter_36.safetensors").unlink()
    assert "there is no file" in refused(lk.Solver(run_text()), pair / "iter_36.state.safetensors")


def test_a_snapshot_of_a_course_that_was_given_up_is_passed_over(pair: Path) -> None:
    solver = lk.Solver(run_text(snapshot=12, base_lr=0.01, max_iter=20), folder=pair)
    solver.restore(pair / "iter_12.state.safetensors")
    solver.solve()
    assert (pair / "iter_36.state.safetensors").exists()
    assert snapshot.newest_state(pair) == pair / "iter_20.state.safetensors"
    (pair / "events.jsonl").unlink()  # without a record the number alone tells
    assert snapshot.newest_state(pair) == pair / "iter_36.state.safetensors"


@pytest.mark.parametrize("moment", ["weights", "event", "state"])
@pytest.mark.parametrize("older", [True, False])
def test_killed_at_any_moment_of_a_snapshot_the_run_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, older: bool
) -> None:
    class Killed(BaseException):
        pass

    text = run_text("dropout", snapshot=12)
    whole = lk.Solver(text, folder=tmp_path / "whole")
    whole.solve()
    victim = lk.Solver(text, folder=tmp_path / "run")
    name = {"weights": "save_weights", "state": "save_state"}.get(moment)
    where: Any = snapshot if name else victim.events
    real = getattr(where, name or "emit")

    def killed(*args: Any, **fields: Any) -> Any:
        due = victim.iteration == (24 if older else 12)
        if due and (name is not None or args[0] == "snapshot"):
            raise Killed
        return real(*args, **fields)

    monkeypatch.setattr(where, name or "emit", killed)
    with pytest.raises(Killed):
        victim.solve()
    monkeypatch.undo()
    second = lk.Solver(text, folder=tmp_path / "run")
    state = snapshot.newest_state(tmp_path / "run")
    assert state == (tmp_path / "run" / "iter_12.state.safetensors" if older else None)
    if state is None:
        second.events.rewind(0)
    else:
        second.restore(state)
    second.solve()
    assert_same(everything(second), everything(whole))
    assert course(tmp_path / "run") == course(tmp_path / "whole")


def test_what_a_killed_process_left_half_written_is_swept_away(pair: Path) -> None:
    litter = [pair / f".{name}.0a1b2c3d.tmp" for name in ("iter_36.safetensors", "config.yaml")]
    for path in (*litter, pair / ".mine.tmp"):
        path.write_bytes(b"half")
    lk.Solver(run_text(), folder=pair).restore(pair / "iter_36.state.safetensors")
    assert list(pair.glob(".*")) == [pair / ".mine.tmp"]


def test_other_files_in_the_folder_do_no_harm(pair: Path) -> None:
    (pair / "iter_x.state.safetensors").write_bytes(b"")
    (pair / "best.state.safetensors").write_bytes(b"")
    assert snapshot.newest_state(pair) == pair / "iter_36.state.safetensors"
    assert snapshot.newest_state(pair / "nowhere") is None


def test_a_record_that_lost_its_end_is_only_cut_back_to_a_whole_line(pair: Path) -> None:
    log = pair / "events.jsonl"
    log.write_bytes(log.read_bytes()[:300])
    solver = lk.Solver(run_text(), folder=pair)
    solver.restore(pair / "iter_36.state.safetensors")
    solver.solve()
    assert events.read(log)[-1]["event"] == "stop"
