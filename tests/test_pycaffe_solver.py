"""pycaffe's solvers: steps, tests, callbacks, and snapshots in Caffe's own files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import layerkit as lk
import layerkit.pycaffe as caffe
from layerkit.convert import solverstate
from layerkit.convert.caffe_in import to_yaml
from layerkit.convert.report import Report
from layerkit.errors import ConfigError, SnapshotError, UsageError

NET = """\
name: "tiny"
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 8 dim: 6 } shape { dim: 8 } data_filler { type: "uniform" min: -1 max: 1 } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" param { lr_mult: 1 } param { lr_mult: 2 }
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "frozen" type: "Scale" bottom: "ip" top: "scaled" param { lr_mult: 0 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "scaled" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "scaled" bottom: "label" top: "accuracy" include { phase: TEST } }
"""

SOLVER = """\
net: "tiny.prototxt" test_iter: 2 test_interval: 4 base_lr: 0.1 %s lr_policy: "step" gamma: 0.5 stepsize: 3
display: 5 max_iter: 10 snapshot: 6 snapshot_prefix: "%s" random_seed: 1 solver_mode: GPU debug_info: false
"""

CLASSES = {
    caffe.SGDSolver: "momentum: 0.9 weight_decay: 0.001",
    caffe.NesterovSolver: "momentum: 0.9",
    caffe.AdaGradSolver: "weight_decay: 0.001",
    caffe.RMSPropSolver: "rms_decay: 0.98",
    caffe.AdaDeltaSolver: "momentum: 0.95 delta: 1e-6",
    caffe.AdamSolver: "momentum: 0.9 momentum2: 0.99",
}


@pytest.fixture(name="make")
def maker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`make(says, text)` writes net and solver and returns the solver's path."""
    monkeypatch.setenv("GLOG_minloglevel", "2")

    def make(says: str = "momentum: 0.9", text: str = SOLVER) -> str:
        (tmp_path / "tiny.prototxt").write_text(NET)
        (tmp_path / "solver.prototxt").write_text(text % (says, tmp_path / "tiny") if "%s" in text else text)
        return str(tmp_path / "solver.prototxt")

    return make


def weights(solver: caffe.Solver) -> np.ndarray:
    return np.concatenate([blob.data.ravel() for blobs in solver.net.params.values() for blob in blobs])


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.kind)
def test_every_rule_trains_and_goes_on_from_its_state(make, tmp_path, cls):
    path = make(CLASSES[cls])
    solver = cls(path)
    solver.step(6)
    assert (solver.iter, solver.lr) == (6, pytest.approx(0.025))
    state = solverstate.read(tmp_path / "tiny_iter_6.solverstate")
    assert (state.iteration, state.weights, state.step) == (6, str(tmp_path / "tiny_iter_6.caffemodel"), 2)
    arrays = solver._run.updater.history.values()
    assert len(state.history) == 3 * len(arrays)  # one for each weight, the frozen one's zeros
    assert not state.history[2].any()
    assert all(history.any() for history in arrays)
    again = cls(path)
    again.restore(tmp_path / "tiny_iter_6.solverstate")
    assert again.iter == 6
    np.testing.assert_array_equal(weights(again), weights(solver))
    for each in (solver, again):  # the same samples for both, which a solverstate says nothing of
        each.net.blobs["label"].data[...] = 1
        each.net.blobs["data"].data[...] = np.linspace(-1, 1, 48).reshape(8, 6)
        each.net.clear_param_diffs()
        each.net.forward(start="ip")
        each.net.backward(end="ip")
        each.apply_update()
    np.testing.assert_array_equal(weights(again), weights(solver))


def test_a_step_is_that_of_layerkits_own_solver(make, tmp_path):
    """The converted run, trained by layerkit, comes to the same weights."""
    path = make("momentum: 0.9 weight_decay: 0.001")
    solver = caffe.SGDSolver(path)
    solver.step(5)
    written, _ = to_yaml(Path(path), Report())
    own = lk.Solver(written)
    own.step(5)
    for index in (0, 1):
        np.testing.assert_array_equal(solver.net.params["ip"][index].data, own.net.params["ip"][index].data)


def test_solve_trains_to_the_end_tests_and_snapshots(make, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("GLOG_minloglevel")
    solver = caffe.get_solver(make("momentum: 0.9"))
    assert type(solver) is caffe.SGDSolver
    solver.solve()
    assert solver.iter == solver.param.max_iter == 10
    assert sorted(path.name for path in tmp_path.glob("*.caffemodel")) == ["tiny_iter_10.caffemodel",
                                                                           "tiny_iter_6.caffemodel"]  # fmt: skip
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("Iteration")][0::2][:2] == ["Iteration 0, Testing net",
                                                                               "Iteration 4, Testing net"]  # fmt: skip
    assert sum("Test net output: accuracy = " in line for line in lines) == 3
    assert any(line.startswith("Iteration 5, loss = ") and line.endswith("lr = 0.05") for line in lines)
    again = caffe.get_solver(make("momentum: 0.9"))
    again.solve(tmp_path / "tiny_iter_6.solverstate")
    assert again.iter == 10


