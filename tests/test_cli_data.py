"""`layerkit data`: what it says of samples, contact sheets, means, and what it says of mistakes."""

import json
from pathlib import Path

import numpy as np
import pytest
from data_tools import IMAGES, digits, listing, pixels, write_image, write_images

from layerkit.datasets.files import blobproto
from layerkit.datasets.kinds import KINDS
from layerkit.datasets.public import fetch as fetching
from layerkit.datasets.transforms import read_mean
from layerkit.datasets.transforms.resampling import bilinear
from layerkit.report import contact_sheet, histogram

RNG = np.random.default_rng(11)


def save(name="own.npz", **arrays):
    np.savez(name, **arrays)


# -- help --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["info", "convert", "mean", "fetch"])
def test_every_verb_has_help_with_an_example(command, verb):
    answer = command("data", verb, "--help")
    assert answer.status == 0
    assert f"Example: layerkit data {verb} " in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80


def test_without_a_verb_it_prints_help(command):
    answer = command("data")
    assert "convert" in answer.out + answer.err
    assert "Example: layerkit data info digits" in command("data", "--help").out


# -- info --------------------------------------------------------------------------------------------------------------


def test_info_counts_what_there_is(command):
    answer = command("data", "info", "digits", "--json")
    found = json.loads(answer.out)
    assert answer.status == 0
    assert [each["part"] for each in found["parts"]] == ["train", "test"]
    for each in found["parts"]:
        data, label = digits(each["part"])
        assert each["samples"] == len(data)
        assert each["unreadable"] == 0
        facts = each["arrays"][0]
        assert (facts["shape"], facts["dtype"], facts["min"], facts["max"]) == ([1, 8, 8], "uint8", 0, 16)
        assert facts["mean"] == pytest.approx(data.mean(), rel=1e-12)
        assert facts["std"] == pytest.approx(data.std(), rel=1e-12)
        assert each["classes"] == {str(k): int((label == k).sum()) for k in range(10)}


def test_info_of_channels_over_several_blocks(command):
    images = (RNG.normal(size=(70, 3, 100, 120)) * [[[1]], [[2]], [[5]]] + 1e4).astype(np.float32)
    save(data=images, label=RNG.normal(size=70))
    (part,) = json.loads(command("data", "info", "own.npz", "--json").out)["parts"]
    facts = part["arrays"][0]
    exact = images.astype(np.float64)
    assert facts["channel_means"] == pytest.approx(exact.mean(axis=(0, 2, 3)).tolist(), rel=1e-12)
    assert facts["channel_stds"] == pytest.approx(exact.std(axis=(0, 2, 3)).tolist(), rel=1e-9)
    assert facts["std"] == pytest.approx(exact.std(), rel=1e-9)
    assert part["classes"] is None  # the labels are quantities


def test_info_reads_as_people_do(command):
    save(data=np.array([[0.0, 1, 2], [3, 4, 5]]), label=np.array([1, 1]))
    answer = command("data", "info", "own.npz")
    assert answer.out == (
        "npz: Arrays of an .npz file.\n\nall: 2 samples\n"
        "array  shape   type     min  max  mean     std\n"
        "data   3       float64    0    5   2.5  1.7078\n"
        "label  scalar  int64      1    1     1       0\n"
        f"class  samples   share\n1            2  100.0%  {'#' * 40}\n"
    )


def test_info_of_a_run_says_what_its_layer_reads(command):
    out = command("data", "info", "configs/mlp.yaml", "--part", "test").out
    assert out.startswith("digits: What layer 'digits' (Data) reads.\n\ntest: 360 samples\n")
    assert "train" not in out


def test_info_tells_images_that_have_their_channels_last(command):
    hint = "the channels seem to come last: x.transpose(0, 3, 1, 2) puts them first"
    save(data=np.zeros((2, 6, 5, 3)))
    assert f"\ndata: {hint}\n" in command("data", "info", "own.npz").out
    assert command("data", "info", "own.npz", "--sheet", "s.png").err.endswith(f"the samples are 6x5x3; {hint}\n")
    save(data=np.zeros((2, 3, 5, 3)))
    assert hint not in command("data", "info", "own.npz").out


