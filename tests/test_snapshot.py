"""Snapshots: a file that is enough by itself, and sentences for everything that is none."""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import layerkit as lk
from layerkit import arrayfile, graph, snapshot
from layerkit.graph import as_tree
from layerkit.spec import load_run

RUN = """
name: pictures
net:
  layers:
    - {name: source, type: Data, top: [data, label], dataset: DATASET, batch_size: {train: 8, test: 4},
       scale: 0.01, mean_value: [10, 20, 30], channel_order: BGR}
    - {name: conv, type: Convolution, bottom: data, num_output: 4, kernel_size: 2, weight_filler: xavier}
    - {name: relu, type: ReLU, top: conv}
    - {name: drop, type: Dropout}
    - {name: fc, type: InnerProduct, num_output: 3, weight_filler: xavier}
    - {name: loss, type: SoftmaxWithLoss, bottom: [fc, label], top: [loss, prob], loss_weight: [1, 0]}
    - {name: accuracy, type: Accuracy, bottom: [fc, label], include: test}
solver: {base_lr: 0.1, momentum: 0.9, max_iter: 6, display: 0, test_interval: 3}
"""


@pytest.fixture
def trained(tmp_path: Path) -> lk.Solver:
    """A solver after its run, with snapshots in `tmp_path/run`, on a dataset that is then gone."""
    rng = np.random.default_rng(0)
    arrays = {
        part: {"data": rng.integers(0, 256, (n, 3, 5, 4), dtype=np.uint8), "label": rng.integers(0, 3, n)}
        for part, n in (("train", 20), ("test", 10))
    }
    lk.add_dataset("vanishing", **arrays, class_names=["ant", "bee", "cat"])
    solver = lk.Solver(RUN.replace("DATASET", "vanishing"), folder=tmp_path / "run")
    solver.solve()
    lk.add_dataset("vanishing", train={"data": np.zeros((1, 1)), "label": np.zeros(1)})
    return solver


# -- a file that is enough ---------------------------------------------------------------------------------------


