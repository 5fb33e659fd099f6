"""`layerkit predict`: what is read, what is answered, and that it is what `net.predict` and `net.forward` say."""

import io
import json
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

import layerkit as lk
from layerkit import datasets, snapshot
from layerkit.datasets.picture import Picture

SNAPSHOT = "digits.safetensors"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A snapshot of a net that knows digits a little."""
    solver = lk.Solver(Path(__file__).parents[1] / "configs" / "mlp.yaml")
    solver.step(60)
    path = tmp_path_factory.mktemp("trained") / "digits"
    solver.snapshot(path)
    return path.with_name(SNAPSHOT)


@pytest.fixture
def predict(command, trained):
    """`predict(input, ...)` runs `layerkit predict` with that snapshot."""
    shutil.copy(trained, SNAPSHOT)
    return lambda *arguments: command("predict", SNAPSHOT, *arguments)


def samples(count=None):
    source = datasets.open_source("digits", None, "test")
    return source.read(np.arange(len(source) if count is None else count))


def probabilities(raw):
    return lk.load(SNAPSHOT).forward(data=raw * np.float32(0.0625))["prob"].copy()


def give(monkeypatch, content):
    """Put bytes on standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(content))))


def snapshot_of(layers, name="own.safetensors"):
    """A snapshot of a net that is not trained."""
    path = Path(name)
    lk.Solver({"net": {"layers": layers}, "solver": {"base_lr": 0.1, "max_iter": 1}}).snapshot(path.with_suffix(""))
    return name


# -- what is answered --------------------------------------------------------------------------------------------------


def test_a_dataset_is_answered_line_by_line(predict):
    answer = predict("digits", "--json")
    assert answer.status == 0
    assert not answer.err
    found = [json.loads(line) for line in answer.out.splitlines()]
    prob = probabilities(samples()[0])  # over several batches
    assert [each["input"] for each in found] == [f"digits[{i}]" for i in range(360)]
    assert [each["prob"][0]["class"] for each in found] == [str(k) for k in prob.argmax(axis=1)]
    np.testing.assert_allclose([each["prob"][0]["score"] for each in found], prob.max(axis=1), rtol=1e-5)


def test_the_best_classes_come_first(predict):
    np.save("x.npy", samples(1)[0][0])
    (prob,) = probabilities(samples(1)[0])
    best = np.argsort(-prob)[:3]
    assert predict("x.npy", "--top", "3").out == "".join(f"x.npy: {k} {prob[k]:.4f}\n" for k in best)
    assert predict("x.npy", "--top", "99").out.count("\n") == 10


def test_a_net_of_values_prints_them(command):
    lk.add_dataset("heights", train={"data": np.zeros((4, 3)), "label": np.zeros((4, 2))})
    source = {"name": "d", "type": "Data", "top": ["data", "label"], "dataset": "heights", "part": "train"}
    name = snapshot_of(
        [
            {**source, "batch_size": 2},
            {"name": "a", "type": "InnerProduct", "bottom": "data", "num_output": 2, "weight_filler": "xavier"},
            {"name": "b", "type": "InnerProduct", "bottom": "data", "num_output": 20, "weight_filler": "xavier"},
            {"name": "c", "type": "Power", "bottom": "a"},
            {"name": "loss", "type": "EuclideanLoss", "bottom": ["a", "label"]},
        ]
    )
    x = np.array([[0.5, -1, 2], [1, 0, 0], [0, 0, 1e3]])
    np.savetxt("x.txt", x)
    out = lk.load(name).forward(data=x)
    lines = command("predict", name, "x.txt").out.splitlines()
    lines.sort()
    assert lines[1] == f"x.txt:1: c: {' '.join(f'{value:.6g}' for value in out['c'][0])}"
    assert lines[0] == f"x.txt:1: b: 20 values from {out['b'][0].min():.6g} to {out['b'][0].max():.6g}"
    third = json.loads(command("predict", name, "x.txt", "--json").out.splitlines()[2])
    np.testing.assert_allclose(third["b"], out["b"][2], rtol=1e-6)


