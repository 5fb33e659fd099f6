"""Every shipped config as an ONNX model; preprocessing, names, metadata and files."""

import json
import sys

import numpy as np
import onnx
import pytest
from onnx_tools import Session, compare, compare_answers
from test_configs import CONFIGS, config
from test_configs_images import SMALL

import layerkit as lk
from layerkit.convert.onnx import export
from layerkit.convert.onnx.exporting import build
from layerkit.errors import ConfigError, DataError, SnapshotError


def small(name):
    """Overrides that make a net for photographs quick."""
    size, narrower = SMALL.get(name, (None, {}))
    if size is None:
        return []
    sizes = [f"net.layers.data.crop_size={size}", "net.layers.data.batch_size=2"]
    return sizes + [f"net.layers.{layer}.num_output={number}" for layer, number in narrower.items()]


def samples(net, count):
    """Random samples of the net's inputs; whole numbers where they are looked up in a table, 0 where all begins."""
    rng = np.random.default_rng(3)
    embedded = {ref.name for node in net.graph.nodes if node.spec.type == "Embed" for ref in node.bottoms}
    found = {}
    for name in net.inputs:
        shape = (count, *net.blobs[name].shape[1:])
        drawn = rng.integers(0, 2 if name == "cont" else 9, shape) if name in {*embedded, "cont"} else None
        found[name] = (rng.uniform(-1, 1, shape) if drawn is None else drawn).astype(np.float32)
        if name == "cont":
            found[name][0] = found[name][:, 0] = 0
    return found


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_answers_as_its_net_does_whatever_the_batch(name, tmp_path):
    net = lk.Net(config(name), "predict", overrides=small(name), engine="numpy")
    for key, array in net.flat.arrays().items():
        if key.endswith((".mean", ".variance", ".scale_factor")):
            array[...] = np.random.default_rng(1).uniform(0.5, 1.5, array.shape)
    export(net, tmp_path / "model.onnx")
    session = Session((tmp_path / "model.onnx").read_bytes())
    compare_answers(net, session, samples(net, 3))


RUN = """
name: small
net:
  layers:
    - {name: digits, type: Data, top: [data, label], dataset: digits, batch_size: 4, scale: 0.25, mean_value: 8}
    - {name: fc, type: InnerProduct, bottom: data, num_output: 10, weight_filler: xavier}
    - {name: relu, type: ReLU, top: fc}
    - {name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}
solver: {base_lr: 0.01, max_iter: 1}
"""


@pytest.fixture
def snapshot(tmp_path):
    solver = lk.Solver(RUN)
    solver.step(1)
    return solver.snapshot(tmp_path / "weights")


def exported(source, tmp_path, **options):
    """The session of an exported model, its metadata, and the notes."""
    path = tmp_path / "model.onnx"
    notes = export(source, path, **options)
    model = onnx.load(path)
    return Session(path.read_bytes()), {each.key: each.value for each in model.metadata_props}, notes


def test_a_snapshot_says_in_metadata_what_was_done_to_its_samples(snapshot, tmp_path):
    session, metadata, notes = exported(snapshot, tmp_path)
    net = lk.load(snapshot)
    assert session.inputs == {"data": ["N", 1, 8, 8]}
    assert session.outputs == ["prob"]
    assert notes == []
    said = {key: json.loads(value) for key, value in metadata.items()}
    assert said["class_names"] == list("0123456789")
    assert said["data.order"] == "transform, channel_order, crop_size in the middle, - mean, * scale"
    assert (said["data.scale"], said["data.mean_value"], said["data.channel_order"]) == (0.25, [8.0], "RGB")
    compare_answers(net, session, samples(net, 5))


def test_preprocessing_can_be_part_of_the_model(snapshot, tmp_path):
    session, metadata, _ = exported(snapshot, tmp_path, preprocess=True)
    raw = np.random.default_rng(0).integers(0, 17, (3, 1, 8, 8)).astype(np.float32)
    net = lk.load(snapshot)
    wanted = net.forward(data=(raw - 8) * np.float32(0.25))
    assert session.inputs == {"data.raw": ["N", 1, 8, 8]}
    assert "data.scale" not in metadata
    compare(session.run({"data.raw": raw}), wanted)


