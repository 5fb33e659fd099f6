"""The dataset hdf5: files made by h5py, read whole and by rows."""

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
from data_tools import RNG, batches, in_threads, layer, net, write_files, write_h5

from layerkit import datasets
from layerkit.datasets.files.hdf5_set import Hdf5
from layerkit.errors import ConfigError, DataError


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    """Paths are short: the tests' files lie in the current directory."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=[1 << 29, 0], ids=["whole", "by rows"])
def _held(request, monkeypatch):
    """Small files are read whole; here some are taken for large ones, too."""
    monkeypatch.setattr("layerkit.datasets.files.hdf5.HELD", request.param)


def opened(source="a.h5", **fields):
    return Hdf5(**fields).open(source, "train")


X = RNG.integers(0, 256, (11, 3, 4), dtype=np.uint8)
Y = np.arange(11) % 4
WEIGHTS = RNG.random((11, 2)).astype(np.float32)
LAYOUTS = {
    "contiguous": {},
    "chunks": {"chunks": True},
    "compressed": {"chunks": (4, 3, 4), "compression": "gzip", "shuffle": True},
}


def write(name="a.h5", **options):
    with h5py.File(name, "w") as file:
        file.create_dataset("w", data=WEIGHTS)
        file.create_dataset("label", data=Y)
        file.create_dataset("data", data=X, **options)


@pytest.mark.usefixtures("_held")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_come_in_any_order(layout):
    write(**LAYOUTS[layout])
    source = opened()
    assert list(source.header.shapes.items()) == [("data", (3, 4)), ("label", ()), ("w", (2,))]
    for indices in ([3], [10, 0, 1, 2, 2, 7, 10], list(range(11))[::-1]):
        for found, whole in zip(source.read(np.array(indices)), (X, Y, WEIGHTS), strict=True):
            np.testing.assert_array_equal(found, whole[indices])
            assert found.dtype == whole.dtype
    np.testing.assert_array_equal(source.labels(), Y)
    np.testing.assert_array_equal(source.sample(5)["w"], WEIGHTS[5])
    source.close()


@pytest.mark.usefixtures("_held")
def test_a_net_takes_what_it_names():
    write()
    net_ = net(layer("Data", top=["w", "label"], arrays=["w", "label"], source="a.h5", batch_size=4), phase="test")
    assert batches(net_, 3) == [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2]]
    np.testing.assert_array_equal(net_.blobs["w"].data, WEIGHTS[8:])
    parts = layer("Data", source="a.h5", batch_size=4, parts={"train": 0.6, "test": 0.4}, split="stratified")
    assert sorted(batches(net(parts, phase="test"), 1)[0]) == [0, 1, 2, 3]


@pytest.mark.usefixtures("_held")
def test_datasets_may_lie_in_groups_under_other_names():
    with h5py.File("a.h5", "w") as file:
        file["train/x"], file["train/y"], file["about"] = X, Y, "text"
    with pytest.raises(DataError, match=r"'a.h5': 'about' holds values of type object, but a net takes real numbers"):
        opened()
    source = opened(datasets={"data": "train/x", "label": "train/y"})
    np.testing.assert_array_equal(source.read(np.array([4, 2]))[0], X[[4, 2]])
    np.testing.assert_array_equal(source.labels(), Y)
    with pytest.raises(DataError, match=r"'a.h5' has no dataset 'train/z'; it holds: about, train/x, train/y$"):
        opened(datasets={"data": "train/z"})


@pytest.mark.usefixtures("_held")
def test_a_file_whose_datasets_all_lie_in_groups_is_told_by_their_paths():
    with h5py.File("a.h5", "w") as file:
        file["train/x"], file["train/deep/y"] = X, Y
    what = "'a.h5' holds datasets only in groups: train/deep/y, train/x; name them by the field 'datasets'"
    with pytest.raises(DataError, match=what):
        opened()
    net_ = net(
        layer(
            "Data", source="a.h5", batch_size=2, dataset={"type": "hdf5", "datasets": {"data": "train/x"}}, top=["data"]
        )
    )
    net_.forward()
    assert net_.blobs["data"].shape == (2, 3, 4)


@pytest.mark.usefixtures("_held")
def test_several_files_are_one_dataset():
    write_h5("a.h5", data=X[:4], label=Y[:4])
    write_h5("b.h5", data=X[4:].astype(np.float32), label=Y[4:])
    write_files("a.h5", "b.h5")
    source = opened("files.txt")
    assert (len(source), source.starts, source.header.dtypes["data"]) == (11, [0, 4, 11], np.float32)
    order = RNG.permutation(11)
    data, label = source.read(order)
    np.testing.assert_array_equal(data, X[order])
    np.testing.assert_array_equal(label, Y[order])
    assert (source.place(3), source.place(4)) == ("sample 3 of 'a.h5'", "sample 0 of 'b.h5'")
    assert isinstance(datasets.select(None, "files.txt", "train").dataset, Hdf5)


@pytest.mark.usefixtures("_held")
@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"data": np.array([1.0, 2, np.nan, 4, 5]), "label": Y[:5]}, "'data' holds nan in sample [0-4]; every value"),
        ({"data": X[:5], "label": np.array([0, 1, 9, 1, 0])}, "label 9 of sample [0-4] does not lie within 0 to 3"),
    ],
)
def test_values_are_looked_at_when_they_are_read(arrays, match):
    write_h5(**arrays)
    with pytest.raises(DataError, match=rf"(row 2 of )?'a.h5': {match}") as caught:
        opened(class_names=list("abcd")).read(np.array([4, 2]))
    assert "\n" not in str(caught.value)


def test_of_large_files_only_broken_rows_are_left_out(monkeypatch):
    monkeypatch.setattr("layerkit.datasets.files.hdf5.HELD", 0)
    write_h5(data=np.array([[1.0], [2], [np.inf], [4]]), label=Y[:4])
    net_ = net(layer("Data", source="a.h5", batch_size=4, on_error="skip"), phase="test")
    assert batches(net_, 1) == [[0, 1, 3]]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: None, "there is no file 'a.h5'"),
        (lambda: Path("a.h5").write_bytes(b""), "'a.h5' is no HDF5 file that can be read"),
        (lambda: write_h5(), "'a.h5' holds no arrays"),
        (lambda: write_h5(data=X, label=Y[:3]), "must have the same number of samples, but have: data 11, label 3"),
        (lambda: write_h5(data=np.zeros((0, 3)), label=np.zeros(0)), "'data' of shape 0x3 holds nothing"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(make, match):
    make()
    for method in (Hdf5().describe, Hdf5().open):
        with pytest.raises(DataError, match=match) as caught:
            method("a.h5", "train")
        assert "\n" not in str(caught.value)


def test_a_file_that_has_fewer_rows_than_when_it_was_opened_is_named():
    write_h5(data=X, label=Y)
    source = Hdf5().open("a.h5", "train")
    write_h5(data=X[:5], label=Y[:5])
    with pytest.raises(DataError, match=r"^'a\.h5' has changed since it was opened$"):
        source.sample(3)


def test_a_file_that_declares_far_more_than_it_holds_is_refused():
    with h5py.File("a.h5", "w") as file:
        file.create_dataset("data", (1 << 28, 8), np.float32, chunks=(1 << 20, 8), compression="gzip")
    with pytest.raises(
        ConfigError, match=r"'a.h5' is damaged: it declares 8,590 MB of samples, far more than it holds"
    ):
        net(layer("Data", top=["data"], source="a.h5", batch_size=4))


@pytest.mark.usefixtures("_held")
def test_threads_and_other_processes_read_the_same():
    write(**LAYOUTS["compressed"])
    source = pickle.loads(pickle.dumps(datasets.select(None, "a.h5", "train"))).open()

    def wrong(seed):
        order = np.random.default_rng(seed).permutation(11)
        return [] if (source.read(order)[0] == X[order]).all() else [seed]

    assert in_threads(wrong) == []
