"""`layerkit data convert`: what it writes, and that nothing is left half-written."""

import json
import os
import signal
from pathlib import Path

import h5py
import lmdb
import numpy as np
import pytest
from data_tools import IMAGES, digits, listing, pixels, write_h5, write_image, write_images
from PIL import Image

import layerkit as lk
from layerkit.datasets import reading
from layerkit.datasets.files import datum
from layerkit.datasets.source import ArraySource
from layerkit.datasets.transforms.resampling import bilinear
from layerkit.datasets.writing import image_writer

RNG = np.random.default_rng(11)


def save(name="own.npz", **arrays):
    np.savez(name, **arrays)


def test_convert_goes_round(command):
    data, label = digits("test")
    assert command("data", "convert", "digits", "a.npz", "--part", "test").err.startswith("wrote a.npz: 360 samples")
    assert command("data", "convert", "a.npz", "b.h5").status == 0
    with np.load("a.npz") as npz, h5py.File("b.h5") as h5:
        for name, wanted in {"data": data, "label": label}.items():
            assert npz[name].dtype == h5[name].dtype == np.uint8
            np.testing.assert_array_equal(npz[name], wanted)
            np.testing.assert_array_equal(h5[name][()], wanted)


def test_convert_to_a_folder_of_images(command):
    images = RNG.integers(0, 256, (5, 3, 4, 6), dtype=np.uint8)
    lk.add_dataset("few", train={"data": images, "label": np.array([1, 0, 1, 1, 0])}, class_names=["ant", "bee"])
    assert command("data", "convert", "few", "tree").status == 0
    assert {name: sorted(os.listdir(f"tree/{name}")) for name in os.listdir("tree")} == {
        "ant": ["00000001.png", "00000004.png"],
        "bee": ["00000000.png", "00000002.png", "00000003.png"],
    }
    np.testing.assert_array_equal(pixels("tree/bee/00000002.png"), images[2].transpose(1, 2, 0))
    assert command("data", "convert", "few", "tree", "--encoded", "jpg", "--limit", "2", "--force").status == 0
    assert sorted(map(str, Path("tree").rglob("*.*"))) == ["tree/ant/00000001.jpg", "tree/bee/00000000.jpg"]
    assert Path("tree/ant/00000001.jpg").read_bytes()[6:10] == b"JFIF"


NAMES = ["wasp", "ant", "größe 2"]


@pytest.mark.parametrize("target", ["a.npz", "a.h5", "a.lmdb"])
def test_names_of_classes_go_along_and_come_back(command, target):
    images = RNG.integers(0, 256, (5, 3, 4, 6), dtype=np.uint8)
    labels = np.array([1, 0, 1, 2, 0])
    lk.add_dataset("few", train={"data": images, "label": labels}, class_names=NAMES)
    assert command("data", "convert", "few", target).status == 0
    (part,) = json.loads(command("data", "info", target, "--json").out)["parts"]
    assert part["classes"] == {"wasp": 2, "ant": 2, "größe 2": 1}
    assert [each["name"] for each in part["arrays"]] == ["data", "label"]
    assert command("data", "convert", target, "tree").status == 0
    assert sorted(os.listdir("tree")) == sorted(NAMES)
    np.testing.assert_array_equal(pixels("tree/größe 2/00000003.png"), images[3].transpose(1, 2, 0))
    for second in ("b.npz", "b.h5", "b.lmdb"):
        assert command("data", "convert", target, second, "--force").status == 0
        assert lk.datasets.describe(None, second, "train").class_names == tuple(NAMES)
    assert command("data", "convert", target, target, "--force").status == 2
    assert command("data", "convert", "b.npz", target, "--force").status == 0  # what was there is one of ours


def test_names_lie_in_files_as_plain_data(command):
    data = {"data": np.zeros((3, 1, 2, 2), np.uint8), "label": np.arange(3)}
    lk.add_dataset("few", train=data, class_names=NAMES)
    for target in ("a.npz", "a.h5", "a.lmdb"):
        assert command("data", "convert", "few", target).status == 0
    with np.load("a.npz", allow_pickle=False) as npz:
        assert npz["class_names"].tolist() == NAMES
    with h5py.File("a.h5") as h5:
        assert h5["class_names"].asstr()[()].tolist() == NAMES
    assert sorted(os.listdir("a.lmdb")) == ["class_names.txt", "data.mdb"]
    assert Path("a.lmdb/class_names.txt").read_text("utf-8").splitlines() == NAMES
    with lmdb.open("a.lmdb", readonly=True, lock=False) as database, database.begin() as reading:
        assert [key for key, _ in reading.cursor()] == [b"0000000000", b"0000000001", b"0000000002"]  # as in Caffe
    given = "class_names=[a, b, c]"
    assert command("data", "info", "a.h5", "--set", given).out.count("\na ") == 1