def test_a_snapshot_gives_the_numbers_of_the_test_net_anywhere(
    trained: lk.Solver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(tmp_path / "run" / "iter_6.safetensors", elsewhere / "mine.safetensors")
    shutil.rmtree(tmp_path / "run")
    monkeypatch.chdir(elsewhere)
    net = lk.load("mine.safetensors")
    test = trained.test_net
    test.forward()
    out = net.forward(data=test.blobs["data"].data)
    assert list(out) == ["prob"]
    np.testing.assert_allclose(out["prob"], test.blobs["prob"].data, rtol=1e-6)  # Softmax, not SoftmaxWithLoss
    assert net.graph.state.phase == "predict"
    assert net.inputs == ["data"]


def test_a_snapshot_carries_preprocessing_class_names_and_shapes(trained: lk.Solver, tmp_path: Path) -> None:
    net = lk.load(tmp_path / "run" / "iter_6.safetensors", dtype="float64")
    info = net.graph.samples["data"]
    assert info == lk.SampleInfo(
        shape=[3, 5, 4], scale=0.01, mean_value=[10, 20, 30], channel_order="BGR", class_names=["ant", "bee", "cat"]
    )
    assert net.dtype == np.float64
    raw = np.random.default_rng(1).integers(0, 256, (5, 3, 5, 4), dtype=np.uint8)
    by_hand = (raw[:, ::-1] - np.array([10.0, 20, 30]).reshape(3, 1, 1)) * 0.01
    wanted = [["ant", "bee", "cat"][k] for k in net.forward(data=by_hand)["prob"].argmax(axis=1)]
    assert net.predict(raw) == wanted
    assert net.predict(raw[2]) == wanted[2]


def test_weights_have_caffes_layout_under_their_layers_names(trained: lk.Solver, tmp_path: Path) -> None:
    arrays, _ = arrayfile.load(tmp_path / "run" / "iter_6.safetensors")
    assert {name: array.shape for name, array in arrays.items()} == {
        "conv.weight": (4, 3, 2, 2), "conv.bias": (4,), "fc.weight": (3, 48), "fc.bias": (3,),
    }  # fmt: skip
    for name, array in arrays.items():
        layer, weight = name.split(".")
        np.testing.assert_array_equal(array, trained.net.params[layer][weight].data)


def test_weights_alone_fit_a_net_made_from_yaml(trained: lk.Solver, tmp_path: Path) -> None:
    weights = tmp_path / "run" / "iter_6.safetensors"
    net = lk.Net(yaml_of(lk.load(weights)), "predict", weights=weights)
    x = np.random.default_rng(2).uniform(-1, 1, (2, 3, 5, 4))
    np.testing.assert_array_equal(net.forward(data=x)["prob"], lk.load(weights).forward(data=x)["prob"])


def yaml_of(net: lk.Net) -> dict[str, Any]:
    return {"layers": [dict(as_tree(node.spec)) for node in net.graph.nodes]}


def test_metadata_holds_no_absolute_path_and_nothing_to_run(trained: lk.Solver, tmp_path: Path) -> None:
    for name in ("iter_6.safetensors", "iter_6.state.safetensors"):
        about = json.loads(arrayfile.metadata(tmp_path / "run" / name)["layerkit"])
        assert about.pop("versions") == {
            "layerkit": lk.__version__, "numpy": np.__version__, "python": platform.python_version(),
        }  # fmt: skip
        text = json.dumps(about)
        assert str(tmp_path) not in text
        assert os.getcwd() not in text
        assert not re.search(r'"(/|[A-Z]:\\\\)', text)
        assert not re.search(r"python|import|eval|lambda|pickle|__", text, re.IGNORECASE)


def test_equal_runs_give_equal_bytes(tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        solver = lk.Solver(RUN.replace("dataset: DATASET", f"source: {npz(tmp_path)}"), folder=tmp_path / name)
        solver.solve()
        files.append([(tmp_path / name / f"iter_6{s}.safetensors").read_bytes() for s in ("", ".state")])
    assert files[0][0] == files[1][0]


def npz(folder: Path) -> Path:
    path = folder / "samples.npz"
    if not path.exists():
        rng = np.random.default_rng(0)
        np.savez(path, data=rng.uniform(0, 255, (20, 3, 5, 4)), label=rng.integers(0, 3, 20))
    return path


def test_a_net_on_a_file_can_be_used_when_the_file_is_gone(tmp_path: Path) -> None:
    solver = lk.Solver(RUN.replace("dataset: DATASET", f"source: {npz(tmp_path)}"), folder=tmp_path / "run")
    solver.solve()
    npz(tmp_path).unlink()
    net = lk.load(tmp_path / "run" / "iter_6.safetensors")
    assert net.predict(np.zeros((2, 3, 5, 4))).shape == (2, 3)


def test_levels_stages_and_explicit_predict_layers_are_kept(tmp_path: Path) -> None:
    run = """
net:
  layers:
    - {name: in, type: Input, top: [x, y], shape: [[2, 3], [2, 2]]}
    - {name: fc, type: InnerProduct, bottom: x, num_output: 2, weight_filler: xavier}
    - {name: twice, type: Power, bottom: fc, scale: 2, include: {stage: deploy}}
    - {name: loss, type: EuclideanLoss, bottom: [fc, y], include: train}
    - {name: error, type: EuclideanLoss, bottom: [fc, y], include: [predict]}
solver: {base_lr: 0.1, max_iter: 1, display: 0, test_state: {stage: deploy}}
"""
    solver = lk.Solver(run, folder=tmp_path)
    solver.solve()
    net = lk.load(tmp_path / "iter_1.safetensors")
    assert net.outputs == ["twice", "error"]
    assert net.inputs == ["x", "y"]
    out = net.forward(x=np.ones((2, 3)), y=np.zeros((2, 2)))
    np.testing.assert_allclose(out["twice"], 2 * net.blobs["fc"].data)


def test_a_shared_weight_is_found_when_its_owner_is_not_in_the_predict_net(tmp_path: Path) -> None:
    run = """
net:
  layers:
    - {name: x, type: Input, shape: [2, 3]}
    - {name: a, type: InnerProduct, bottom: x, num_output: 3, weight_filler: xavier, param: {name: w}, include: train}
    - {name: b, type: InnerProduct, bottom: x, num_output: 3, weight_filler: xavier, param: {name: w}}
    - {name: loss, type: EuclideanLoss, bottom: [a, x], include: train}
solver: {base_lr: 0.1, max_iter: 1, display: 0}
"""
    solver = lk.Solver(run, folder=tmp_path)
    solver.solve()
    arrays, _ = arrayfile.load(tmp_path / "iter_1.safetensors")
    assert sorted(arrays) == ["a.bias", "a.weight", "b.bias"]
    net = lk.load(tmp_path / "iter_1.safetensors")
    np.testing.assert_array_equal(net.params["b"].weight.data, arrays["a.weight"])
    tested = lk.Net(run, "test", weights=tmp_path / "iter_1.safetensors")
    np.testing.assert_array_equal(tested.params["b"].weight.data, arrays["a.weight"])
    fresh = lk.Net(run)
    assert fresh.load_weights(tmp_path / "iter_1.safetensors", strict=True).skipped == []


# -- what is no snapshot -----------------------------------------------------------------------------------------


def sentence(call: Any) -> str:
    with pytest.raises(lk.SnapshotError) as error:
        call()
    text = str(error.value)
    assert "\n" not in text
    return text


def test_foreign_and_broken_files_are_one_sentence(trained: lk.Solver, tmp_path: Path) -> None:
    good = tmp_path / "run" / "iter_6.safetensors"
    data = good.read_bytes()
    bad = tmp_path / "bad.safetensors"
    for content in (b"", b"x" * 7, b"hello world, this is a text", data[:20], data[:-1], data[: len(data) // 2]):
        bad.write_bytes(content)
        assert str(bad) in sentence(lambda: lk.load(bad))
    altered = bytearray(data)
    altered[-5] ^= 1
    bad.write_bytes(altered)
    assert "does not match its checksum" in sentence(lambda: lk.load(bad)) or "damaged" in sentence(
        lambda: lk.load(bad)
    )
    assert "there is no file" in sentence(lambda: lk.load(tmp_path / "missing.safetensors"))
    arrayfile.save(bad, {"a": np.zeros(2)})
    assert "not a layerkit snapshot" in sentence(lambda: lk.load(bad))
    arrayfile.save(bad, {"a": np.zeros(2)}, {"layerkit": "[1, 2]"})
    assert "not a layerkit snapshot" in sentence(lambda: lk.load(bad))


def rewritten(good: Path, bad: Path, **changes: Any) -> Path:
    """A copy of a snapshot whose metadata says something else."""
    arrays, notes = arrayfile.load(good)
    about = {**json.loads(notes["layerkit"]), **changes}
    about = {key: value for key, value in about.items() if value is not ...}
    arrayfile.save(bad, arrays, {"layerkit": json.dumps(about)})
    return bad


def test_metadata_that_cannot_be_used_is_one_sentence(trained: lk.Solver, tmp_path: Path) -> None:
    good, bad = tmp_path / "run" / "iter_6.safetensors", tmp_path / "bad.safetensors"
    for changes, part in [
        ({"format": 99}, "written by a newer layerkit (format 99, this one reads 1)"),
        ({"format": 0}, "the snapshot's metadata cannot be used: format: "),
        ({"format": "new"}, "the snapshot's metadata cannot be used: format: "),
        ({"digest": ...}, "the snapshot's metadata cannot be used: digest: Field required"),
        ({"samples": {"data": {"scale": 1}}}, "the snapshot's metadata cannot be used: samples.data.shape"),
        ({"predict": {"net": {"layers": [{"type": "Gone"}]}}}, "the predict net inside cannot be used: "),
        ({"predict": {"nets": 3}}, "the predict net inside cannot be used: "),
        ({"predict": {"net": {"layers": [{"name": "x", "type": "InnerProduct", "num_output": 1}]}}}, "cannot be used"),
        ({"predict": None}, "the snapshot holds no predict net: it was saved without a run; use Net(..., weights=...)"),
    ]:
        text = sentence(lambda changes=changes: lk.load(rewritten(good, bad, **changes)))
        assert part in text
        assert str(bad) in text


@pytest.mark.parametrize("inside", ["layer", "net", "blocks", "body"])
def test_a_snapshot_reads_no_other_file(trained: lk.Solver, tmp_path: Path, inside: str) -> None:
    good, bad = tmp_path / "run" / "iter_6.safetensors", tmp_path / "bad.safetensors"
    layer = {"name": "d", "type": "Data", "top": ["data"], "source": str(npz(tmp_path)), "batch_size": 1}
    layers = [{**layer, "include": ["predict"]}]
    (tmp_path / "net.yaml").write_text(json.dumps({"layers": [{"name": "x", "type": "Input", "shape": [1, 2]}]}))
    net, part = {
        "layer": ({"layers": layers}, "it has a Data layer, and a snapshot reads no other files"),
        "net": (str(tmp_path / "net.yaml"), "its 'net' is no mapping"),
        "blocks": ({"blocks": {"b": {"layers": layers}}, "layers": [{"block": "b"}]}, "it has 'blocks'"),
        "body": ({"layers": [{"name": "r", "type": "Loop", "layers": layers}]}, "it has a Data layer"),
    }[inside]
    text = sentence(lambda: lk.load(rewritten(good, bad, predict={"net": net})))
    assert text.startswith(f"{bad}: the predict net inside cannot be used: {part}")


def test_metadata_without_bottom_is_one_sentence(trained: lk.Solver, tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    for text in ("[" * 100_000, '{"format": ' + "[" * 100_000):
        arrayfile.save(bad, {"a": np.zeros(2)}, {"layerkit": text})
        assert "not a layerkit snapshot" in sentence(lambda: lk.load(bad))
    deep: Any = "x"
    for _ in range(900):
        deep = [deep]
    net = {"layers": [{"name": "x", "type": deep}]}
    assert "cannot be used" in sentence(
        lambda: lk.load(rewritten(tmp_path / "run" / "iter_6.safetensors", bad, predict={"net": net}))
    )


@pytest.mark.parametrize(
    ("samples", "part"),
    [
        ({"shape": [3, 5, 5]}, "samples of shape 3x5x5 do not fit the input 'data', which takes 3x5x4"),
        ({"shape": []}, "do not fit the input 'data', which takes 3x5x4"),
        ({"shape": [3, 5, 4], "mean_value": [1, 2]}, "mean_value has 2 values, which do not fit"),
    ],
)
def test_samples_that_do_not_fit_the_net_are_refused(
    trained: lk.Solver, tmp_path: Path, samples: dict[str, Any], part: str
) -> None:
    good, bad = tmp_path / "run" / "iter_6.safetensors", tmp_path / "bad.safetensors"
    assert part in sentence(lambda: lk.load(rewritten(good, bad, samples={"data": samples})))


def test_weights_that_do_not_fit_the_predict_net_are_refused(trained: lk.Solver, tmp_path: Path) -> None:
    good, bad = tmp_path / "run" / "iter_6.safetensors", tmp_path / "bad.safetensors"
    arrays, notes = arrayfile.load(good)
    arrayfile.save(bad, {**arrays, "fc.bias": np.zeros(4, "f4")}, notes)
    assert sentence(lambda: lk.load(bad)) == f"{bad}: 'fc.bias' is 4, but the net's is 3"
    del arrays["conv.weight"]
    arrayfile.save(bad, arrays, notes)
    assert sentence(lambda: lk.load(bad)) == f"{bad} has no weight 'conv.weight'; did you mean 'fc.weight'?"


def test_a_state_is_no_snapshot_and_the_other_way_round(trained: lk.Solver, tmp_path: Path) -> None:
    weights, state = (tmp_path / "run" / f"iter_6{s}.safetensors" for s in ("", ".state"))
    text = sentence(lambda: lk.load(state))
    assert text == f"{state}: this is a solver's state; the weights are iter_6.safetensors beside it"
    assert sentence(lambda: trained.net.load_weights(state, strict=False)) == text
    text = sentence(lambda: trained.restore(weights))
    assert text == f"{weights}: these are weights, not a solver's state; the state's name ends in .state.safetensors"


def test_weights_saved_without_a_run_hold_no_predict_net(tmp_path: Path) -> None:
    net = lk.Net("layers:\n- {name: x, type: Input, shape: [2, 3]}\n- {name: fc, type: InnerProduct, num_output: 2}")
    snapshot.save_weights(tmp_path / "plain.safetensors", net)
    assert "it was saved without a run" in sentence(lambda: lk.load(tmp_path / "plain.safetensors"))


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        ("", "no layer is left in the predict phase"),
        ("- {name: more, type: Power, bottom: fc}", "layer 'fc' (InnerProduct): bottom 'x' is missing: "),
    ],
    ids=["empty", "faulty"],
)
def test_a_run_whose_predict_net_cannot_be_derived_says_why(tmp_path: Path, layer: str, why: str) -> None:
    run = f"""
net:
  layers:
    - {{name: x, type: Input, shape: [2, 3], include: train}}
    - {{name: fc, type: InnerProduct, bottom: x, num_output: 3}}
    - {{name: loss, type: EuclideanLoss, bottom: [fc, x]}}
    {layer}
solver: {{base_lr: 0.1, max_iter: 1, display: 0}}
"""
    snapshot.save_weights(tmp_path / "a.safetensors", lk.Net(run), snapshot.describe(load_run(run)))
    assert f"the snapshot holds no predict net: {why}" in sentence(lambda: lk.load(tmp_path / "a.safetensors"))


def test_the_predict_net_is_derived_once_when_the_solver_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []
    real = graph._build
    monkeypatch.setattr(graph, "_build", lambda *given: built.append(given[1].phase) or real(*given))
    loaded = graph.load(RUN.replace("dataset: DATASET", f"source: {npz(tmp_path)}"))
    solver = lk.Solver(loaded, folder=tmp_path / "run")
    npz(tmp_path).rename(tmp_path / "moved.npz")
    solver.snapshot()
    assert built == ["train", "test", "predict"]
    assert solver.predict_missing is None
    assert lk.load(tmp_path / "run" / "iter_0.safetensors").outputs == ["prob"]


# -- writing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failing", [1, 2])
def test_a_full_disk_keeps_the_older_snapshot(
    trained: lk.Solver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    run = tmp_path / "run"
    before = {path.name: path.read_bytes() for path in run.glob("iter_6*")}
    trained.net.flat.data[...] += 1
    calls = 0
    write = os.write

    def full(descriptor: int, data: Any) -> int:
        nonlocal calls
        if len(data) > 1000:
            calls += 1
            if calls >= failing:
                raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    if failing == 1:
        text = sentence(trained.snapshot)
        assert re.fullmatch(
            r"cannot write '.*iter_6.safetensors': the disk is full; the file needs [\d,.]+ (bytes|MB)", text
        )
        monkeypatch.undo()
        assert {path.name: path.read_bytes() for path in run.glob("iter_6*")} == before
        assert snapshot.newest_state(run) == run / "iter_6.state.safetensors"
    else:
        sentence(trained.snapshot)
        monkeypatch.undo()
        assert not list(run.glob(".*"))


def test_a_folder_that_cannot_be_is_one_sentence(trained: lk.Solver, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    trained.folder = tmp_path / "file" / "run"
    assert "cannot write" in sentence(trained.snapshot)