def test_a_softmax_without_class_names_gives_numbers(command):
    lk.add_dataset("plain", train={"data": np.zeros((4, 3)), "label": np.zeros(4)})
    name = snapshot_of(
        [
            {
                "name": "d",
                "type": "Data",
                "top": ["data", "label"],
                "dataset": "plain",
                "part": "train",
                "batch_size": 2,
            },
            {"name": "a", "type": "InnerProduct", "bottom": "data", "num_output": 2, "bias_filler": {"value": 0}},
            {"name": "loss", "type": "SoftmaxWithLoss", "bottom": ["a", "label"]},
        ]
    )
    Path("x.csv").write_text("1,2,3\n")
    assert command("predict", name, "x.csv").out == "x.csv:1: 0 0.5000\n"


# -- what is read ------------------------------------------------------------------------------------------------------


def test_images_arrays_text_folders_and_datasets_are_the_same(predict):
    data, label = samples(3)
    Path("folder", "sub").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.png", "sub/c.png")):
        Image.fromarray(data[i, 0]).save(Path("folder", name))
    np.save("x.npy", data)
    np.savez("x.npz", data=data, label=label)
    Path("x.csv").write_text(
        "# eight times eight\n" + ",".join(f"p{i}" for i in range(64)) + "\n\n"
        + "\n".join("; ".join(map(str, sample.ravel())) for sample in data)
    )  # fmt: skip
    wanted = [f"{k} {prob[k]:.4f}" for prob in probabilities(data) for k in [prob.argmax()]]

    def answered(*inputs):
        pairs = [line.split(": ") for line in predict(*inputs).out.splitlines()]
        assert [answer for _, answer in pairs] == wanted
        return [place for place, _ in pairs]

    assert answered("folder") == [str(Path("folder", name)) for name in ("a.png", "b.png", "sub/c.png")]
    assert answered("folder/a.png", "folder/b.png", "folder/sub/c.png")[2] == "folder/sub/c.png"
    assert answered("x.npy") == ["x.npy[0]", "x.npy[1]", "x.npy[2]"]
    assert answered("x.npz") == ["x.npz[0]", "x.npz[1]", "x.npz[2]"]
    assert answered("x.csv") == ["x.csv:4", "x.csv:5", "x.csv:6"]
    assert predict("configs/mlp.yaml", "--part", "test").out.splitlines()[0] == f"configs/mlp.yaml[0]: {wanted[0]}"


def test_a_folder_of_parts_is_a_dataset(predict):
    data, _ = samples(4)
    for i, place in enumerate(("train/ant", "train/bee", "val/bee")):
        folder = Path("pets", place)
        folder.mkdir(parents=True)
        Image.fromarray(data[i, 0]).save(folder / "a.png")
    Image.fromarray(data[3, 0]).resize((9, 7)).save("pets/val/bee/b.png")
    third, first = (prob.argmax() for prob in probabilities(data[[2, 0]]))
    answer = predict("pets")  # val, which stands in for test
    assert answer.out.startswith(f"pets[0]: {third} ")
    assert answer.out.count("\n") == 2
    assert answer.err == "pets[1]: resized from 7x9 to 8x8, which the net takes\n"
    assert predict("pets", "--part", "train").out.startswith(f"pets[0]: {first} ")
    assert predict("pets", "--part", "tets").err.startswith("there is no part 'tets'; did you mean 'test'?")
    assert predict("pets/train", "--part", "tets").err.startswith("there is no part 'tets'")
    assert predict("pets", "--blob", "fc1", "-o", "f.npz").status == 0
    assert np.load("f.npz")["label"].tolist() == [1, 1]
    assert predict("pets/train").out.startswith(f"{Path('pets/train/ant/a.png')}: {first} ")  # has no parts: files


def test_standard_input_is_an_image_or_numbers(predict, monkeypatch):
    data, _ = samples(2)
    wanted = [f"{prob.argmax()} {prob.max():.4f}\n" for prob in probabilities(data)]
    content = io.BytesIO()
    Image.fromarray(data[0, 0]).save(content, "PNG")
    give(monkeypatch, content.getvalue())
    assert predict("-").out == f"-: {wanted[0]}"
    give(monkeypatch, "\n".join(" ".join(map(str, sample.ravel())) for sample in data).encode())
    assert predict("-").out == f"-:1: {wanted[0]}-:2: {wanted[1]}"
    give(monkeypatch, b"")
    assert predict("-").err == "there is nothing on standard input\n"