def test_a_snapshot_of_a_converted_set_answers_with_names(command):
    images = RNG.integers(0, 256, (4, 1, 2, 3), dtype=np.uint8)
    lk.add_dataset("few", train={"data": images, "label": np.array([1, 0, 1, 2])}, class_names=NAMES)
    assert command("data", "convert", "few", "a.h5").status == 0
    Path("files.txt").write_text("a.h5\n")
    np.save("x.npy", images[0])
    scores = {"name": "s", "type": "InnerProduct", "bottom": "data", "num_output": 3}
    loss = {"name": "loss", "type": "SoftmaxWithLoss", "bottom": ["s", "label"]}
    for kind, source in (("Data", "a.h5"), ("HDF5Data", "files.txt")):
        data = {"name": "d", "type": kind, "top": ["data", "label"], "source": source, "batch_size": 2}
        net = {"layers": [data, scores, loss]}
        lk.Solver({"net": net, "solver": {"base_lr": 0.1, "max_iter": 1}}).snapshot("s")
        assert command("predict", "s.safetensors", "x.npy").out == "x.npy: wasp 0.3333\n"


def test_labels_that_the_names_in_a_file_do_not_have(command):
    save(data=np.zeros((3, 2)), label=np.array([0, 1, 2]), class_names=np.array(["ant", "bee"]))
    said = "'own.npz': label 2 of sample 2 does not lie within 0 to 1\n"
    assert command("data", "info", "own.npz").err == said
    save(data=np.zeros((3, 2)), class_names=np.array([["ant"], ["bee"]]))
    assert "'class_names' holds values of type <U3, but a net" in command("data", "info", "own.npz").err
    lk.add_dataset("odd", train={"data": np.zeros((1, 1, 2, 2)), "label": np.zeros(1)}, class_names=["a\nb"])
    assert command("data", "convert", "odd", "a.lmdb").err == "the class 'a\\nb' cannot be a line of class_names.txt\n"
    assert listing() == ["configs", "own.npz"]


def test_convert_resizes_and_makes_grey(command):
    images = RNG.integers(0, 256, (4, 3, 5, 7), dtype=np.uint8)
    save(data=images, label=np.arange(4))
    assert command("data", "convert", "own.npz", "out.npz", "--gray", "--resize", "3x4").status == 0
    grey = np.array([[np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("L"))] for image in images])
    with np.load("out.npz") as out:
        np.testing.assert_array_equal(out["data"], bilinear(grey, 3, 4))


def test_convert_gives_images_of_several_sizes_one(command):
    write_images(3)
    write_image("1.png", 9, 3)
    Path("run.yaml").write_text(
        "layers:\n- {name: i, type: ImageData, top: [data, label], source: list.txt, crop_size: 3, is_color: false}\n"
    )
    answer = command("data", "convert", "run.yaml", "out.h5")
    assert answer.err.startswith(
        "'list.txt', line 2, '1.png': it is 1x9x3, but the first is 1x4x5; HDF5 takes one size"
    )
    assert command("data", "convert", "run.yaml", "out.h5", "--resize", "4x5").status == 0
    with h5py.File("out.h5") as out:
        assert out["data"].shape == (3, 1, 4, 5)
        assert out["label"][()].tolist() == [10, 11, 12]


def test_convert_shuffles_by_a_seed(command):
    for seed, name in ((0, "a.npz"), (0, "b.npz"), (1, "c.npz")):
        assert command("data", "convert", "digits", name, "--shuffle", "--seed", str(seed)).status == 0
    a, b, c = (dict(np.load(name)) for name in ("a.npz", "b.npz", "c.npz"))
    np.testing.assert_array_equal(a["data"], b["data"])
    assert (a["data"] != c["data"]).any()
    together = [sorted(zip(x["data"].reshape(-1, 64).tolist(), x["label"].tolist(), strict=True)) for x in (a, c)]
    data, label = digits()
    assert together[0] == together[1] == sorted(zip(data.reshape(-1, 64).tolist(), label.tolist(), strict=True))


def test_convert_leaves_out_what_cannot_be_read_only_if_it_may(command):
    write_images(3)
    Path("1.png").write_bytes(b"no image")
    Path("run.yaml").write_text(IMAGES)
    before = listing()
    answer = command("data", "convert", "run.yaml", "out.npz", "--resize", "4x4")
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert answer.err.startswith("'list.txt', line 2: '1.png' is no image")
    assert listing() == before
    answer = command("data", "convert", "run.yaml", "out.npz", "--resize", "4x4", "--skip")
    assert answer.status == 0
    assert answer.err.startswith("left out: 'list.txt', line 2: '1.png' is no image")
    assert np.load("out.npz")["label"].tolist() == [10, 12]


