"""BatchNorm in a net: its statistics are collected in training, shared with the test net, saved, and used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from net_tools import check_gradients, fill, make

import layerkit as lk
from layerkit import arrayfile
from layerkit.checks import Case, prepare

NET = """
- {name: data, type: Input, top: [data, label], shape: [[6, 3, 4, 2], [6]]}
- {name: bn, type: BatchNorm, bottom: data, moving_average_fraction: 0.9}
- {name: scale, type: Scale, bottom: bn, top: bn, bias_term: true}
- {name: relu, type: ReLU, top: bn}
- {name: fc, type: InnerProduct, bottom: bn, num_output: 2, weight_filler: xavier}
- {name: bn2, type: BatchNorm, bottom: fc, top: fc}
- {name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}
"""
RUN = """
name: normalized
net:
  layers:
    - {name: digits, type: Data, top: [data, label], dataset: digits, batch_size: {train: 50, test: 100}, scale: 0.0625}
    - {name: fc1, type: InnerProduct, bottom: data, num_output: 16, weight_filler: xavier}
    - {name: bn, type: BatchNorm, bottom: fc1, top: fc1}
    - {name: scale, type: Scale, bottom: fc1, top: fc1, bias_term: true}
    - {name: relu, type: ReLU, bottom: fc1, top: fc1}
    - {name: fc2, type: InnerProduct, num_output: 10, weight_filler: xavier}
    - {name: loss, type: SoftmaxWithLoss, bottom: [fc2, label], top: [loss, prob], loss_weight: [1, 0]}
    - {name: accuracy, type: Accuracy, bottom: [fc2, label], include: test}
solver: {base_lr: 0.1, momentum: 0.9, weight_decay: 0.01, max_iter: 40, display: 0, test_interval: 10, snapshot: 15}
"""
STATISTICS = ("mean", "variance", "scale_factor")


def statistics(net: lk.Net, layer: str = "bn") -> dict[str, Any]:
    return {name: net.params[layer][name].data.copy() for name in STATISTICS}


def assert_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.fixture
def solver(tmp_path: Path) -> lk.Solver:
    return lk.Solver(RUN, folder=tmp_path)


# -- collecting ----------------------------------------------------------------------------------------------------


def test_statistics_of_three_batches_by_hand() -> None:
    net = make(NET)
    batches = np.random.default_rng(0).normal(3, 2, (3, 6, 3, 4, 2))
    for batch in batches:
        net.forward(data=batch, label=np.zeros(6))
    share = np.array([0.81, 0.9, 1])  # what is left of each batch
    found = statistics(net)
    assert found["scale_factor"][0] == pytest.approx(2.71)
    np.testing.assert_allclose(found["mean"], share @ batches.mean(axis=(1, 3, 4)))
    np.testing.assert_allclose(found["variance"], share @ batches.var(axis=(1, 3, 4), ddof=1))


def test_of_one_value_the_variance_is_that_of_the_batch() -> None:
    lone = prepare(Case("BatchNorm", "one", [(1, 4)], no_formula="its statistics are looked at"))
    before = lone.statistics
    lone.forward()
    np.testing.assert_allclose(lone.layer.weights.variance.data, 0.999 * before["variance"])
    np.testing.assert_allclose(lone.layer.weights.mean.data, 0.999 * before["mean"] + lone.bottom[0].data[0])


def test_a_batch_without_rows_leaves_the_statistics() -> None:
    lone = prepare(Case("BatchNorm", "none", [(5, 4)], no_formula="its statistics are looked at"), zero_rows=True)
    lone.forward()
    assert_same({name: blob.data for name, blob in lone.layer.weights.items()}, lone.statistics)


@pytest.mark.parametrize("phase", ["train", "test"])
def test_gradients_of_a_net_with_in_place_normalization(phase: str) -> None:
    net = make(f"{NET}force_backward: true\n", phase)
    fill(net)
    for layer in ("bn", "bn2"):
        for name in ("variance", "scale_factor"):
            data = net.params[layer][name].data
            data[...] = np.abs(data) + 0.5
    check_gradients(net, "data")
    assert not {slot.name for slot in net.flat.trained} & set(STATISTICS)


# -- sharing -------------------------------------------------------------------------------------------------------


def test_the_test_net_reads_the_train_nets_statistics_and_leaves_them(solver: lk.Solver) -> None:
    test = solver.test_net
    assert test is not None
    for name in STATISTICS:
        assert np.shares_memory(test.params["bn"][name].data, solver.net.params["bn"][name].data)
    solver.step(3)
    before = statistics(solver.net)
    assert before["scale_factor"][0] == pytest.approx(1 + 0.999 + 0.999**2)
    solver.test()
    assert_same(statistics(solver.net), before)


def test_statistics_do_not_decay_and_follow_no_gradient() -> None:
    layers = [
        {"name": "in", "type": "Input", "top": ["x", "y"], "shape": [[4, 3], [4, 3]]},
        {"name": "bn", "type": "BatchNorm", "bottom": "x"},
        {"name": "scale", "type": "Scale"},
        {"name": "loss", "type": "EuclideanLoss", "bottom": ["scale", "y"]},
    ]
    fields = {"base_lr": 0.5, "max_iter": 5, "display": 0, "momentum": 0.9, "weight_decay": 0.1}
    solver = lk.Solver({"net": {"layers": layers}, "solver": fields}, dtype="float64")
    x = solver.net.blobs["x"].data
    x[...] = np.random.default_rng(0).uniform(-1, 1, x.shape)
    solver.step(5)
    found = statistics(solver.net)
    seen = sum(0.999**i for i in range(5))
    assert found["scale_factor"][0] == pytest.approx(seen)
    np.testing.assert_allclose(found["mean"], seen * x.mean(axis=0))
    np.testing.assert_allclose(found["variance"], seen * x.var(axis=0, ddof=1))
    assert not np.allclose(solver.net.params["scale"].scale.data, 1)


# -- saving --------------------------------------------------------------------------------------------------------


def test_trained_tested_saved_and_used(solver: lk.Solver, tmp_path: Path) -> None:
    outputs = solver.solve()
    assert outputs["accuracy"] > 0.9
    path = tmp_path / "iter_40.safetensors"
    arrays, _ = arrayfile.load(path)
    assert_same({name: arrays[f"bn.{name}"] for name in STATISTICS}, statistics(solver.net))
    test, net = solver.test_net, lk.load(path)
    assert test is not None
    test.forward()
    before = statistics(net)
    out = net.forward(data=test.blobs["data"].data)
    np.testing.assert_allclose(out["prob"], test.blobs["prob"].data, rtol=1e-6)  # Softmax, not SoftmaxWithLoss
    one_by_one = [net.forward(data=row[None])["prob"][0].copy() for row in test.blobs["data"].data[:5]]
    np.testing.assert_allclose(one_by_one, test.blobs["prob"].data[:5], rtol=1e-4)  # no batch has a say
    assert_same(statistics(net), before)


def test_resumed_equals_uninterrupted(solver: lk.Solver, tmp_path: Path) -> None:
    outputs = solver.solve()
    again = lk.Solver(RUN, folder=tmp_path / "again")
    assert again.restore(tmp_path / "iter_15.state.safetensors") == []
    assert again.net.params["bn"].scale_factor.data[0] == pytest.approx(sum(0.999**i for i in range(15)))
    assert again.solve() == outputs
    wanted = {key: array.copy() for key, array in solver.net.flat.arrays().items()}
    assert {f"bn.{name}" for name in STATISTICS} < wanted.keys()
    assert_same(again.net.flat.arrays(), wanted)