def test_info_counts_what_cannot_be_read(command):
    write_images(5)
    write_image("3.png", 2, 7)
    Path("1.png").write_bytes(Path("1.png").read_bytes()[:60])
    Path("2.png").write_bytes(b"no image")
    Path("run.yaml").write_text(IMAGES)
    answer = command("data", "info", "run.yaml", "--part", "train")
    assert answer.status == 0
    assert "train: 5 samples\n2 cannot be read; the first: 'list.txt', line 2: '1.png' is no image" in answer.out
    assert "data   3x2x5 to 3x4x7  uint8" in answer.out


def test_info_without_a_source_lists_the_kinds(command):
    out = command("data", "info").out
    assert all(f"\n{name} " in out for name in ("digits", "mnist", "npz", "spirals"))
    assert max(map(len, out.splitlines())) <= 80
    assert out.count("\n") == len(KINDS) + 1  # a line each


def test_info_of_a_folder_with_parts_lists_each_once(command):
    for name in ("train/ant", "train/bee", "val/bee"):
        Path("pets", name).mkdir(parents=True)
        write_image(f"pets/{name}/a.png")
    found = json.loads(command("data", "info", "pets", "--json").out)
    assert [(each["part"], each["samples"]) for each in found["parts"]] == [("train", 2), ("validation", 1)]
    assert command("data", "info", "pets", "--part", "test").out.count("test: 1 sample\n") == 1


def test_info_names_the_kind(command):
    write_images(2)
    Path("run.yaml").write_text(IMAGES)
    for source, kind in (("digits", "digits"), ("configs/mlp.yaml", "digits")):
        assert json.loads(command("data", "info", source, "--part", "train", "--json").out)["kind"] == kind
    assert json.loads(command("data", "info", "run.yaml", "--json").out)["kind"] == "ImageData"


def test_info_takes_fields_of_a_kind(command):
    part = json.loads(command("data", "info", "spirals", "--set", "samples=30", "--json").out)["parts"][0]
    assert part["samples"] == 30


def test_histogram_folds_what_are_too_many():
    rows = histogram.rows({f"c{i}": i + 1 for i in range(40)})
    assert len(rows) == 18
    assert rows[0] == ("c39", "40", "4.9%", "#" * 40)
    assert rows[12] == ("... 23 more", "6 to 28", "", "")
    assert rows[-1] == ("c0", "1", "0.1%", "#")
    assert histogram.rows({"none": 0, "some": 5}) == [("none", "0", "0.0%", ""), ("some", "5", "100.0%", "#" * 40)]


# -- contact sheet -----------------------------------------------------------------------------------------------------


def test_a_contact_sheet_has_a_row_a_class(command):
    data = RNG.integers(0, 256, (7, 3, 4, 6), dtype=np.uint8)
    data[0, 0, 0, 0] = 255
    save(data=data, label=np.array([2, 0, 2, 2, 0, 2, 0]))
    assert command("data", "info", "own.npz", "--sheet", "sheet.png").status == 0
    sheet = pixels("sheet.png")
    cell = 60  # 10 times as large, of images 4x6
    left = sheet.shape[1] - 8 - 4 * cell - 3 * 4
    assert sheet.shape == (2 * 8 + 2 * cell + 4, sheet.shape[1], 3)
    for row, indices in enumerate([[1, 4, 6], [0, 2, 3, 5]]):
        for column, index in enumerate(indices):
            y, x = 8 + row * (cell + 4) + 10, left + column * (cell + 4)  # 40 high, in the middle of 60
            shown = sheet[y : y + 40, x : x + 60]
            np.testing.assert_array_equal(shown, data[index].transpose(1, 2, 0).repeat(10, 0).repeat(10, 1))
    assert (sheet[8 : 8 + cell, left + 3 * (cell + 4) :] == 255).all()  # there are three of class 0


def test_titles_are_in_letters_that_the_font_has():
    names = ["größe", "a b", "蜂", "c\nd", "x" * 30]
    assert [contact_sheet._title(k, names) for k in range(6)] == ["grosse", "a b", "2", "3", f"{'x' * 21}...", "5"]


