"""Caffe's solver states: training that Caffe would go on with goes on here as Caffe's recorded training does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from test_solver_recorded import ARRAYS, FOLDER, WEIGHTS

import layerkit as lk
import layerkit.pycaffe as caffe
from layerkit import snapshot, wire
from layerkit.convert import caffemodel, solverstate
from layerkit.convert.caffemodel import SavedLayer
from layerkit.convert.solverstate import SolverState
from layerkit.datasets.files import blobproto

RECORDED = json.loads((FOLDER / "solvers.json").read_text())
SETTINGS = {each["name"]: each["solver"] for each in RECORDED["settings"]}
RULES = ("sgd_momentum_l2", "sgd_multistep", "nesterov", "adagrad", "rmsprop", "adadelta", "adam")
SHAPES = [ARRAYS[f"adam/init{k}"].shape for k in range(4)]
BEFORE, STEPS = 5, 12
"""Updates before the state is saved, and in all."""


@pytest.fixture(name="solver_file")
def written(folder: Path):
    """`solver_file(setting, more)` writes the recorded net and a solver, and returns the solver's path."""

    def write(setting: str, more: str = "") -> str:
        Path("tiny.prototxt").write_text(RECORDED["net"])
        Path("s.prototxt").write_text(f'net: "tiny.prototxt" max_iter: {STEPS} {SETTINGS[setting]} {more}')
        return "s.prototxt"

    return write


def train(solver: Any, setting: str, steps: range) -> list[np.ndarray]:
    """Make updates with the recorded batches; the weights after them."""
    for step in steps:
        for blob in ("data", "label"):
            solver.net.blobs[blob].data[...] = ARRAYS[f"{setting}/{blob}"][step]
        solver.step(1)
    return [solver.net.params[layer][weight == "bias"].data.copy() for layer, weight in WEIGHTS]


def begin(solver: Any, setting: str) -> None:
    for k, (layer, weight) in enumerate(WEIGHTS):
        solver.net.params[layer][weight == "bias"].data[...] = ARRAYS[f"{setting}/init{k}"]


def expect_caffes(weights: list[np.ndarray], setting: str) -> None:
    for k, found in enumerate(weights):
        wanted = ARRAYS[f"{setting}/after{k}"][STEPS - 1]
        assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max(), WEIGHTS[k]