def test_an_image_of_another_size_is_resized_and_that_is_said(predict):
    image = np.random.default_rng(0).integers(0, 17, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(image).save("photo.png")
    answer = predict("photo.png")
    assert answer.err == "photo.png: resized from 20x30 to 8x8, which the net takes\n"
    with Image.open("photo.png") as opened:
        grey = np.asarray(opened.convert("L"))
    (prob,) = probabilities(Picture.of(grey[np.newaxis]).resized(8, 8, "bilinear").pixels()[np.newaxis])
    assert answer.out == f"photo.png: {prob.argmax()} {prob.max():.4f}\n"


def test_what_the_source_did_to_images_of_any_size_is_done(command):
    rng = np.random.default_rng(1)
    for name, height, width in (("a.png", 9, 7), ("b.png", 6, 12), ("c.png", 7, 7)):
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(name)
    Path("list.txt").write_text("a.png 0\nb.png 1\nc.png 0\n")
    source = {"name": "d", "type": "ImageData", "top": ["data", "label"], "source": "list.txt", "batch_size": 3}
    done = {"new_height": 6, "new_width": 6, "crop_size": 4, "mean_value": [10, 20, 30], "scale": 0.01}
    scores = {"name": "fc", "type": "InnerProduct", "bottom": "data", "num_output": 2, "weight_filler": "xavier"}
    layers = [{**source, **done}, scores, {"name": "loss", "type": "SoftmaxWithLoss", "bottom": ["fc", "label"]}]
    name = snapshot_of(layers)
    test = lk.Net({"layers": layers[:2]}, "test", weights=name)
    test.forward()  # as in training, through the layer itself
    assert command("predict", name, "a.png", "b.png", "c.png", "--blob", "fc", "-o", "fc.npz") == (
        0,
        "",
        "wrote fc.npz: fc of 3 samples\n",
    )
    np.testing.assert_allclose(np.load("fc.npz")["fc"], test.blobs["fc"].data, rtol=1e-5)


def test_a_net_in_yaml_takes_weights(predict, command):
    assert command("predict", "configs/mlp.yaml", "digits", "--weights", SNAPSHOT).out == predict("digits").out


# -- blobs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["f.npz", "f.h5"])
def test_blobs_of_a_whole_dataset_go_to_a_file(predict, name):
    data, label = samples()
    answer = predict("digits", "--blob", "fc1", "--blob", "prob", "-o", name)
    assert answer == (0, "", f"wrote {name}: fc1, prob of 360 samples\n")
    net = lk.load(SNAPSHOT)
    net.forward(data=data * np.float32(0.0625))
    with np.load(name) if name == "f.npz" else h5py.File(name) as file:
        assert sorted(file) == ["fc1", "label", "prob"]
        np.testing.assert_array_equal(file["label"][...], label)
        for blob in ("fc1", "prob"):
            np.testing.assert_allclose(file[blob][...], net.blobs[blob].data, rtol=1e-4, atol=1e-6)
    assert predict("digits", "--blob", "fc1", "-o", name).err == f"{name!r} exists; --force replaces it\n"
    assert predict("digits", "--blob", "fc1", "-o", name, "--force").status == 0


def test_one_blob_goes_to_lmdb(predict, command):
    assert predict("digits", "--blob", "fc1", "-o", "f.lmdb").status == 0
    assert predict("digits", "--blob", "fc1", "-o", "f.npz").status == 0
    assert command("data", "convert", "f.lmdb", "g.npz").status == 0
    with np.load("f.npz") as f, np.load("g.npz") as g:
        np.testing.assert_array_equal(g["data"].reshape(360, 128), f["fc1"])
        np.testing.assert_array_equal(g["label"], f["label"])
    answer = predict("digits", "--blob", "fc1", "--blob", "fc2", "-o", "h.lmdb")
    assert answer.err == "'h.lmdb' would be LMDB, which holds one blob; name an .npz or .h5 file\n"


def test_blobs_without_a_file_are_printed(predict):
    np.save("x.npy", samples(1)[0][0])
    (line,) = predict("x.npy", "--blob", "fc2", "--json").out.splitlines()
    assert len(json.loads(line)["fc2"]) == 10


def test_an_input_without_an_axis_for_samples_is_one_sentence(command):
    formula = {"name": "e", "type": "Expression", "expr": "(x * w - 1)**2", "weights": {"w": {"shape": []}}}
    layers = [{"name": "x", "type": "Input", "shape": []}, formula]
    name = snapshot_of([*layers, {"name": "loss", "type": "Power", "loss_weight": 1}])
    Path("x.csv").write_text("2\n")
    answer = command("predict", name, "x.csv")
    said = "the net's input 'x' is a single number, without an axis for samples; use the net from Python\n"
    assert (answer.status, answer.out, answer.err) == (2, "", said)


def test_json_has_null_for_what_is_no_finite_number(command):
    layers = [
        {"name": "data", "type": "Input", "shape": [1, 2]},
        {"name": "scale", "type": "Scale"},
        {"name": "log", "type": "Log"},
        {"name": "both", "type": "Concat", "bottom": ["log", "data"]},
    ]
    name = snapshot_of([*layers, {"name": "loss", "type": "Reduction", "loss_weight": 1}])
    Path("x.csv").write_text("-1,0\n")
    with np.errstate(all="ignore"):
        answer = command("predict", name, "x.csv", "--json", "--blob", "both")
    assert json.loads(answer.out, parse_constant=pytest.fail)["both"] == [None, None, -1, 0]
    said = command("predict", name, "x.csv", "--json", "--blob", "both", "-o", "x.npz").err
    assert said == "--json means nothing beside -o\n"


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("digits", "--blob", "fc11"), "there is no blob 'fc11'; did you mean 'fc1'?\n"),
        (("bad.png",), "bad.png is no image that can be read: "),
        (("none.png",), "there is no file, folder or known set 'none.png'\n"),
        (("short.npy",), "short.npy[0]: it is 7, but the net takes samples of 1x8x8, 64 numbers\n"),
        (
            ("last.npy",),
            "last.npy[0]: it is 8x8x1, but the net takes samples of 1x8x8; the channels seem to come last: ",
        ),
        (("one.npy",), "one.npy holds a single number, not samples of 1x8x8\n"),
        (("parity",), "parity[0]: it is 32x2, but the net takes samples of 1x8x8\n"),
        (("words.csv",), "words.csv:2: 'b' is no number; a table with texts is read as a dataset, by --kind\n"),
        (("digits", "--part", "tst"), "there is no part 'tst'; did you mean 'test'?\n"),
        (("digits", "-o", "f.npz"), "-o writes blobs: name some by --blob, of: data, "),
        (("digits", "--blob", "fc1", "-o", "f"), "'f' would be a folder of images, which cannot hold blobs"),
        (("digits", "--blob", "fc1", "-o", "f.xyz"), "its name must end in .npz, "),
        (("digits", "whole.npy", "--blob", "fc1", "-o", "f.npz"), "some inputs have labels and others have none"),
        (
            ("photos.zip",),
            "'photos.zip' is an archive, and no source by itself: unpack it, and give the file or folder",
        ),
        (("empty",), "'empty' does not tell by its name of which kind it is"),
        (("digits", "--weights", "w.npz"), "--weights goes with a YAML file; a snapshot has its own\n"),
    ],
)
def test_what_can_be_mended_is_one_sentence(predict, arguments, sentence):
    Path("bad.png").write_bytes(b"no image")
    Path("photos.zip").write_bytes(b"PK")
    Path("words.csv").write_text("x,y\n3,b\n")
    Path("empty").mkdir()
    for name, array in {
        "short": np.zeros((2, 7)),
        "one": np.array(3.0),
        "last": np.zeros((2, 8, 8, 1)),
        "whole": np.zeros((2, 1, 8, 8)),
    }.items():
        np.save(f"{name}.npy", array)
    answer = predict(*arguments)
    assert answer.status == 2
    assert sentence in answer.err
    assert answer.err.count("\n") == 1
    assert not [*Path().glob("f*"), *Path().glob(".*")]