def test_a_contact_sheet_stretches_values_and_shrinks_what_is_large(command):
    data = np.linspace(-1, 1, 3 * 200 * 100).reshape(3, 1, 200, 100)
    save(data=data)
    assert command("data", "info", "own.npz", "--sheet", "sheet.png").status == 0
    sheet = pixels("sheet.png")
    assert sheet.shape[0] == 2 * 8 + 96
    assert sheet[8, 8 + 24].tolist() == [0, 0, 0]
    assert sheet[8 + 95, sheet.shape[1] - 9 - 24].tolist() == [255, 255, 255]


def test_a_contact_sheet_of_what_are_no_images(command):
    save(data=np.zeros((3, 4)))
    answer = command("data", "info", "own.npz", "--sheet", "sheet.png")
    assert answer.err == "only images of 1 or 3 channels make a contact sheet, and the samples are 4\n"
    assert "sheet.png" not in listing()


# -- mean --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["m.binaryproto", "m.npy"])
def test_mean_is_that_of_all_images(command, name):
    images = RNG.integers(0, 256, (9, 3, 4, 5), dtype=np.uint8)
    save(data=images)
    answer = command("data", "mean", "own.npz", "-o", name)
    wanted = images.mean(axis=0)
    np.testing.assert_allclose(read_mean(name), wanted, rtol=1e-6)
    starts = [f"mean_value channel [{c}]: " for c in range(3)]
    printed = [float(line.removeprefix(start)) for start, line in zip(starts, answer.out.splitlines(), strict=True)]
    assert printed == pytest.approx(wanted.mean(axis=(1, 2)).tolist(), rel=1e-5)
    assert answer.err.endswith("channels in the order RGB\n")


def test_mean_takes_the_order_of_the_layer_and_of_who_asks(command):
    save(data=RNG.integers(0, 256, (9, 3, 4, 5), dtype=np.uint8), label=np.arange(9))
    Path("run.yaml").write_text(
        "layers:\n- {name: d, type: Data, top: [data, label], source: own.npz, batch_size: 2, channel_order: BGR}\n"
    )
    assert command("data", "mean", "run.yaml", "-o", "a.npy", "--part", "train").status == 0
    assert command("data", "mean", "own.npz", "-o", "b.binaryproto").status == 0
    np.testing.assert_array_equal(np.load("a.npy"), blobproto.load("b.binaryproto")[0, ::-1])


def test_mean_names_the_image_of_another_size(command):
    write_images(2)
    write_image("1.png", 9, 3)
    Path("run.yaml").write_text(IMAGES)
    run = ("data", "mean", "run.yaml", "--part", "train", "-o", "m.npy")
    answer = command(*run)
    assert answer.err == (
        "'list.txt', line 2, '1.png': it is 3x9x3, but the first is 3x4x5; --resize HxW gives all images one size\n"
    )
    assert command(*run, "--resize", "4x5").status == 0
    images = [pixels(name).transpose(2, 0, 1) for name in ("0.png", "1.png")]
    mean = (images[0] + bilinear(images[1], 4, 5).astype(float)) / 2
    np.testing.assert_allclose(np.load("m.npy"), mean[::-1], rtol=1e-6)  # the layer's order is BGR


def test_mean_leaves_out_what_does_not_fit_and_says_so(command):
    write_images(4)
    write_image("1.png", 9, 3)
    Path("2.png").write_bytes(b"no image")
    run = ("data", "mean", "list.txt", "-o", "m.npy", "--skip")
    answer = command(*run)
    assert answer.status == 0
    lines = answer.err.splitlines()
    assert lines[0].startswith("left out: 'list.txt', line 2, '1.png': it is 3x9x3, but the first is 3x4x5")
    assert lines[1].startswith("left out: 'list.txt', line 3: '2.png' is no image that can be read")
    assert lines[2] == "wrote m.npy: the mean of 2 samples of list.txt, channels in the order RGB; 2 left out"
    images = [pixels(name).transpose(2, 0, 1) for name in ("0.png", "3.png")]
    np.testing.assert_allclose(np.load("m.npy"), np.mean(images, axis=0), rtol=1e-6)
    Path("list.txt").write_text("2.png 0\n")
    assert command(*run).status == 2


# -- fetch -------------------------------------------------------------------------------------------------------------


