"""The public sets: the table of their files, the places where they are looked for, and what each of them is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import layerkit as lk
from layerkit.datasets import describe, open_source
from layerkit.datasets.public import cifar100, fashion_mnist, places
from layerkit.datasets.public.fetch import fetch
from layerkit.datasets.public.published import PUBLISHED

RNG = np.random.default_rng(0)


# -- the table -----------------------------------------------------------------------------------------------------


def test_the_table_is_plausible():
    files = [file for files in PUBLISHED.values() for file in files]
    hashes = [file.sha256 for file in files] + [content.sha256 for file in files for content in file.contents]
    assert len(set(hashes)) == len(hashes) == 4 + 4 + 4 + 4 + 1 + 6 + 1 + 2
    for file in files:
        assert all(len(text) == 64 and int(text, 16) for text in file.names().values())
        assert len(set(file.urls)) >= 3
        assert all(
            url.startswith(("https://", "http://fashion-mnist.s3")) and url.endswith(file.name) for url in file.urls
        )
        assert file.size < sum(content.size for content in file.contents)


def test_the_sizes_are_those_of_the_formats():
    for name in ("mnist", "fashion_mnist"):
        assert [file.contents[0].size for file in PUBLISHED[name]] == [
            16 + 60_000 * 784, 8 + 60_000, 16 + 10_000 * 784, 8 + 10_000,
        ]  # fmt: skip
    assert [content.size for content in PUBLISHED["cifar10"][0].contents] == [10_000 * 3073] * 6
    assert [content.size for content in PUBLISHED["cifar100"][0].contents] == [50_000 * 3074, 10_000 * 3074]


# -- places --------------------------------------------------------------------------------------------------------


def test_sets_are_looked_for_in_this_order(tmp_path, monkeypatch):
    monkeypatch.setenv("LAYERKIT_DATA", str(tmp_path))
    assert places.find("mnist") == [Path("data/mnist"), tmp_path / "mnist"]
    debian = Path("/usr/share/datasets/fashion-mnist")
    assert places.find("fashion_mnist") == [Path("data/fashion_mnist"), tmp_path / "fashion_mnist", debian]
    assert places.find("mnist", "some") == [Path("some")]


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "home/.cache/layerkit"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "home/.cache/layerkit"),
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/layerkit"),
        ("linux", {"XDG_CACHE_HOME": "/x", "LAYERKIT_DATA": "/y"}, "/y"),
        ("linux", {"LAYERKIT_DATA": "~/z"}, "home/z"),
        ("darwin", {}, "home/Library/Caches/layerkit"),
        ("win32", {}, "home/AppData/Local/layerkit"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/layerkit"),
    ],
)
def test_the_cache_is_where_the_system_has_caches(tmp_path, monkeypatch, platform, variables, expected):
    home = tmp_path / "home"
    for name in ("LAYERKIT_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": str(home), "USERPROFILE": str(home), **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(places.sys, "platform", platform)
    assert places.cache_dir() == tmp_path / expected


def test_without_a_home_the_cache_is_asked_for(monkeypatch):
    def no_home(*_):
        raise RuntimeError("Could not determine home directory.")

    for name in ("LAYERKIT_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(lk.DataError, match="there is no home folder to keep fetched sets in; set LAYERKIT_DATA"):
        fetch("mnist")
    assert places.find("mnist") == [Path("data/mnist")]


# -- Fashion-MNIST -------------------------------------------------------------------------------------------------


def test_fashion_mnist_is_read_like_mnist(tmp_path, monkeypatch):
    """In the first place that has both files of a part."""
    monkeypatch.setenv("LAYERKIT_DATA", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    images, labels = RNG.integers(0, 256, (5, 28, 28), np.uint8), np.array([9, 0, 3, 3, 7], np.uint8)
    for folder, count in ((Path("data/fashion_mnist"), 1), (tmp_path / "cache" / "fashion_mnist", 2)):
        folder.mkdir(parents=True)
        for name, array in [("images-idx3", images), ("labels-idx1", labels)][:count]:
            content = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes()
            (folder / f"train-{name}-ubyte").write_bytes(content)
    source = open_source("fashion_mnist", None, "train")
    data, label = source.read(np.arange(5))
    assert np.array_equal(data, images[:, None])
    assert np.array_equal(label, labels)
    assert source.header == describe("fashion_mnist", None, "train")
    assert len(fashion_mnist.CLASS_NAMES) == 10
    assert fashion_mnist.CLASS_NAMES[9] == "ankle boot"
    with pytest.raises(
        lk.DataError, match=r"Fashion-MNIST's t10k-images-idx3-ubyte .* layerkit data fetch fashion_mnist$"
    ):
        open_source("fashion_mnist", None, "test")


# -- CIFAR-100 -----------------------------------------------------------------------------------------------------


def records(count: int) -> np.ndarray:
    coarse, fine = RNG.integers(0, 20, (count, 1), np.uint8), RNG.integers(20, 100, (count, 1), np.uint8)
    return np.concatenate([coarse, fine, RNG.integers(0, 256, (count, 3072), np.uint8)], axis=1)


@pytest.mark.parametrize("inside", [False, True])
def test_cifar100_has_two_labels(tmp_path, inside):
    folder = tmp_path / cifar100.INSIDE if inside else tmp_path
    folder.mkdir(exist_ok=True)
    parts = {"train": records(4), "test": records(3)}
    for part, rows in parts.items():
        (folder / f"{part}.bin").write_bytes(rows.tobytes())
    for part, rows in parts.items():
        source = open_source("cifar100", str(tmp_path), part)
        assert source.header == describe("cifar100", str(tmp_path), part)
        assert list(source.header.shapes.items()) == [("data", (3, 32, 32)), ("label", ()), ("coarse", ())]
        data, label, coarse = source.read(np.array([2, 0]))
        assert data[0, 1, 5, 7] == rows[2, 2 + 1024 + 5 * 32 + 7]
        assert label.tolist() == rows[[2, 0], 1].tolist()
        assert coarse.tolist() == rows[[2, 0], 0].tolist()
    net = lk.Net({"layers": [{
        "name": "d", "type": "Data", "top": ["data", "label", "coarse"], "dataset": "cifar100", "batch_size": 2,
        "source": str(tmp_path), "shuffle": False,
    }]})  # fmt: skip
    net.forward()
    assert net.blobs["coarse"].data.tolist() == parts["train"][:2, 0].tolist()


def test_cifar100_has_a_hundred_classes_in_twenty_groups():
    assert [len(set(names)) for names in (cifar100.CLASS_NAMES, cifar100.COARSE_NAMES)] == [100, 20]
    assert sorted(cifar100.CLASS_NAMES) == list(cifar100.CLASS_NAMES)
    assert sorted(cifar100.COARSE_NAMES) == list(cifar100.COARSE_NAMES)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        (0, 20, "coarse label 20 of sample 1 does not lie within 0 to 19"),
        (1, 100, "label 100 of sample 1 does not lie"),
    ],
)
def test_a_label_of_no_class_is_refused(tmp_path, column, value, said):
    rows = records(3)
    rows[1, column] = value
    (tmp_path / "test.bin").write_bytes(rows.tobytes())
    with pytest.raises(lk.DataError, match=said):
        open_source("cifar100", str(tmp_path), "test")
    with pytest.raises(lk.DataError, match=r"CIFAR-100's train.bin \(or cifar-100-binary.tar.gz\) cannot be found"):
        open_source("cifar100", str(tmp_path), "train")