def test_a_broken_image_on_standard_input(predict, monkeypatch):
    give(monkeypatch, b"\x89PNG broken")
    assert predict("-").err.startswith("standard input is no image that can be read: ")


def test_samples_that_cannot_be_used_are_left_out_and_counted(predict):
    data, label = samples(3)
    np.savez("x.npz", data=data, label=label)
    Image.fromarray(data[1, 0]).save("b.png")
    Path("a.png").write_bytes(b"no image")
    Path("x.csv").write_text(f"1,2,3\n{','.join(map(str, data[2].ravel()))}\n1,2,x\n")
    wanted = [f"{prob.argmax()} {prob.max():.4f}" for prob in probabilities(data)]
    answer = predict("x.npz", "a.png", "b.png", "x.csv", "none.png", "--skip")
    assert answer.status == 2  # an input that is not there is no sample
    answer = predict("x.npz", "a.png", "b.png", "x.csv", "--skip")
    assert answer.status == 0
    assert [line.split(": ")[1] for line in answer.out.splitlines()] == [*wanted, wanted[1], wanted[2]]
    assert answer.err.splitlines() == [
        "left out: a.png is no image that can be read: it is no JPEG, PNG, BMP, GIF, TIFF, WEBP, PPM or JPEG2000",
        "left out: x.csv:1: it is 3, but the net takes samples of 1x8x8, 64 numbers",
        "left out: x.csv:3: 'x' is no number; a table with texts is read as a dataset, by --kind",
        "answered 5 samples; 3 left out",
    ]
    assert predict("a.png", "b.png", "--skip", "--blob", "fc1", "-o", "f.npz").err.endswith("of 1 sample; 1 left out\n")
    alone = predict("a.png", "--skip")
    assert alone.status == 2
    assert alone.err.endswith("none of the samples can be used\n")


