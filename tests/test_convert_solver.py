"""Caffe's solvers as runs: settings, one net or two, and where the nets' files are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_convert import LENET, LENET_YAML

import layerkit as lk
from layerkit import graph
from layerkit.convert.caffe_in import to_yaml
from layerkit.convert.report import Report

SOLVER = """\
net: "examples/mnist/lenet.prototxt"
# how often
test_iter: 100
test_interval: 500
base_lr: 0.01 momentum: 0.9 weight_decay: 0.0005
lr_policy: "inv" gamma: 0.0001 power: 0.75
max_iter: 10000
snapshot_prefix: "lenet"
solver_mode: GPU clip_gradients: -1 delta: 1e-8
solver_type: SGD
"""


def test_a_solver_with_its_net(tmp_path: Path) -> None:
    (tmp_path / "lenet.prototxt").write_text(LENET)
    path = tmp_path / "solver.prototxt"
    path.write_text(SOLVER)
    report = Report()
    written, _ = to_yaml(path, report)
    assert report.lines() == [f"note: {path}:8:1: snapshot_prefix is left out: snapshots lie in the run's folder"]
    head, _, rest = written.partition("\n\nsolver:\n")
    inside = LENET_YAML.partition("layers:")[2].rstrip("\n").replace("\n  ", "\n    ")
    assert head == f"# LeNet, as in 1998\n\nname: LeNet\n\nnet:\n  layers:{inside}"
    assert rest.splitlines() == [
        "  # how often",
        "  test_iter: 100",
        "  test_interval: 500",
        "  base_lr: 0.01",
        "  momentum: 0.9",
        "  weight_decay: 0.0005",
        "  lr_policy: inv",
        "  gamma: 0.0001",
        "  power: 0.75",
        "  max_iter: 10000",
        "  type: SGD",
    ]


NETS = """
train_net_param {{
  layer {{ name: "data" type: "DummyData" top: "x" dummy_data_param {{ shape {{ dim: 8 dim: 3 }} }} }}
  layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param {{ num_output: 3 }} }}
  layer {{ name: "drop" type: "Dropout" bottom: "ip" top: "ip" }}
  layer {{ name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "x" top: "loss" }}
}}
test_net_param {{
  layer {{ name: "data" type: "DummyData" top: "x" dummy_data_param {{ shape {{ dim: 2 dim: 3 }} }} }}
  layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param {{ num_output: 3 }} }}
  layer {{ name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "x" top: "loss" }}
  layer {{ name: "mae" type: "MeanAbsoluteError" bottom: "ip" bottom: "x" top: "mae" }}
}}
base_lr: 0.1 max_iter: 3 {more}
"""


def run_of(tmp_path: Path, more: str) -> tuple[str, list[str]]:
    """The YAML of a solver with two nets of its own and `more` settings, and what is said of it."""
    path = tmp_path / "s.prototxt"
    path.write_text(NETS.format(more=more))
    report = Report()
    return to_yaml(path, report)[0], [line.replace(str(path), "s") for line in report.lines()]


def test_two_nets_become_one(tmp_path: Path) -> None:
    written, lines = run_of(tmp_path, 'type: "Adam" momentum: 0.9 rampup_interval: 2 rampup_lr: 0.01 random_seed: -1')
    assert lines == []
    assert written.splitlines() == [
        "name: s",
        "",
        "net:",
        "  layers:",
        "    - {name: data, type: DummyData, top: x, shape: {train: [8, 3], test: [2, 3]}}",
        "    - {name: ip, type: InnerProduct, num_output: 3}",
        "    - {name: drop, type: Dropout, top: ip, include: train}",
        "    - {name: loss, type: EuclideanLoss, bottom: [ip, x]}",
        "    - {name: mae, type: MeanAbsoluteError, bottom: [ip, x], include: test}",
        "",
        "solver:",
        "  base_lr: 0.1",
        "  max_iter: 3",
        "  type: Adam",
        "  momentum: 0.9",
        "  warmup_iter: 2",
        "  warmup_start: 0.1",
    ]
    assert {phase: len(built.nodes) for phase, built in graph.load(written).graphs.items()} == {
        "train": 4, "test": 4, "predict": 2,
    }  # fmt: skip


def test_states_of_nets(tmp_path: Path) -> None:
    written, lines = run_of(tmp_path, 'test_state { phase: TEST stage: "a" } test_state { level: 2 } test_iter: [3, 4]')
    assert lines == []
    assert "  test_state: [{stage: a}, {level: 2}]\n  test_iter: [3, 4]\n" in written


def test_settings_that_layerkit_does_not_have_are_said(tmp_path: Path) -> None:
    _, lines = run_of(tmp_path, 'min_lr: 0.1 weights: "w.caffemodel" momentun: 0.9')
    assert lines == [
        "s:14:26: solver: layerkit's solver has no 'min_lr'; it is left out",
        "note: s:14:38: weights is left out: say --weights to layerkit train, for w.caffemodel",
        "s:14:62: SolverParameter has no field 'momentun'; did you mean 'momentum'?",
    ]


def test_a_net_that_is_not_there_is_said(tmp_path: Path) -> None:
    path = tmp_path / "solver.prototxt"
    path.write_text(SOLVER)
    with pytest.raises(
        lk.ConfigError, match=r"1:6: net: there is no file 'examples/mnist/lenet\.prototxt', neither here nor"
    ):
        to_yaml(path, Report())
    path.write_text("base_lr: 1")
    with pytest.raises(lk.ConfigError, match="the solver names no net to train"):
        to_yaml(path, Report())


# -- several test nets -------------------------------------------------------------------------------------------------

SMALL = """
layer {{ name: "data" type: "DummyData" top: "x" dummy_data_param {{ shape {{ dim: {rows} dim: 3 }} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param {{ num_output: 3 }} }}
layer {{ name: "drop" type: "Dropout" bottom: "ip" top: "ip" include {{ phase: TRAIN }} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "x" top: "loss" exclude {{ stage: "quick" }} }}
layer {{ name: "mae" type: "MeanAbsoluteError" bottom: "ip" bottom: "x" top: "mae" include {{ stage: "quick" }} }}
"""


def several(folder: Path, nets: str, more: str) -> tuple[str, lk.Solver]:
    """The YAML of a solver with these nets, and its solver."""
    for i in range(4):
        (folder / f"n{i}.prototxt").write_text(SMALL.format(rows=i + 4))
    path = folder / "s.prototxt"
    path.write_text(f"{nets} base_lr: 0.1 max_iter: 2 test_interval: 1 {more}")
    report = Report()
    written, _ = to_yaml(path, report)
    assert report.lines() == []
    return written, lk.Solver(written)


def test_several_test_nets_become_one_with_a_stage_each(tmp_path: Path) -> None:
    written, solver = several(
        tmp_path,
        'train_net: "n0.prototxt" test_net: "n1.prototxt" test_net: "n2.prototxt" test_net: "n1.prototxt"',
        'test_iter: 1 test_iter: 2 test_iter: 3 test_state {} test_state { stage: "quick" } test_state {}',
    )
    assert [line.strip() for line in written.split("layers:\n")[1].splitlines()] == [
        "- {name: data, type: DummyData, top: x, shape: [6, 3], include: {phase: test, stage: quick}}",
        "- name: data",
        "type: DummyData",
        "top: x",
        "shape: [5, 3]",
        "include: [{phase: test, stage: test0}, {phase: test, stage: test2}]",
        "- {name: data, type: DummyData, top: x, shape: [4, 3], include: train}",
        "- {name: ip, type: InnerProduct, bottom: x, num_output: 3}",
        "- {name: mae, type: MeanAbsoluteError, bottom: [ip, x], include: {phase: test, stage: quick}}",
        "- {name: drop, type: Dropout, top: ip, include: train}",
        "- name: loss",
        "type: EuclideanLoss",
        "bottom: [ip, x]",
        "include: [train, {phase: test, stage: test0}, {phase: test, stage: test2}]",
        "",
        "solver:",
        "base_lr: 0.1",
        "max_iter: 2",
        "test_interval: 1",
        "test_iter: [1, 2, 3]",
        "test_state: [{stage: test0}, {stage: quick}, {stage: test2}]",
    ]
    assert {name: net.blobs["x"].shape[0] for name, net in solver.test_nets.items()} == {
        "test0": 5, "quick": 6, "test2": 5,
    }  # fmt: skip
    assert list(solver.solve()) == ["test0.loss", "quick.mae", "test2.loss"]


def test_a_test_net_and_the_general_one(tmp_path: Path) -> None:
    """Caffe tests by the net to train, too, as far as there are more test_iter than test nets."""
    _, solver = several(tmp_path, 'net: "n0.prototxt" test_net: "n3.prototxt"', "test_iter: 1 test_iter: 2")
    assert {name: net.blobs["x"].shape[0] for name, net in solver.test_nets.items()} == {"test0": 7, "test1": 4}
    assert solver.spec.tests == {"test0": 1, "test1": 2}


def test_one_net_tested_twice(tmp_path: Path) -> None:
    written, solver = several(tmp_path, 'net: "n0.prototxt"', "test_iter: 1 test_iter: 2")
    assert "test_state: [{stage: test0}, {stage: test1}]" in written
    assert solver.spec.tests == {"test0": 1, "test1": 2}
    states = 'test_state { stage: "quick" } test_state { stage: "quick" level: 0 }'
    written, solver = several(tmp_path, 'net: "n0.prototxt"', f"test_iter: 1 test_iter: 2 {states}")
    assert list(solver.test_nets) == ["quick+test0", "quick+test1"]
    assert list(solver.test()) == ["quick+test0.mae", "quick+test1.mae"]
    written, _ = several(tmp_path, 'net: "n0.prototxt"', "test_iter: [1, 2] test_state { level: 1 } test_state {}")
    assert "test_state: [{level: 1}, {}]" in written
