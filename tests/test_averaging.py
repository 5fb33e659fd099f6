"""Averaged weights: what they are, who sees them and when, and what a snapshot holds of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rule_tools import digits_run, tiny

import layerkit as lk
from layerkit import arrayfile, snapshot


def courses(solver: lk.Solver, steps: int) -> np.ndarray:
    """The trained weights after each of some updates on fixed inputs."""
    rng = np.random.default_rng(0)
    for name in ("x", "y"):
        blob = solver.net.blobs[name]
        blob.data[...] = rng.uniform(-1, 1, blob.shape)
    after = []
    for _ in range(steps):
        solver.step()
        after.append(solver.net.flat.values.copy())
    return np.array(after)


@pytest.mark.parametrize(
    ("average", "taken"),
    [
        ({"type": "swa"}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"type": "swa", "start": 3, "every": 2}, [3, 5, 7]),
        ({"type": "ema", "decay": 0.6}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"type": "ema", "decay": 0.6, "start": 4, "every": 3}, [4, 7]),
        ({"type": "ema"}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ("swa", [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"type": "swa", "every": 3}, [3, 6]),
    ],
    ids=str,
)
def test_the_average_is_the_sum_written_out(average: Any, taken: list[int]) -> None:
    solver = tiny(base_lr=0.3, average=average)
    after = courses(solver, 8)
    seen = [after[update - 1] for update in taken]
    if average == "swa" or average["type"] == "swa":
        wanted = sum(seen) / len(seen)
    else:
        decay, n = average.get("decay", 0.999), len(seen)
        shares = [decay ** (n - 1), *((1 - decay) * decay ** (n - 1 - k) for k in range(1, n))]
        wanted = sum(share * weights for share, weights in zip(shares, seen, strict=True))
    assert solver.average is not None
    np.testing.assert_allclose(solver.average.values, wanted, rtol=1e-12)
    assert solver.average.count[0] == len(taken)


def test_averaging_does_not_disturb_training() -> None:
    averaged, plain = lk.Solver(digits_run(average="ema")), lk.Solver(digits_run())
    averaged.solve()
    plain.solve()
    np.testing.assert_array_equal(averaged.net.flat.values, plain.net.flat.values)


def test_tests_see_the_average_and_everybody_else_the_trained_weights() -> None:
    solver = lk.Solver(digits_run(average={"type": "swa", "start": 4}, max_iter=8, test_interval=2))
    seen: dict[int, float] = {}
    trained: dict[int, np.ndarray] = {}

    def listen(event: dict[str, Any]) -> None:
        if event["event"] == "test":
            seen[event["iter"]] = event["outputs"]["loss"]
            trained[event["iter"]] = solver.net.flat.values.copy()

    solver.events.listen(listen)
    solver.solve()
    plain = lk.Solver(digits_run(max_iter=8, test_interval=2))
    expected: dict[int, float] = {}
    sums, count = np.zeros_like(plain.net.flat.values), 0
    for update in range(9):
        if update % 2 == 0:
            np.testing.assert_array_equal(trained[update], plain.net.flat.values)
            held = plain.net.flat.values.copy()
            if count:
                plain.net.flat.data[...] = sums / count
            expected[update] = plain.test()["loss"]
            plain.net.flat.data[...] = held
        plain.step()
        if plain.iteration >= 4:
            sums, count = sums + plain.net.flat.values, count + 1
    assert seen == pytest.approx(expected, rel=1e-5)


def test_a_test_that_fails_leaves_the_trained_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    solver = lk.Solver(digits_run(average="swa", test_interval=0))
    solver.step(3)
    before, average = solver.net.flat.values.copy(), solver.average.values.copy()

    def fail() -> None:
        np.testing.assert_array_equal(solver.net.flat.values, average)
        raise lk.DataError("no samples")

    monkeypatch.setattr(solver.test_net, "forward", fail)
    with pytest.raises(lk.DataError, match="no samples"):
        solver.test()
    np.testing.assert_array_equal(solver.net.flat.values, before)
    np.testing.assert_array_equal(solver.average.values, average)


# -- snapshots ---------------------------------------------------------------------------------------------------


def test_a_snapshot_is_the_average_and_its_state_holds_the_trained_weights(tmp_path: Path) -> None:
    solver = lk.Solver(digits_run(average="swa"), folder=tmp_path)
    solver.solve()
    weights, state = (tmp_path / f"iter_12{suffix}.safetensors" for suffix in ("", ".state"))
    average = solver.average.values
    for key, slot in solver.net.flat.slots.items():
        np.testing.assert_array_equal(arrayfile.load(weights)[0][key], average[slot.span].reshape(slot.shape))
        np.testing.assert_array_equal(arrayfile.load(state)[0][f"trained.{key}"], slot.blob.values)
    assert snapshot.read_weights_info(weights).averaged == 12
    net = lk.load(weights)
    np.testing.assert_array_equal(net.flat.values, average)
    assert not np.array_equal(average, solver.net.flat.values)


def test_before_there_is_an_average_snapshots_hold_the_trained_weights(tmp_path: Path) -> None:
    solver = lk.Solver(digits_run(average={"type": "swa", "start": 9}), folder=tmp_path)
    solver.step(5)
    path = solver.snapshot()
    np.testing.assert_array_equal(lk.load(path).flat.values, solver.net.flat.values)
    assert snapshot.read_weights_info(path).averaged == 0
    arrays, _ = arrayfile.load(tmp_path / "iter_5.state.safetensors")
    assert not [key for key in arrays if key.startswith("trained.")]


def test_a_snapshot_that_fails_leaves_the_trained_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    solver = lk.Solver(digits_run(average="ema"), folder=tmp_path)
    solver.step(3)
    before = solver.net.flat.values.copy()

    def full(*given: Any) -> None:
        raise lk.SnapshotError("the disk is full")

    monkeypatch.setattr(arrayfile, "save", full)
    with pytest.raises(lk.SnapshotError, match="the disk is full"):
        solver.snapshot()
    np.testing.assert_array_equal(solver.net.flat.values, before)


def saved(folder: Path, **fields: Any) -> tuple[lk.Solver, Path]:
    """A solver after its run with snapshots, and its state in the middle."""
    solver = lk.Solver(digits_run(snapshot=6, **fields), folder=folder)
    solver.solve()
    return solver, folder / "iter_6.state.safetensors"


def test_going_on_without_averaging_goes_on_from_the_trained_weights(tmp_path: Path) -> None:
    whole, state = saved(tmp_path, average="swa")
    solver = lk.Solver(digits_run(snapshot=6))
    assert solver.restore(state) == ['solver.average: "swa" -> (none)']
    solver.solve()
    np.testing.assert_array_equal(solver.net.flat.values, whole.net.flat.values)


def test_averaging_can_begin_in_a_run_that_goes_on(tmp_path: Path) -> None:
    _, state = saved(tmp_path)
    solver = lk.Solver(digits_run(snapshot=6, average="swa"))
    notes = solver.restore(state)
    assert notes == [
        'solver.average: (none) -> "swa"',
        "average.count: not in the state, so it starts afresh",
    ]
    trained = [solver.step() and solver.net.flat.values.copy() for _ in range(3)]
    np.testing.assert_allclose(solver.average.values, np.mean(trained, axis=0), rtol=1e-4, atol=1e-6)


def test_trained_weights_that_do_not_fit_are_refused_before_anything_changes(tmp_path: Path) -> None:
    _, state = saved(tmp_path, average="swa", momentum=0.9)
    arrays, notes = arrayfile.load(state)
    arrayfile.save(state, {**arrays, "trained.fc2.bias": np.zeros(3, "f4")}, notes)
    solver = lk.Solver(digits_run(snapshot=6, average="swa", momentum=0.9))
    before = solver.net.flat.values.copy()
    with pytest.raises(lk.SnapshotError, match=r"'trained.fc2.bias' was float32 \[3\] and is float32 \[10\]"):
        solver.restore(state)
    np.testing.assert_array_equal(solver.net.flat.values, before)


def test_fine_tuning_starts_from_the_average(tmp_path: Path) -> None:
    solver, _ = saved(tmp_path, average="swa")
    shutil.copy(tmp_path / "iter_12.safetensors", tmp_path / "mine.safetensors")
    net = lk.Net(digits_run(), weights=tmp_path / "mine.safetensors")
    np.testing.assert_array_equal(net.flat.values, solver.average.values)