def test_an_image_for_a_net_of_points(command):
    name = snapshot_of(
        [
            {"name": "d", "type": "Data", "top": ["data", "label"], "dataset": "spirals", "batch_size": 2},
            {"name": "a", "type": "InnerProduct", "bottom": "data", "num_output": 2, "weight_filler": "xavier"},
            {"name": "loss", "type": "SoftmaxWithLoss", "bottom": ["a", "label"]},
        ]
    )
    Image.new("L", (3, 2)).save("x.png")
    assert command("predict", name, "x.png").err == "x.png: the net takes samples of 2, which are no images\n"
    Path("x.txt").write_text("1 2 3\n")
    assert command("predict", name, "x.txt").err == "x.txt:1: it is 3, but the net takes samples of 2\n"


def test_an_image_that_is_too_small_for_the_crop(command):
    Image.new("RGB", (9, 9)).save("large.png")
    Image.new("RGB", (3, 9)).save("small.png")
    Path("list.txt").write_text("large.png 0\n")
    name = snapshot_of(
        [
            {"name": "d", "type": "ImageData", "top": ["data", "label"], "source": "list.txt", "crop_size": 5},
            {"name": "a", "type": "InnerProduct", "bottom": "data", "num_output": 2, "weight_filler": "xavier"},
            {"name": "loss", "type": "SoftmaxWithLoss", "bottom": ["a", "label"]},
        ]
    )
    answer = command("predict", name, "large.png", "small.png")
    assert answer.err == "small.png: crop_size 5 does not fit into an image of 9x3\n"
    skipped = command("predict", name, "large.png", "small.png", "large.png", "--skip")
    assert [line.split(":")[0] for line in skipped.out.splitlines()] == ["large.png", "large.png"]
    assert skipped.err == f"left out: {answer.err}answered 2 samples; 1 left out\n"
    Path("x.txt").write_text("1 2 3 4\n")
    assert command("predict", name, "x.txt").err == "x.txt:1: it is 4, but the net takes samples of 3xHxW\n"


def test_a_snapshot_that_has_no_predict_net_and_yaml_without_weights(command, trained):
    net = lk.Net("layers: [{name: x, type: Input, shape: [[2, 3]]}, {name: y, type: InnerProduct, num_output: 2}]")
    snapshot.save_weights("bare.safetensors", net)
    answer = command("predict", "bare.safetensors", "digits")
    assert "bare.safetensors: the snapshot holds no predict net: it was saved without a run" in answer.err
    answer = command("predict", "configs/mlp.yaml", "digits")
    assert answer.err == "configs/mlp.yaml holds no weights: give --weights, or a snapshot instead of it\n"
    state = trained.with_name("digits.state.safetensors")
    assert "this is a solver's state" in command("predict", str(state), "digits").err
