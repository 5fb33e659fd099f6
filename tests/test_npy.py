"""Arrays in files: .npy and large .npz are mapped, whatever their order and alignment; nothing is unpickled."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

import layerkit as lk
from layerkit import arrayfile
from layerkit.datasets import select
from layerkit.datasets.files import mapped, npz
from layerkit.datasets.files.cifar_binary import CifarBinary
from layerkit.datasets.files.idx_files import Idx
from layerkit.datasets.files.mapped import MappedSource
from layerkit.datasets.files.npy import Npy

RNG = np.random.default_rng(0)


pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def _all_is_large(monkeypatch):
    monkeypatch.setattr(mapped, "LARGE", 0)
    monkeypatch.setattr(npz, "LARGE", 0)


def everything(source):
    return source.read(np.arange(len(source)))


# -- npy -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "?", ">i2", "<i8", "f2", "<f4", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_npy_file_with_labels(dtype, order):
    data = np.asarray(RNG.integers(0, 2, (7, 2, 3)), dtype, order=order)
    label = np.arange(7, dtype=np.int16)
    np.save("x.npy", data)
    np.save("y.npy", label)
    chosen = select(Npy(label="y.npy"), "x.npy", "train")
    source = chosen.open()
    assert chosen.describe() == source.header
    assert source.header.shapes == {"data": (2, 3), "label": ()}
    rows = np.array([3, 0, 3])
    for read, array in zip(source.read(rows), (data, label), strict=True):
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array[rows])
    np.testing.assert_array_equal(source.sample(5)["data"], data[5])
    assert source.labels().tolist() == list(range(7))
    assert [each.shape for each in source.read(rows[:0])] == [(0, 2, 3), (0,)]
    source.close()


def test_an_npy_file_is_told_by_its_name_and_needs_no_labels():
    np.save("x.npy", np.eye(3))
    source = select(None, "x.npy", "train").open()
    assert list(source.header.shapes) == ["data"]
    assert everything(source)[0].tolist() == np.eye(3).tolist()


def test_a_file_larger_than_the_limit_is_not_read_when_opened(monkeypatch):
    """A sparse file that takes no disk: a hundred million numbers, of which one is not finite."""
    monkeypatch.setattr(mapped, "check", lambda *_: pytest.fail("all of it is read"))
    header = np.lib.format.header_data_from_array_1_0(np.empty((0, 1000), np.float32)) | {"shape": (100_000, 1000)}
    with open("x.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()
        file.seek(start + 4 * 1000 * 70_000)
        file.write(struct.pack("<ff", 1.5, np.nan))
        file.truncate(start + 4 * 1000 * 100_000)
    source = select("npy", "x.npy", "train").open()
    assert len(source) == 100_000
    assert source.read(np.array([99_999, 5]))[0].shape == (2, 1000)
    with pytest.raises(lk.DataError, match=r"'x\.npy': 'data' holds nan in sample 70000; every value must be finite"):
        source.read(np.array([1, 70_000]))


@pytest.mark.parametrize(
    ("save", "match"),
    [
        (lambda: np.save("x.npy", np.array([[1.0], [np.inf], [2], [3]])), "'data' holds inf in sample 1"),
        (lambda: np.save("x.npy", np.array([{}, {}]), allow_pickle=True), "pickled objects"),
        (lambda: np.save("x.npy", np.array(["a"])), "values of type"),
        (lambda: np.save("x.npy", np.float32(3)), "single number"),
        (lambda: np.save("x.npy", np.zeros((0, 3))), "but have: data 0, label 4"),
        (lambda: np.save("x.npy", np.zeros((4, 0))), "holds nothing"),
        (lambda: Path("x.npy").write_bytes(b"no array"), "damaged or no npy file"),
        (lambda: None, r"there is no file 'x\.npy'"),
        (lambda: np.save("x.npy", np.zeros((3, 2))), r"same number of samples, but have: data 3, label 4"),
    ],
)
def test_what_is_no_array_of_samples_is_refused(save, match):
    save()
    np.save("y.npy", np.arange(4))
    with pytest.raises(lk.DataError, match=match) as error:
        select(Npy(label="y.npy"), "x.npy", "train").open()
    assert "\n" not in str(error.value)


def test_a_file_of_another_kind_is_refused():
    np.savez("x.npz", data=np.eye(2))
    with pytest.raises(lk.DataError, match=r"'x\.npz' is no \.npy file, by its name"):
        select("npy", "x.npz", "train").describe()


def test_a_net_trains_on_npy_files_by_phase():
    for part, count in (("train", 12), ("test", 5)):
        np.save(f"{part}_x.npy", RNG.normal(size=(count, 3)))
        np.save(f"{part}_y.npy", np.arange(count) % 2)
    data = {
        "name": "d",
        "type": "Data",
        "top": ["data", "label"],
        "batch_size": 3,
        "dataset": {part: {"type": "npy", "label": f"{part}_y.npy"} for part in ("train", "test")},
        "source": {"train": "train_x.npy", "test": "test_x.npy"},
    }
    for phase, count in (("train", 12), ("test", 5)):
        net = lk.Net({"layers": [data]}, phase)
        net.forward()
        assert net.layers["d"].length() == count
        net.close()


# -- npz -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_all_is_large")
@pytest.mark.parametrize("name", ["data", "a_longer_name"])
def test_a_large_npz_is_mapped_wherever_its_arrays_begin(name):
    arrays = {"label": np.arange(9), name: RNG.normal(size=(9, 5)), "weights": RNG.random((9, 2), np.float32)}
    np.savez("a.npz", **arrays)
    source = select(None, "a.npz", "train").open()
    assert isinstance(source, MappedSource)
    rows = np.array([8, 1])
    for key, read in zip(source.header.shapes, source.read(rows), strict=True):
        np.testing.assert_array_equal(read, arrays[key][rows])
    assert all(isinstance(array, np.memmap) for array in arrayfile.mapped("a.npz").values())


@pytest.mark.usefixtures("_all_is_large")
def test_a_large_npz_that_is_compressed_is_read():
    np.savez_compressed("a.npz", data=np.eye(4))
    assert everything(select(None, "a.npz", "train").open())[0].tolist() == np.eye(4).tolist()


def test_a_small_npz_is_compared_with_its_checksum():
    np.savez("a.npz", data=np.arange(40.0))
    whole = bytearray(Path("a.npz").read_bytes())
    whole[whole.index(struct.pack("<d", 20.0)) + 6] ^= 1
    Path("a.npz").write_bytes(whole)
    with pytest.raises(lk.DataError, match="damaged"):
        select(None, "a.npz", "train").open()


# -- idx and CIFAR's layout ----------------------------------------------------------------------------------------


def write_idx(path, array, code):
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    content = head + array.astype(array.dtype.newbyteorder(">")).tobytes()
    Path(path).write_bytes(gzip.compress(content) if path.endswith(".gz") else content)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_any_idx_file_is_a_dataset(suffix):
    images, vectors = RNG.integers(0, 256, (6, 3, 4), np.uint8), RNG.normal(size=(6, 5)).astype(np.float32)
    write_idx(f"i-idx3-ubyte{suffix}", images, 0x08)
    write_idx(f"v.idx{suffix}", vectors, 0x0D)
    write_idx(f"l-idx1-ubyte{suffix}", np.arange(6, dtype=np.uint8) % 3, 0x08)
    kind = Idx(label=f"l-idx1-ubyte{suffix}", class_names=["a", "b", "c"])
    chosen = select(kind, f"i-idx3-ubyte{suffix}", "train")
    source = chosen.open()
    assert chosen.describe() == source.header
    data, label = everything(source)
    np.testing.assert_array_equal(data, images[:, np.newaxis])
    assert label.tolist() == [0, 1, 2, 0, 1, 2]
    (data,) = everything(select(None, f"v.idx{suffix}", "train").open())
    np.testing.assert_array_equal(data, vectors)


def test_idx_files_that_do_not_go_together():
    write_idx("i.idx", np.zeros((6, 3, 4), np.uint8), 0x08)
    write_idx("l.idx", np.arange(5, dtype=np.uint8), 0x08)
    with pytest.raises(lk.DataError, match="same number of samples, but have: data 6, label 5"):
        select(Idx(label="l.idx"), "i.idx", "train").describe()
    write_idx("l.idx", np.arange(6, dtype=np.uint8), 0x08)
    with pytest.raises(lk.DataError, match="label 2 of sample 2 does not lie within 0 to 1"):
        select(Idx(label="l.idx", class_names=["a", "b"]), "i.idx", "train").open()


def test_files_in_cifars_layout_of_any_size():
    images, labels = RNG.integers(0, 256, (5, 2, 3, 4), np.uint8), RNG.integers(0, 9, (5, 2), np.uint8)
    records = np.concatenate([labels, images.reshape(5, -1)], axis=1)
    Path("b").mkdir()
    Path("b/2.bin").write_bytes(records[3:].tobytes())
    Path("b/1.bin").write_bytes(records[:3].tobytes())
    chosen = select(CifarBinary(shape=[2, 3, 4], labels=["coarse", "label"]), "b", "train")
    source = chosen.open()
    assert chosen.describe() == source.header
    assert list(source.header.shapes) == ["data", "label", "coarse"]
    for read, array in zip(everything(source), (images, labels[:, 1], labels[:, 0]), strict=True):
        np.testing.assert_array_equal(read, array)
    assert len(select(CifarBinary(shape=[2, 3, 4], labels=["coarse", "label"]), "b/2.bin", "train").open()) == 2


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("none", "there is no file or folder 'none'"),
        ("empty", "the folder 'empty' holds no .bin files"),
        ("short.bin", r"'short\.bin' is no file of such images: 3,000 bytes are no whole samples of 3,073 bytes"),
    ],
)
def test_cifar_files_that_are_none(source, match):
    Path("empty").mkdir()
    Path("short.bin").write_bytes(bytes(3000))
    for call in (CifarBinary().describe, CifarBinary().open):
        with pytest.raises(lk.DataError, match=match):
            call(source, "train")