def test_fetch_says_what_it_fetches_and_where_it_is(command, monkeypatch):
    def fetch(name, from_path, progress):
        assert (name, str(from_path)) == ("mnist", "here")
        for done in (0, 5_000_000, 9_900_000):
            progress("images.gz", done, 9_900_000)
        progress("labels.gz", 10, None)
        return Path("cache", "mnist")

    monkeypatch.setattr(fetching, "fetch", fetch)
    answer = command("data", "fetch", "mnist", "--from", "here")
    assert answer == (0, f"{Path('cache', 'mnist')}\n", "images.gz (9.9 MB)\nlabels.gz\n")


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("info", "digts"), "there is no file, folder or known set 'digts'; did you mean 'digits'?"),
        (("info", "configs"), "'configs' does not tell by its name of which kind it is; say it by --kind, one of: "),
        (("info", "digits", "--part", "tst"), "there is no part 'tst'; did you mean 'test'?"),
        (("info", "spirals", "--set", "sample=3"), "unknown field 'sample'; did you mean 'samples'?"),
        (("info", "digits", "--kind", "npzz"), "there is no kind of dataset 'npzz'; did you mean 'npz'?"),
        (("info", "configs/lecture/branch.yaml"), "has no layer that reads samples from a dataset or files"),
        (("convert", "digits", "a.xyz"), "its name must end in .npz, .h5, "),
        (("convert", "digits", "none/a.npz"), "cannot write 'none/a.npz': there is no folder 'none'"),
        (("convert", "digits", "none/a.h5"), "cannot write 'none/a.h5': there is no folder 'none'"),
        (("convert", "digits", "a.npz", "--resize", "8"), "--resize takes a height and a width in pixels, as 32x48"),
        (("convert", "digits", "a.npz", "--encoded", "png"), "NPZ, which holds no images encoded as png"),
        (("convert", "parity", "a.npz", "--resize", "8x8"), "only images, channels x height x width, can be resized"),
        (("convert", "parity", "a.npz", "--gray"), "only images of 1 or 3 channels of bytes can be made grey"),
        (("convert", "shapes", "a.npz", "--resize", "8x8"), "'label' says something of each pixel of 'data'"),
        (("convert", "shapes", "tree"), "holds a whole number as the label of each image, but the labels are 32x32"),
        (("convert", "parity", "tree"), "images as 'data' and numbers as 'label', not the arrays data, label, cont"),
        (
            ("convert", "parity", "db.lmdb"),
            "samples as 'data' and numbers as 'label', not the arrays data, label, cont",
        ),
        (("convert", "spirals", "tree"), "holds images of 1 or 3 channels of bytes, but the samples are 2 of float32"),
        (("mean", "parity", "-o", "m.npy"), "a mean image needs samples of channels x height x width, not 32x2"),
        (("mean", "digits", "-o", "m.txt"), "its name must end in .binaryproto or .npy"),
        (
            ("info", "photos.zip"),
            "'photos.zip' is an archive, and no source by itself: unpack it, and give the file or ",
        ),
        (("info", "photos.zip", "--kind", "image_folder"), "'photos.zip' is an archive, and no source by itself: "),
        (
            ("info", "zip.yaml"),
            "layer 'd' (Data): 'Fashion-MNIST.tar.gz' is an archive, and no source by itself: `layerkit data ",
        ),
        (
            ("info", "Fashion-MNIST.tar.gz"),
            "`layerkit data fetch fashion_mnist --from Fashion-MNIST.tar.gz` takes the ",
        ),
        (("fetch", "mnits"), "there is no public dataset 'mnits'; did you mean 'mnist'?"),
        (("fetch", "mnist", "--from", "nowhere"), "there is no folder or archive 'nowhere'"),
    ],
)
def test_what_can_be_mended_is_one_sentence(command, arguments, sentence):
    for name in ("photos.zip", "Fashion-MNIST.tar.gz"):
        Path(name).write_bytes(b"PK")
    Path("zip.yaml").write_text("layers: [{name: d, type: Data, source: Fashion-MNIST.tar.gz, batch_size: 2}]\n")
    before = listing()
    answer = command("data", *arguments)
    assert answer.status == 2
    assert sentence in answer.err
    assert answer.err.count("\n") == 1
    assert not answer.out
    assert listing() == before
