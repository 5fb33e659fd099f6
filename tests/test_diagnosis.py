"""Where the first value came from that is not finite: its layer, its blob and the iteration; and its batch is kept."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rule_tools import digits_run

import layerkit as lk
from layerkit import events, snapshot

END = [
    {"name": "fc2", "type": "InnerProduct", "num_output": 3, "weight_filler": "xavier"},
    {"name": "loss", "type": "SoftmaxWithLoss", "bottom": ["fc2", "label"]},
]


def broken(tmp_path: Path, *middle: dict[str, Any], at: int = 5, value: float = 1e38, **fields: Any) -> lk.Solver:
    """A run on samples of which number `at` holds `value`, one a batch, over `middle` and a softmax."""
    rng = np.random.default_rng(0)
    data = rng.uniform(-1, 1, (8, 4)).astype("float32")
    data[at] = value
    np.savez(tmp_path / "samples.npz", data=data, label=rng.integers(0, 3, 8))
    source = {"name": "in", "type": "Data", "top": ["data", "label"], "source": str(tmp_path / "samples.npz")}
    source |= {"batch_size": 1, "shuffle": False}
    run = {
        "net": {"layers": [source, *middle, *END]},
        "solver": {"base_lr": 0.01, "max_iter": 20, "display": 0, **fields},
    }
    return lk.Solver(run, folder=tmp_path / "run", keep=())


def sentence(solver: lk.Solver) -> str:
    with pytest.raises(lk.DataError) as error:
        solver.solve()
    assert "\n" not in str(error.value)
    assert events.read(solver.folder / "events.jsonl")[-1]["message"] == str(error.value)
    return str(error.value)


def loaded(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def test_the_first_blob_in_forward_order_is_named_and_the_batch_is_saved(tmp_path: Path) -> None:
    solver = broken(tmp_path, {"name": "square", "type": "Power", "power": 2.0}, {"name": "relu", "type": "ReLU"})
    text = sentence(solver)
    path = tmp_path / "run" / "batch_5.npz"
    assert text == (
        "the loss is nan at iteration 5, first in the data of blob 'square', top of layer 'square' (Power) "
        f"(the batch is in {path}): lower base_lr, or look for extreme values in the data"
    )
    assert solver.iteration == 5
    batch = loaded(path)
    assert set(batch) == {"data", "label"}
    assert (batch["data"] == np.float32(1e38)).all()


def test_each_version_of_an_in_place_blob_is_looked_at(tmp_path: Path) -> None:
    middle = [
        {"name": "fc1", "type": "InnerProduct", "num_output": 4, "weight_filler": "xavier"},
        {"name": "exp", "type": "Exp", "bottom": "fc1", "top": "fc1"},
        {"name": "tame", "type": "TanH", "bottom": "fc1", "top": "fc1"},  # hides infinity again
        {"name": "log", "type": "Log", "bottom": "fc1", "top": "fc1", "shift": 1.0},
    ]
    text = sentence(broken(tmp_path, *middle, value=1e4))
    assert "first in the data of blob 'fc1', top of layer 'exp' (Exp)" in text


def test_a_gradient_that_is_not_finite_stops_before_it_spoils_the_weights(tmp_path: Path) -> None:
    middle = [
        {"name": "fc1", "type": "InnerProduct", "num_output": 4},  # gives 0
        {"name": "root", "type": "Power", "power": 0.5},  # has a slope without bounds there
    ]
    solver = broken(tmp_path, *middle)
    start = {name: array.copy() for name, array in solver.net.flat.arrays().items()}
    text = sentence(solver)
    assert text.startswith(
        "a gradient is not finite at iteration 0, first in the diff of blob 'fc1', bottom of layer 'root'"
    )
    for name, array in solver.net.flat.arrays().items():
        np.testing.assert_array_equal(array, start[name])
    assert (tmp_path / "run" / "batch_0.npz").exists()


def test_a_large_gradient_whose_square_outgrows_the_type_is_finite(tmp_path: Path) -> None:
    solver = broken(tmp_path, {"name": "fc1", "type": "InnerProduct", "num_output": 4}, value=0.5, base_lr=0.0)
    flat = solver.net.flat
    flat.diff[...] = 1e30
    with np.errstate(over="ignore"):  # as while it trains
        solver._guard.check_gradients(0)
        flat.diff[1] = np.nan
        with pytest.raises(lk.DataError, match="a gradient is not finite at iteration 0"):
            solver._guard.check_gradients(0)


def test_a_layer_that_refuses_what_is_not_finite_does_not_keep_the_place_from_us(tmp_path: Path) -> None:
    root = {"name": "root", "type": "Power", "power": 0.5, "shift": 1.0}
    solver = broken(tmp_path, root, value=-9.0)
    run = solver.run.resolved()
    run["net"]["layers"].insert(-1, {"name": "confused", "type": "ConfusionMatrix", "bottom": ["fc2", "label"]})
    text = sentence(lk.Solver(run, folder=tmp_path / "other"))
    assert text.startswith("layer 'confused' (ConfusionMatrix): ")
    assert "at iteration 5, first in the data of blob 'root', top of layer 'root' (Power) (the batch is in" in text


def test_samples_that_cannot_be_read_are_told_as_ever(tmp_path: Path) -> None:
    run = digits_run()
    solver = lk.Solver(run)

    def lost(bottom: Any, top: Any) -> None:
        raise lk.DataError("the disk is gone")

    solver.net.layers["digits"].forward = lost
    with pytest.raises(lk.DataError, match=r"^layer 'digits' \(Data\): the disk is gone$"):
        solver.solve()


def test_masks_and_carries_are_those_of_the_pass(tmp_path: Path) -> None:
    """Dropout drops all of the bad column in most passes; the pass that fails, and its repetition, let it through."""
    middle = [
        {"name": "drop", "type": "Dropout", "dropout_ratio": 0.9},
        {"name": "square", "type": "Power", "power": 2.0},
    ]
    seen: list[str] = []
    ends: set[int] = set()
    for seed in range(12):
        folder = tmp_path / str(seed)
        folder.mkdir()
        solver = broken(folder, *middle, random_seed=seed, value=1e30, max_iter=8)
        solver.events.listen(lambda event: seen.append(event["message"]) if event["event"] == "error" else None)
        with contextlib.suppress(lk.DataError):
            solver.solve()
        ends.add(solver.iteration)
    assert ends == {5, 8}
    assert all("at iteration 5, first in the data of blob 'square', top of layer 'square'" in text for text in seen)


def test_the_train_net_is_left_as_it_is(tmp_path: Path) -> None:
    solver = broken(tmp_path, {"name": "square", "type": "Power", "power": 2.0}, {"name": "norm", "type": "BatchNorm"})
    layers = [node.layer for node in solver.net.graph.nodes]
    scratch = [layer.scratch for layer in layers]
    sentence(solver)
    assert [node.layer for node in solver.net.graph.nodes] == layers
    assert [layer.scratch for layer in layers] == scratch


def test_weights_that_an_update_made_so_are_named(tmp_path: Path) -> None:
    run = digits_run(base_lr=1e38, weight_decay=1e3, max_iter=5, display=0)
    solver = lk.Solver(run, folder=tmp_path)
    text = sentence(solver)
    assert ", first in the weight of layer 'fc" in text
    assert "(InnerProduct), which an update made so" in text


def test_with_several_batches_an_update_the_one_that_broke_it_is_saved(tmp_path: Path) -> None:
    text = sentence(broken(tmp_path, {"name": "square", "type": "Power", "power": 2.0}, at=4, iter_size=3))
    assert "at iteration 1, first in the data of blob 'square'" in text
    assert (loaded(tmp_path / "run" / "batch_1.npz")["data"] == np.float32(1e38)).all()


def test_nets_that_exist_already_are_looked_into_too(tmp_path: Path) -> None:
    whole = broken(tmp_path, {"name": "square", "type": "Power", "power": 2.0})
    solver = lk.Solver.from_net(whole.net, whole.spec)
    with pytest.raises(
        lk.DataError, match=r"iteration 5, first in the data of blob 'square', top of .*\(Power\): lower base"
    ):
        solver.solve()


def test_a_full_disk_does_not_keep_the_place_from_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    solver = broken(tmp_path, {"name": "square", "type": "Power", "power": 2.0})

    def full(*args: Any) -> None:
        raise lk.SnapshotError("the disk is full")

    monkeypatch.setattr("layerkit.arrayfile.write_bytes", full)
    assert "top of layer 'square' (Power): lower base_lr" in sentence(solver)


def test_the_state_before_is_one_to_go_on_from(tmp_path: Path) -> None:
    solver = broken(tmp_path, {"name": "square", "type": "Power", "power": 2.0}, snapshot=2)
    sentence(solver)
    assert snapshot.newest_state(tmp_path / "run") == tmp_path / "run" / "iter_4.state.safetensors"