@pytest.mark.parametrize(
    "params",
    [
        {"mean_value": [1, 2, 3], "scale": 0.5, "channel_order": "BGR"},
        {"crop_size": 4, "mean_value": 2},
        {"mean_file": "mean.npy", "crop_size": 4, "scale": 0.25},
        {
            "transform": [
                {"type": "center_crop", "size": [3, 5]},
                {"type": "normalize", "mean": [1, 2, 3], "std": [2, 3, 4]},
            ]
        },
    ],
    ids=lambda params: "-".join(params),
)
def test_what_is_done_to_images_can_be_part_of_the_model(params, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raw = np.random.default_rng(0).integers(0, 9, (5, 3, 6, 7), np.uint8)
    np.savez("colors.npz", data=raw, label=np.zeros(5))
    np.save("mean.npy", np.random.default_rng(1).uniform(0, 4, (3, 6, 7)).astype(np.float32))
    data = {"name": "colors", "type": "Data", "top": ["data", "label"], "source": "colors.npz", "batch_size": 5}
    test = {"type": "Silence", "name": "end", "bottom": "label", "top": []}
    tree = {"layers": [{**data, **params}, {"name": "out", "type": "TanH", "bottom": "data"}, test]}
    seen = lk.Net(tree, "test", engine="numpy")
    session, _, _ = exported(tree, tmp_path, preprocess=True)
    compare(session.run({"data.raw": raw}), {"out": seen.forward()["out"]})


def test_a_transform_that_is_not_written_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("colors.npz", data=np.zeros((5, 3, 6, 7), np.uint8), label=np.zeros(5))
    data = {"name": "colors", "type": "Data", "top": ["data", "label"], "source": "colors.npz", "batch_size": 5}
    data["transform"] = [{"type": "resize", "size": 4}]
    tree = {"layers": [data, {"name": "out", "type": "TanH", "bottom": "data"}]}
    with pytest.raises(
        ConfigError, match=r"layer 'colors'.*what its transform 'resize' does to raw samples is not written"
    ):
        export(tree, tmp_path / "model.onnx", preprocess=True)
    _, metadata, _ = exported(tree, tmp_path)
    assert json.loads(metadata["data.transform"]) == [{"type": "resize", "size": [4]}]


def test_weights_of_a_run_can_be_given(snapshot, tmp_path):
    run = tmp_path / "run.yaml"
    run.write_text(RUN)
    session, _, _ = exported(run, tmp_path, weights=snapshot)
    compare_answers(lk.load(snapshot), session, samples(lk.load(snapshot), 2))


def test_a_shared_weight_lies_in_the_model_once(tmp_path):
    net = lk.Net(config("siamese"), "predict", engine="numpy")
    model, _ = build(net)
    names = [each.name for each in model.graph.initializer if "weight" in each.name or "bias" in each.name]
    assert len(names) == len(set(names)) == len(net.flat.slots) == 8


def test_an_input_that_is_changed_in_place_and_read_before(tmp_path):
    layers = [
        {"name": "x", "type": "Input", "shape": [2, 3]},
        {"name": "a", "type": "Power", "bottom": "x", "top": "x", "scale": 3},
        {"name": "b", "type": "TanH", "bottom": "x", "top": "x"},
        {"name": "y", "type": "Exp", "bottom": "x"},
    ]
    session, _, _ = exported({"layers": layers}, tmp_path)
    x = np.random.default_rng(0).uniform(-1, 1, (4, 3)).astype(np.float32)
    compare(session.run({"x": x}), {"y": np.exp(np.tanh(3 * x))})


def test_made_up_constants_serve_where_none_are_fed(tmp_path):
    layers = [
        {"name": "x", "type": "Input", "shape": [2, 3]},
        {"name": "c", "type": "DummyData", "shape": [2, 3], "data_filler": {"value": 2.0}},
        {"name": "y", "type": "Eltwise", "bottom": ["x", "c"]},
    ]
    session, _, notes = exported({"layers": layers}, tmp_path)
    x = np.ones((2, 3), np.float32)
    compare(session.run({"x": x}), {"y": 3 * x})
    compare(session.run({"x": x, "c": 5 * x}), {"y": 6 * x})
    assert session.inputs["x"] == [2, 3]
    assert "the batch has the size that the net has" in notes[0]


def test_a_recurrent_net_says_that_it_begins_anew(tmp_path):
    _, metadata, notes = exported(config("lstm_sequence"), tmp_path)
    assert notes == ["layer 'lstm': its state is 0 at the beginning of each run, as it is in a new net"]
    assert json.loads(metadata["notes"]) == notes


def test_every_layer_that_cannot_be_expressed_is_named_with_its_place(tmp_path):
    run = tmp_path / "run.yaml"
    run.write_text(
        "layers:\n"
        "  - {name: x, type: Input, shape: [2, 3]}\n"
        "  - {name: noise, type: DummyData, shape: [2, 3], data_filler: xavier}\n"
        "  - {name: y, type: Eltwise, bottom: [x, noise]}\n"
        "  - {name: out, type: HDF5Output, bottom: [x, y], top: [], file_name: y.h5, include: predict}\n"
    )
    with pytest.raises(ConfigError) as caught:
        export(run, tmp_path / "model.onnx")
    assert [str(problem).partition("run.yaml:")[2] for problem in caught.value.problems] == [
        "3:5: layer 'noise' (DummyData): ONNX cannot express it: it draws its values at random; a constant filler, or "
        "an Input, can be expressed",
        "5:5: layer 'out' (HDF5Output): ONNX cannot express it: it writes a file, and a model only computes",
    ]
    assert not (tmp_path / "model.onnx").exists()


def test_a_net_without_outputs_is_no_model(tmp_path):
    layers = [
        {"name": "x", "type": "Input", "shape": [2, 3]},
        {"name": "end", "type": "Silence", "bottom": "x", "top": []},
    ]
    with pytest.raises(ConfigError, match="nothing comes out of the net"):
        export({"layers": layers}, tmp_path / "model.onnx")


def test_a_model_of_more_than_a_file_holds(tmp_path, monkeypatch):
    monkeypatch.setattr("layerkit.convert.onnx.exporting.MOST_BYTES", 100)
    with pytest.raises(DataError, match="one ONNX file holds 2 GiB at the most"):
        export(RUN, tmp_path / "model.onnx")


def test_where_it_cannot_be_written(tmp_path):
    with pytest.raises(SnapshotError, match="there is no folder"):
        export(RUN, tmp_path / "nowhere" / "model.onnx")


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(DataError, match=r"writing ONNX needs the package onnx.*pip install 'layerkit\[onnx\]'"):
        export(RUN, tmp_path / "model.onnx")