def test_test_nets_have_the_train_nets_weights(make):
    solver = caffe.SGDSolver(make())
    (test,) = solver.test_nets
    assert test.outputs == ["accuracy", "loss"]
    assert np.shares_memory(test.params["ip"][0].data, solver.net.params["ip"][0].data)
    test.share_with(solver.net)  # as scripts do; nothing to do here
    solver.step(1)
    test.forward()
    np.testing.assert_array_equal(test.params["ip"][0].data, solver.net.params["ip"][0].data)
    other = caffe.Net(make().replace("solver", "tiny"), caffe.TEST)
    solver.share_weights(other)
    assert np.shares_memory(other.params["ip"][0].data, solver.net.params["ip"][0].data)
    with pytest.raises(UsageError, match="a solver's net keeps its own arrays"):
        solver.net.share_with(caffe.Net(make().replace("solver", "tiny"), caffe.TRAIN))


def test_callbacks_come_before_the_pass_and_before_the_update(make):
    solver = caffe.SGDSolver(make())
    seen = []
    start = solver.net.params["ip"][0].data.copy()

    def ready() -> None:
        seen.append(("ready", bool(solver.net.params["ip"][0].diff.any())))
        solver.net.params["ip"][0].diff[...] = 0  # a script may change the gradients
        solver.net.params["ip"][1].diff[...] = 1

    solver.add_callback(lambda: seen.append(("start", solver.iter)), ready)
    solver.add_callback(lambda: None)
    solver.step(2)
    assert seen == [("start", 0), ("ready", True), ("start", 1), ("ready", True)]
    np.testing.assert_array_equal(solver.net.params["ip"][0].data, start)
    np.testing.assert_allclose(solver.net.params["ip"][1].data, -0.2 * (1 + 1.9), rtol=1e-6)


def test_a_nets_hooks_are_called_in_training(make):
    path = make("momentum: 0.9 iter_size: 2")
    hooked, plain = caffe.SGDSolver(path), caffe.SGDSolver(path)
    calls = []
    hooked.net.after_forward(lambda i: calls.append(i))
    hooked.net.before_backward(lambda i: calls.append(-i))
    for solver in (hooked, plain):
        solver.step(3)
    assert calls == [0, 1, 2, 3, -3, -2, -1, 0] * 6
    np.testing.assert_allclose(weights(hooked), weights(plain), rtol=1e-5)


def test_several_nets_and_their_own_files(make, tmp_path):
    text = """train_net: "tiny.prototxt" test_net: "tiny.prototxt" test_net: "other.prototxt" test_iter: 1 test_iter: 2
test_state { stage: "a" } test_state { level: 1 } test_interval: 2 base_lr: 0.1
"""
    path = make(text=text)
    (tmp_path / "other.prototxt").write_text(NET.replace("dim: 8", "dim: 5"))
    solver = caffe.SGDSolver(path)
    assert [net.blobs["data"].num for net in solver.test_nets] == [8, 5]
    solver.step(3)
    solver.snapshot()
    assert (tmp_path / "solver_iter_3.caffemodel").exists()  # named after the solver's file
    assert caffe.SGDSolver(make(text=f"net_param {{ {NET} }} base_lr: 0.1")).test_nets == []
    general = caffe.AdamSolver(
        make(text='net: "tiny.prototxt" base_lr: 0.1 test_iter: 1 test_iter: 1 test_interval: 3')
    )
    assert len(general.test_nets) == 2
    general.step(1)


def test_what_is_wrong_is_said_in_one_sentence_each(make, tmp_path):
    for text, message in (
        ('net: "none.prototxt" base_lr: 0.1', "there is no file 'none.prototxt', neither here nor beside the solver"),
        ("base_lr: 0.1", "the solver names no net to train"),
        ('net: "tiny.prototxt" base_lr: 0.1 moment: 1', "SolverParameter has no field 'moment'; did you mean"),
        ('net: "tiny.prototxt" base_lr: 0.1 lr_policy: "step"', "step needs gamma and stepsize"),
    ):
        with pytest.raises(ConfigError, match=message):
            caffe.SGDSolver(make(text=text))
    sgd, adam = caffe.SGDSolver(make()), caffe.AdamSolver(make("momentum: 0.9"))
    sgd.snapshot()
    with pytest.raises(SnapshotError, match="does not fit: it holds 3 arrays, and this rule and net need 6"):
        adam.restore(tmp_path / "tiny_iter_0.solverstate")
    with pytest.raises(UsageError, match="the seed must be a whole number from 0 on, not -1"):
        caffe.set_random_seed(-1)
