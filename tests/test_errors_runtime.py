"""Errors while a run is going on: they name the place in the YAML file, the layer, the sample's file and its number."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from data_tools import write_image, write_images

import layerkit as lk
from layerkit.datasets.files import mapped
from layerkit.datasets.writing.lmdb_writer import write_lmdb

RUN = """\
net:
  layers:
    - {{name: data, type: {kind}, top: [data, label], {fields}, batch_size: 2}}
    - {{name: fc, type: InnerProduct, num_output: 3, weight_filler: xavier}}
    - {{name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}}
solver: {{base_lr: 0.01, max_iter: 4, test_interval: 2}}
"""
BAD = np.array([[1, 2], [3, 4], [5, np.inf], [6, 7]], np.float32)
LABELS = np.array([0, 1, 2, 0])


def bad_image():
    write_images(4)
    Path("list.txt").write_text("".join(f"{i}.png {LABELS[i]}\n" for i in range(4)))
    Path("2.png").write_bytes(b"no image")
    return "ImageData", "source: list.txt", "'list.txt', line 3: '2.png' is no image that can be read"


def bad_folder():
    write_images(3)
    for i, name in enumerate("abc"):
        Path("tree", name).mkdir(parents=True)
        Path(f"{i}.png").rename(f"tree/{name}/{i}.png")
    Path("tree/c/2.png").write_bytes(Path("tree/c/2.png").read_bytes()[:60])
    return "Data", "source: tree", "class 'c': 'tree/c/2.png' is no image that can be read"


def bad_hdf5():
    with h5py.File("a.h5", "w") as file:
        file["data"], file["label"] = BAD, LABELS
    return "Data", "source: a.h5", "'a.h5': 'data' holds inf in sample 2"


def bad_lmdb():
    images = BAD.reshape(4, 2, 1, 1)
    write_lmdb("a.lmdb", zip(images, LABELS.tolist(), strict=True))
    return "Data", "source: a.lmdb", "sample 2 of 'a.lmdb' holds a value that is not finite"


def bad_npz():
    np.savez("a.npz", data=BAD, label=LABELS)
    return "Data", "source: a.npz", "'a.npz': 'data' holds inf in sample 2"


def bad_csv():
    Path("a.csv").write_text("x,y,label\n1,2,0\n3,four,1\n")
    return "Data", "source: a.csv", "'a.csv', line 3, column 'y': 'four' is no number"


def bad_label():
    np.savez("a.npz", data=np.zeros((4, 2)), label=np.array([0, 1, 7, 0]))
    fields = "source: a.npz, transform: {type: one_hot, num_classes: 3}"
    return "Data", fields, "transform[0] (one_hot): label 7 of sample 2 of 'a.npz' is no class, which are 0 to 2"


@pytest.mark.parametrize("make", [bad_image, bad_folder, bad_hdf5, bad_lmdb, bad_npz, bad_csv, bad_label])
def test_a_bad_sample_is_told_with_all_places(command, monkeypatch, make):
    monkeypatch.setattr(mapped, "LARGE", 0)  # so that the .npz file is one that is not looked through before
    monkeypatch.setattr("layerkit.datasets.files.npz.LARGE", 0)
    kind, fields, sentence = make()
    run = RUN.replace("SoftmaxWith", "Euclidean") if make is bad_label else RUN
    Path("run.yaml").write_text(run.format(kind=kind, fields=fields))
    answer = command("train", "run.yaml", "--folder", "out", "--quiet")
    assert answer.status == 2
    last = answer.err.splitlines()[-1]
    assert last.startswith(f"run.yaml:3:7: layer 'data' ({kind}): ")
    assert sentence in last


def test_a_layer_of_a_block_is_told_with_its_use(command):
    Path("run.yaml").write_text(
        "blocks:\n"
        "  head:\n"
        "    args: {out: int}\n"
        "    layers:\n"
        "      - {name: fc, type: InnerProduct, num_output: $out, weight_filler: xavier}\n"
        "      - {name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}\n"
        "layers:\n"
        "  - {name: data, type: Input, top: [data, label], shape: [[2, 4], [2]]}\n"
        "  - {block: head, name: h, bottom: data, out: 3}\n"
    )
    net = lk.Net("run.yaml")
    with pytest.raises(lk.DataError) as caught:
        net.forward(data=np.zeros((2, 4)), label=np.array([0, 5]))
    said = str(caught.value)
    assert said.startswith("run.yaml:6:9: layer 'h/loss' (SoftmaxWithLoss): label 5")
    assert said.endswith("(in block 'head' used at run.yaml:9:5)")


# -- what `check` says of it before ------------------------------------------------------------------------------------


def images_of_two_sizes(kind, **fields):
    write_images(70)  # more than are looked at
    write_image("69.png", 3, 9)
    listed = ", ".join(f"{name}: {value}" for name, value in fields.items())
    Path("run.yaml").write_text(
        f"layers: [{{name: d, type: {kind}, top: [data, label], source: list.txt, batch_size: 2, {listed}}}]\n"
    )
    return "note: run.yaml:1:10: layer 'd' ({}): 'list.txt', line 70, '69.png': {}\n".format


@pytest.mark.parametrize("kind", ["Data", "ImageData"])
def test_check_finds_images_of_another_size(command, kind):
    note = images_of_two_sizes(kind)
    answer = command("check", "run.yaml")
    assert answer.status == 0
    sizes = "it is 3x3x9, not 3x4x5 as the first; give all images one size, by a resize or a crop"
    assert answer.err == note(kind, sizes)
    assert not command("check", "run.yaml", "--set", "net.layers.d.transform={type: resize, size: [4, 4]}").err
    assert not command("check", "run.yaml", "--set", "net.layers.d.on_error=skip").err
    crop = command("check", "run.yaml", "--set", "net.layers.d.crop_size=4")
    assert crop.err == note(kind, "crop_size 4 does not fit into an image of 3x9")


def test_check_lets_images_alone_in_their_batches_have_their_own_sizes(command):
    images_of_two_sizes("ImageData")
    assert not command("check", "run.yaml", "--set", "net.layers.d.batch_size=1").err


def test_check_finds_channels_that_come_last(command):
    np.savez("a.npz", data=np.zeros((4, 6, 5, 3)), label=LABELS)
    Path("run.yaml").write_text(RUN.format(kind="Data", fields="source: a.npz"))
    said = command("check", "run.yaml").err
    assert said.startswith("note: run.yaml:3:7: layer 'data' (Data): its samples are 6x5x3; the channels seem to come ")
    assert said.count("\n") == 1