def test_convert_to_lmdb_and_back(command):
    colours = RNG.integers(0, 200, (5, 3, 1, 1), dtype=np.uint8)
    images = colours + (5 * np.arange(4)[:, np.newaxis] + np.arange(6)).astype(np.uint8)  # smooth, as JPEG likes it
    save(data=images, label=np.array([1, 0, 1, 2, 7]))
    assert command("data", "convert", "own.npz", "db.lmdb").status == 0
    assert os.listdir("db.lmdb") == ["data.mdb"]
    with lmdb.open("db.lmdb", readonly=True, lock=False) as database, database.begin() as reading:
        stored = [datum.parse(value, "here") for _, value in reading.cursor()]
    assert [each.label for each in stored] == [1, 0, 1, 2, 7]
    np.testing.assert_array_equal([each.pixels for each in stored], images[:, ::-1])  # blue, green, red
    for encoded, like in (((), 0), (("--encoded", "png"), 0), (("--encoded", "jpg"), 8)):
        assert command("data", "convert", "db.lmdb", "again.lmdb", "--force", *encoded).status == 0
        assert command("data", "convert", "again.lmdb", "back.npz", "--force").status == 0
        with np.load("back.npz") as back:
            np.testing.assert_allclose(back["data"].astype(float), images, atol=like)
            assert back["label"].tolist() == [1, 0, 1, 2, 7]


def test_images_of_several_sizes_go_into_folders_and_lmdb(command):
    sizes = {"ant/a.png": (4, 5), "ant/b.png": (7, 3), "bee/c.png": (2, 2)}
    for name, size in sizes.items():
        Path("tree", name).parent.mkdir(parents=True, exist_ok=True)
        write_image(f"tree/{name}", *size)
    assert command("data", "convert", "tree", "db.lmdb").err == "wrote db.lmdb: 3 samples of tree\n"
    assert command("data", "convert", "db.lmdb", "copy", "--set", "class_names=[ant, bee]").status == 0
    copies = sorted(map(str, Path("copy").rglob("*.png")))
    assert [Path(copy).parent.name for copy in copies] == ["ant", "ant", "bee"]
    for copy, name in zip(copies, sizes, strict=True):
        np.testing.assert_array_equal(pixels(copy), pixels(f"tree/{name}"))


@pytest.mark.parametrize("target", ["out.npz", "out.h5", "out.lmdb", "out"])
@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), 130), (lk.DataError("torn"), 2)])
def test_convert_leaves_nothing_half_written(command, monkeypatch, target, error, status):
    lk.add_dataset("long", train={"data": np.zeros((20, 1, 2, 3), np.uint8), "label": np.zeros(20)})
    monkeypatch.setattr(reading, "_ROWS", 4)
    read = ArraySource.read

    def torn(self, indices, out=None):
        if indices[0] > 10:
            raise error
        return read(self, indices, out)

    monkeypatch.setattr(ArraySource, "read", torn)
    before = listing()
    assert command("data", "convert", "long", target).status == status
    assert listing() == before


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_between_two_blocks(command, monkeypatch, number, status):
    lk.add_dataset("long", train={"data": np.zeros((20, 1, 2, 3), np.uint8), "label": np.zeros(20)})
    monkeypatch.setattr(reading, "_ROWS", 4)
    read = ArraySource.read

    def struck(self, indices, out=None):
        assert indices[0] < 8  # the second block is the last
        if indices[0] == 4:
            signal.raise_signal(number)
        return read(self, indices, out)

    monkeypatch.setattr(ArraySource, "read", struck)
    before, handlers = listing(), [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    assert command("data", "convert", "long", "out.h5").status == status
    assert listing() == before
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_convert_replaces_only_what_it_may(command):
    Path("a.npz").write_text("precious")
    assert command("data", "convert", "digits", "a.npz").err == "'a.npz' exists; --force replaces it\n"
    assert Path("a.npz").read_text() == "precious"
    assert command("data", "convert", "digits", "a.npz", "--force").status == 0
    assert np.load("a.npz")["label"].shape == (1437,)
    Path("folder").mkdir()
    Path("folder", "thesis.txt").write_text("precious")
    answer = command("data", "convert", "digits", "folder", "--force")
    assert answer.err == "the folder 'folder' holds other things, so it is not replaced; remove it by hand\n"
    assert Path("folder", "thesis.txt").read_text() == "precious"


def test_a_class_may_have_no_name_that_is_a_path(command):
    lk.add_dataset(
        "bad", train={"data": np.zeros((1, 1, 2, 3), np.uint8), "label": np.zeros(1)}, class_names=["../up", "b"]
    )
    assert command("data", "convert", "bad", "tree").err == "the class '../up' cannot be the name of a folder\n"


def test_labels_without_names_keep_their_order_as_folders(folder):
    writer = image_writer.FolderWriter(folder / "tree")
    writer.append(data=np.zeros((2, 1, 2, 3), np.uint8), label=np.array([10, 9]))
    writer.close()
    assert sorted(os.listdir("tree")) == ["0009", "0010"]


def test_h5_sources_convert(command):
    write_h5("a.h5", data=RNG.normal(size=(3, 4)), label=np.arange(3))
    Path("list.txt").write_text("a.h5\n")
    Path("run.yaml").write_text(
        "layers:\n- {name: d, type: HDF5Data, top: [data, label], source: list.txt, batch_size: 2}\n"
    )
    assert command("data", "convert", "run.yaml", "a.npz", "--shuffle").status == 0
    assert sorted(np.load("a.npz")["label"].tolist()) == [0, 1, 2]