@pytest.mark.parametrize(("setting", "ending"), list(zip(RULES, ["", ".h5"] * 4, strict=False)))
def test_interrupted_and_gone_on_is_uninterrupted(solver_file, command, setting: str, ending: str) -> None:
    path = solver_file(setting, "snapshot_format: HDF5" if ending else "")
    once = caffe.get_solver(path)
    begin(once, setting)
    train(once, setting, range(BEFORE))
    once.snapshot()
    through = train(once, setting, range(BEFORE, STEPS))
    expect_caffes(through, setting)

    again = caffe.get_solver(path)
    again.restore(f"s_iter_{BEFORE}.solverstate{ending}")
    for one, other in zip(train(again, setting, range(BEFORE, STEPS)), through, strict=True):
        np.testing.assert_array_equal(one, other)

    files = f"s_iter_{BEFORE}.caffemodel{ending}", f"s_iter_{BEFORE}.solverstate{ending}"
    answer = command("convert", path, *(files if ending else files[1:]), "-o", "run.yaml")
    assert answer.err.splitlines() == [
        "wrote run.yaml",
        "wrote run.safetensors (4 of 4 weights)",
        f"wrote run.state.safetensors (after {BEFORE} updates)",
    ]
    own = lk.Solver("run.yaml")
    assert own.restore("run.state.safetensors") == []
    assert own.iteration == snapshot.read_weights_info("run.safetensors").iteration == BEFORE
    found = train(own, setting, range(BEFORE, STEPS))
    expect_caffes(found, setting)
    for one, other in zip(found, through, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


def caffes_velocity(setting: str, momentum: float, nesterov: bool) -> list[np.ndarray]:
    """The history that Caffe had after the first updates, by the weights that it recorded after each.

    SGD moves by -v; Nesterov by -((1 + momentum) v - momentum v_old).
    """
    found = []
    for k in range(len(WEIGHTS)):
        course = np.concatenate([ARRAYS[f"{setting}/init{k}"][None], ARRAYS[f"{setting}/after{k}"]]).astype(float)
        velocity = np.zeros_like(course[0])
        for step in range(BEFORE):
            moved = course[step] - course[step + 1]
            velocity = (moved + momentum * velocity) / (1 + momentum) if nesterov else moved
        found.append(velocity.astype(np.float32))
    return found


@pytest.mark.parametrize(("setting", "nesterov"), [("sgd_step", False), ("nesterov", True)])
def test_a_history_that_caffe_had_is_gone_on_with(solver_file, command, setting: str, nesterov: bool) -> None:
    path = solver_file(setting)
    arrays = [ARRAYS[f"{setting}/after{k}"][BEFORE - 1] for k in range(4)]
    layers = [SavedLayer(name, "InnerProduct", blobs=tuple(arrays[i : i + 2])) for name, i in (("fc1", 0), ("fc2", 2))]
    Path("deep").mkdir()
    caffemodel.write("deep/x.caffemodel", "tiny", layers)
    history = b"".join(wire.data(3, blobproto.serialise(v)) for v in caffes_velocity(setting, 0.9, nesterov))
    said = wire.varint(1, BEFORE) + wire.data(2, "/caffe/examples/x.caffemodel")  # it lies beside the state, here
    Path("deep/x.solverstate").write_bytes(said + history + wire.varint(4, BEFORE // 4))
    assert command("convert", path, "deep/x.solverstate", "-o", "run.yaml").status == 0
    own = lk.Solver("run.yaml")
    own.restore("run.state.safetensors")
    expect_caffes(train(own, setting, range(BEFORE, STEPS)), setting)


NET = """layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 4 dim: 6 } shape { dim: 4 } data_filler { value: 0.5 } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def test_layerkit_train_goes_on_from_it(command) -> None:
    Path("net.prototxt").write_text(NET)
    Path("s.prototxt").write_text('net: "net.prototxt" base_lr: 0.1 momentum: 0.9 max_iter: 8 display: 1')
    solver = caffe.SGDSolver("s.prototxt")
    solver.step(5)
    solver.snapshot()
    solver.step(3)
    Path("runs/s").mkdir(parents=True)
    ways = (
        ("run.yaml", "runs/o", ["--snapshot", "run.state.safetensors"]),
        ("runs/s/iter_5.yaml", "runs/s", ["--resume"]),
    )
    for target, run, how in ways:
        assert command("convert", "s.prototxt", "s_iter_5.solverstate", "-o", target).status == 0
        answer = command("train", target, "--folder", run, *how)
        assert answer.status == 0, answer.err
        state = target.replace(".yaml", ".state.safetensors")
        assert f"going on from {state} at iteration 5" in answer.err
        assert "changed since then" not in answer.err
        last = f"{run}/iter_8.safetensors"
        np.testing.assert_allclose(lk.load(last).params["ip"][0].data, solver.net.params["ip"][0].data, rtol=1e-6)


# -- files -----------------------------------------------------------------------------------------------------------

HISTORY = tuple(np.random.default_rng(0).normal(size=shape).astype(np.float32) for shape in SHAPES)
STATE = SolverState(5000, "x_iter_5000.caffemodel", HISTORY, 2)


def same(one: SolverState, other: SolverState) -> bool:
    arrays = zip(one.history, other.history, strict=True)
    plain = (one.iteration, one.weights, one.step) == (other.iteration, other.weights, other.step)
    return plain and all(np.array_equal(a, b) for a, b in arrays)


def caffes_hdf5(path: Path) -> None:
    """A state as Caffe's calls of HDF5's lite interface lay it out."""
    text = h5py.h5t.C_S1.copy()  # ends in a zero byte, as C's texts do
    text.set_size(len(STATE.weights) + 1)
    with h5py.File(path, "w") as file:
        for name, value in (("iter", 5000), ("current_step", 2)):
            file.create_dataset(name, (1,), np.int32, [value])
        scalar = h5py.h5s.create(h5py.h5s.SCALAR)
        dataset = h5py.h5d.create(file.id, b"learned_net", text, scalar)
        dataset.write(scalar, scalar, np.array(STATE.weights.encode(), f"S{len(STATE.weights) + 1}"))
        for i, array in enumerate(HISTORY * 3):  # from the tenth on, the order of names is another one
            file[f"history/{i}"] = array


def test_a_solverstate(tmp_path: Path) -> None:
    path = tmp_path / "x.solverstate"
    history = b"".join(wire.data(3, blobproto.serialise(array)) for array in HISTORY)
    path.write_bytes(wire.varint(1, 5000) + wire.data(2, "x_iter_5000.caffemodel") + history + wire.varint(4, 2))
    assert same(solverstate.read(path), STATE)


def test_a_solverstate_in_hdf5(tmp_path: Path) -> None:
    caffes_hdf5(tmp_path / "caffes.solverstate.h5")
    assert same(solverstate.read(tmp_path / "caffes.solverstate.h5"), SolverState(5000, STATE.weights, HISTORY * 3, 2))
    own = tmp_path / "own.solverstate.h5"
    solverstate.write(own, STATE)
    assert same(solverstate.read(own), STATE)
    with h5py.File(own) as file:
        assert file["iter"].shape == file["current_step"].shape == (1,)
        assert file["learned_net"].shape == ()
        assert file["learned_net"].id.get_type().get_size() == len(STATE.weights) + 1  # of fixed size, with its zero
        assert list(file["history"]) == ["0", "1", "2", "3"]


def hdf5(path: Path, **changed: Any) -> None:
    with h5py.File(path, "w") as file:
        for name, value in {"iter": [3], "current_step": [0], "history/0": np.ones(3, np.float32), **changed}.items():
            if value is not None:
                file[name.replace("__", "/")] = value


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is no solverstate: it does not say its iteration"),
        (b"\x80", "is no solverstate, or is damaged: it ends within a number"),
        (b"\x89HDF\r\n\x1a\n", "is no solverstate in HDF5 that can be read: "),
        ({"iter": None}, "is no solverstate in HDF5 that can be read: .*iter"),
        ({"iter": [1.5]}, "holds as '/iter' something else than a whole number"),
        ({"learned_net": 3}, "holds as 'learned_net' something else than a path"),
        ({"history__1": [1]}, "holds for the history 1 something else than numbers"),
    ],
)
def test_broken_states_are_refused(tmp_path: Path, content: Any, sentence: str) -> None:
    path = tmp_path / "net.solverstate"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        hdf5(path, **content)
    with pytest.raises(lk.SnapshotError, match=sentence):
        solverstate.read(path)


def test_what_does_not_go_together_is_one_sentence(solver_file, command) -> None:
    path = solver_file("adam")
    solverstate.write("x.solverstate", SolverState(3, "", HISTORY))
    begun = caffe.get_solver(path)
    begun.net.save("x.caffemodel")
    Path("own.yaml").write_text("layers: []\n")
    for words, sentence in (
        (("s.prototxt", "x.solverstate", "-o", "run.yaml"), "'x.solverstate' names no weights; name its .caffemodel"),
        (("s.prototxt", "x.solverstate", "-o", "run.safetensors"), "so what to write must end in .yaml"),
        (("own.yaml", "x.solverstate", "-o", "net.prototxt"), "'x.solverstate', is converted with its solver.prototxt"),
        (("s.prototxt", "x.caffemodel", "x.solverstate", "-o", "run.yaml"), "4 arrays, and this rule and net need 8"),
        (("tiny.prototxt", "x.caffemodel", "x.solverstate", "-o", "run.yaml"), "has no 'solver'"),
    ):
        answer = command("convert", *words)
        assert (answer.status, answer.err.count("\n")) == (2, 1), answer
        assert sentence in answer.err
