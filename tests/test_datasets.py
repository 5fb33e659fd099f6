"""Datasets: the bundled digits, MNIST's files, .npz files, and arrays that a program registers."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from layerkit import arrayfile, datasets
from layerkit.datasets import add_dataset, describe, open_source, registered
from layerkit.datasets.bundled import digits
from layerkit.errors import DataError, UnknownNameError, UsageError

BYTE = np.dtype(np.uint8)


@pytest.fixture(autouse=True)
def _forget_registered(monkeypatch):
    monkeypatch.setattr(registered, "_parts", {})


def everything(source: datasets.Source) -> tuple[np.ndarray, ...]:
    return source.read(np.arange(len(source)))


# --- digits ---


def test_digits_are_1797_in_a_small_file():
    arrays, _ = arrayfile.load(digits.FILE)
    assert digits.FILE.stat().st_size < 100_000
    assert arrays["data"].shape == (1797, 8, 8)
    assert arrays["label"].shape == (1797,)
    assert arrays["data"].dtype == arrays["label"].dtype == BYTE
    assert arrays["data"].min() == 0
    assert arrays["data"].max() == 16
    assert b"Alpaydin" in arrays["credit"].item()
    assert b"CC BY 4.0" in arrays["credit"].item()


def test_digits_are_the_known_set():
    """Facts of the published set that no order changes: how often each digit occurs, and the sum of all pixels."""
    arrays, _ = arrayfile.load(digits.FILE)
    assert np.bincount(arrays["label"]).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert int(arrays["data"].sum()) == 561718
    assert len(np.unique(arrays["data"].reshape(1797, -1), axis=0)) == 1797


def test_digits_are_split_evenly():
    counts = {}
    for part, length in (("train", 1437), ("test", 360)):
        source = open_source("digits", None, part)
        data, label = everything(source)
        assert len(source) == length == len(data)
        assert data.shape == (length, 1, 8, 8)
        counts[part] = np.bincount(label, minlength=10)
    share = (counts["train"] + counts["test"]) * 360 / 1797
    assert np.abs(counts["test"] - share).max() < 1


@pytest.mark.parametrize("part", ["train", "test"])
def test_what_is_described_is_opened(part):
    header = describe("digits", None, part)
    opened = open_source("digits", None, part).header
    assert header == opened
    assert header.class_names == tuple("0123456789")


def test_digits_take_no_source():
    for call in (describe, open_source):
        with pytest.raises(DataError, match="'digits' is bundled and takes no source, but is given 'x'"):
            call("digits", "x", "train")


def test_damaged_digits_ask_for_a_new_installation(monkeypatch, tmp_path):
    monkeypatch.setattr(digits, "FILE", tmp_path / "digits.npz")
    with pytest.raises(DataError, match="install layerkit again"):
        open_source("digits", None, "train")


# --- MNIST ---

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (7, 28, 28), dtype=np.uint8)
LABELS = np.array([3, 1, 4, 1, 5, 9, 2], np.uint8)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def write_mnist(folder: Path, names=("train-images-idx3-ubyte", "train-labels-idx1-ubyte")) -> Path:
    folder.mkdir(exist_ok=True)
    for name, array in zip(names, (IMAGES, LABELS), strict=True):
        content = idx(array)
        (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return folder


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("train", ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")),
        ("train", ("train-images.idx3-ubyte", "train-labels.idx1-ubyte")),
        ("train", ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")),
        ("test", ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte.gz")),
        ("test", ("t10k-images.idx3-ubyte.gz", "t10k-labels.idx1-ubyte")),
    ],
)
def test_mnist_is_read_from_its_files(tmp_path, part, names):
    folder = str(write_mnist(tmp_path, names))
    source = open_source("mnist", folder, part)
    data, label = everything(source)
    assert np.array_equal(data, IMAGES[:, np.newaxis])
    assert np.array_equal(label, LABELS)
    assert source.header == describe("mnist", folder, part)
    assert source.header.length == 7


def test_mnist_is_known_without_its_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    header = describe("mnist", None, "train")
    assert header.shapes == {"data": (1, 28, 28), "label": ()}
    assert header.dtypes == {"data": BYTE, "label": BYTE}
    assert header.length is None
    assert len(header.class_names) == 10


def test_missing_mnist_says_what_where_and_how(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as error:
        open_source("mnist", None, "test")
    for text in ("t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte", str(Path("data/mnist")), "cache"):
        assert text in str(error.value)
    assert str(error.value).endswith(": layerkit data fetch mnist")
    folder = write_mnist(tmp_path / "some")
    (folder / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"^MNIST's train-labels-idx1-ubyte \(or \.gz\) cannot be found in the folder"):
        open_source("mnist", str(folder), "train")


@pytest.mark.parametrize(
    ("kind", "content", "match"),
    [
        ("images", b"", "is no IDX file"),
        ("images", idx(LABELS), "must hold images, Nx28x28 of uint8, but holds 7 of uint8"),
        ("labels", idx(IMAGES), "must hold labels, N of uint8, but holds 7x28x28 of uint8"),
        ("images", idx(IMAGES)[:-1], "declares 5,488 bytes .7x28x28 of uint8., but it holds only 5,487"),
        ("images", idx(IMAGES) + b"x", "declares 5,488 bytes .7x28x28 of uint8., but it holds more"),
        ("labels", idx(LABELS)[:9], "holds only 1"),
        ("images", idx(IMAGES[:, :, :14]), "must hold images, Nx28x28 of uint8, but holds 7x28x14 of uint8"),
        ("images", idx(IMAGES[:6]), "holds 6 images, but .* holds 7 labels"),
        ("images", idx(IMAGES[:0]), "holds nothing: its header declares the shape 0x28x28"),
        (
            "images",
            struct.pack(">4I", 2051, 2**32 - 1, 28, 28),
            "declares 3,367,254,359,280 bytes .* but it holds only 0",
        ),
        ("labels", idx(LABELS + 1), "label 10 of sample 5 does not lie within 0 to 9"),
    ],
)
def test_broken_mnist_is_refused_in_one_sentence(tmp_path, kind, content, match):
    write_mnist(tmp_path)
    (tmp_path / f"train-{kind}-idx{3 if kind == 'images' else 1}-ubyte").write_bytes(content)
    with pytest.raises(DataError, match=match) as error:
        open_source("mnist", str(tmp_path), "train")
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b[:60] + b"\xff" * 8 + b[68:], lambda b: b"no gzip"])
def test_broken_gzip_is_refused_in_one_sentence(tmp_path, damage):
    names = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
    path = write_mnist(tmp_path, names) / names[0]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz' (cannot be read|is damaged|is no IDX file)"):
        open_source("mnist", str(tmp_path), "train")


def test_a_gzip_that_is_none_is_refused_when_described(tmp_path):
    names = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
    (write_mnist(tmp_path, names) / names[0]).write_bytes(b"no gzip")
    with pytest.raises(DataError, match="is no IDX file"):
        describe("mnist", str(tmp_path), "train")


# --- npz ---


def test_npz_offers_data_then_label_then_the_rest(tmp_path):
    path = str(tmp_path / "a.npz")
    x, y, w = RNG.normal(size=(5, 2, 3)).astype(np.float32), np.arange(5), np.ones(5)
    np.savez(path, weight=w, label=y, data=x)
    header = describe(None, path, "train")
    assert list(header.shapes.items()) == [("data", (2, 3)), ("label", ()), ("weight", ())]
    assert header.length == 5
    source = open_source(None, path, "test")
    assert source.header == header
    for found, wanted in zip(source.read(np.array([4, 0])), (x, y, w), strict=True):
        assert np.array_equal(found, wanted[[4, 0]])


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({}, "holds no arrays"),
        ({"data": np.ones(3), "label": np.ones(4)}, "same number of samples, but have: data 3, label 4"),
        ({"data": np.array(["a"])}, "'data' holds values of type <U1"),
        ({"data": np.ones(3) + 1j}, "'data' holds values of type complex128"),
        ({"data": np.array(3.0)}, "'data' is a single number"),
        ({"data": np.ones((0, 3))}, "'data' of shape 0x3 holds nothing"),
    ],
)
def test_an_npz_that_does_not_fit_is_refused(tmp_path, arrays, match):
    path = str(tmp_path / "a.npz")
    np.savez(path, **arrays)
    for call in (describe, open_source):
        with pytest.raises(DataError, match=match):
            call(None, path, "train")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_found_at_its_sample(tmp_path, monkeypatch, value):
    monkeypatch.setattr(datasets.source, "_BLOCK", 8)  # so that the search goes over several blocks
    path = str(tmp_path / "a.npz")
    data = np.ones((50, 4))
    data[37, 2] = value
    np.savez(path, data=data)
    assert describe(None, path, "train").length == 50
    with pytest.raises(DataError, match=rf"'data' holds {value} in sample 37; every value must be finite"):
        open_source(None, path, "train")


def test_a_source_of_an_unknown_kind_is_refused(tmp_path):
    (tmp_path / "a.xyz").write_text("")
    (tmp_path / "empty").mkdir()
    for call in (describe, open_source):
        with pytest.raises(DataError, match="there is no file"):
            call(None, str(tmp_path / "none.npz"), "train")
        with pytest.raises(DataError, match=r"a\.xyz' does not tell by its name of which kind it is; .* one of: .*npz"):
            call(None, str(tmp_path / "a.xyz"), "train")
        with pytest.raises(DataError, match=r"there is no file or folder '.*b\.xyz'; did you mean 'a\.xyz'"):
            call(None, str(tmp_path / "b.xyz"), "train")
        with pytest.raises(DataError, match=r"the folder '.*empty' is empty"):
            call(None, str(tmp_path / "empty"), "train")
        with pytest.raises(DataError, match="needs the name of a dataset, or the path"):
            call(None, None, "train")


# --- registered arrays ---


def test_registered_arrays_are_offered_uncopied():
    x, y = np.ones((4, 3), np.float32), [0, 1, 1, 0]
    add_dataset("mine", train={"label": y, "data": x}, test={"label": y[:2], "data": x[:2]}, class_names=["cat", "dog"])
    assert {"digits", "mine", "mnist"} <= set(datasets.dataset_names())
    header = describe("mine", None, "test")
    assert list(header.shapes) == ["data", "label"]
    assert header.length == 2
    assert header.class_names == ("cat", "dog")
    source = open_source("mine", None, "train")
    x[3] = 7
    assert source.read(np.array([3]))[0].tolist() == [[7, 7, 7]]


def test_a_registered_name_can_be_taken_again():
    add_dataset("mine", train={"data": np.ones(3)})
    add_dataset("mine", train={"data": np.ones(5)})
    assert describe("mine", None, "train").length == 5


def test_registered_arrays_are_checked_again_when_opened():
    x = np.ones((4, 3))
    add_dataset("mine", train={"data": x})
    x[1, 1] = np.nan
    with pytest.raises(DataError, match="train part of dataset 'mine': 'data' holds nan in sample 1"):
        open_source("mine", None, "train")


@pytest.mark.parametrize(
    ("train", "test", "names", "match"),
    [
        ({}, None, (), "train part of dataset 'mine' holds no arrays"),
        ({"data": [[1], [2, 3]]}, None, (), "'data' is no array"),
        ({"data": [None]}, None, (), "values of type object"),
        ({"data": [1.0, np.inf]}, None, (), "holds inf in sample 1"),
        ({"data": [1, 2], "label": [0, 2]}, None, ("a", "b"), "label 2 of sample 1 does not lie within 0 to 1"),
        ({"data": [1, 2], "label": [0, -1]}, None, ("a", "b"), "label -1 of sample 1"),
        ({"data": [1]}, {"label": [1]}, (), "data to train and label to test"),
        (
            {"data": [1]},
            {"data": [[1, 2]]},
            (),
            "samples of 'data' must have one shape, but are scalar to train and 2 to",
        ),
        ({"data": [1]}, {"data": [np.nan]}, (), "test part of dataset 'mine'"),
    ],
)
def test_arrays_that_do_not_fit_are_not_registered(train, test, names, match):
    with pytest.raises(DataError, match=match):
        add_dataset("mine", train=train, test=test, class_names=names)
    assert "mine" not in datasets.dataset_names()


def test_names_are_looked_after():
    add_dataset("flowers", train={"data": [1]})
    with pytest.raises(UsageError, match="'mnist' is built in"):
        add_dataset("mnist", train={"data": [1]})
    for call in (describe, open_source):
        with pytest.raises(UnknownNameError, match="no dataset 'flower'; did you mean 'flowers'"):
            call("flower", None, "train")
        with pytest.raises(DataError, match="has no test part"):
            call("flowers", None, "test")
        with pytest.raises(DataError, match="takes no source"):
            call("flowers", "x", "train")


# --- reading ---


def test_reading_into_arrays_takes_only_those_named():
    source = open_source("digits", None, "train")
    into = np.zeros(2, np.uint8)
    found = source.read(np.array([5, 3]), {"label": into})
    assert len(found) == 1
    assert found[0] is into
    assert into.tolist() == source.read(np.array([5, 3]))[1].tolist()
