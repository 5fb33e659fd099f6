"""Writing LMDB: what is written is what Caffe reads, comes back, and is whole or not there."""

from pathlib import Path

import lmdb
import numpy as np
import pytest
from lmdb_tools import encoded, opened, pixels

from layerkit import wire
from layerkit.datasets.writing.lmdb_writer import write_lmdb
from layerkit.errors import DataError

pytestmark = pytest.mark.usefixtures("here")


def values(path):
    with lmdb.open(path, readonly=True, lock=False) as environment, environment.begin() as transaction:
        return {bytes(key): bytes(value) for key, value in transaction.cursor()}


def test_what_is_written_is_what_caffe_reads():
    image = pixels(3, 4, 6)
    file = encoded(image, "jpeg")
    assert write_lmdb("db", [(image, 5), (file, -1), (np.array([0.5, 2.0]), np.float32(3))]) == 3
    assert sorted(entry.name for entry in Path().rglob("*")) == ["data.mdb", "db"]
    found = values("db")
    assert list(found) == [b"0000000000", b"0000000001", b"0000000002"]
    plain, jpeg, floats = (wire.Message(value) for value in found.values())
    assert [plain.integer(i) for i in (1, 2, 3, 5)] == [3, 4, 6, 5]
    assert bytes(plain.data(4)) == image[::-1].tobytes()  # blue, green, red
    assert (bytes(jpeg.data(4)), jpeg.integer(5), jpeg.flag(7)) == (file, -1, True)
    assert [floats.integer(i) for i in (1, 2, 3, 5)] == [2, 1, 1, 3]
    assert floats.floats(6).tolist() == [0.5, 2.0]


@pytest.mark.parametrize("encoding", [None, "png"])
def test_what_is_written_comes_back(encoding):
    images = pixels(6, 3, 4, 6)
    write_lmdb("db", zip(images, range(6), strict=True), encoding)
    source = opened()
    assert source.header.varies == (encoding is not None)
    for i, image in enumerate(images):
        sample = source.sample(i)
        np.testing.assert_array_equal(sample["data"], image)
        assert sample["label"] == i


def test_a_database_grows_as_needed(monkeypatch):
    monkeypatch.setattr("layerkit.datasets.writing.lmdb_writer._ROOM", 1 << 16)
    monkeypatch.setattr("layerkit.datasets.writing.lmdb_writer._BATCH", 1 << 17)
    images = pixels(300, 1, 40, 50)
    write_lmdb("db", ((image, i) for i, image in enumerate(images)))
    np.testing.assert_array_equal(opened().read(np.arange(300))[0], images)


@pytest.mark.parametrize(
    ("path", "samples", "match"),
    [
        ("db", [], "there are no samples to write to 'db'"),
        ("there", [(np.ones(3), 0)], "'there' exists already; remove it, or choose another name"),
        ("none/db", [(np.ones(3), 0)], "cannot write 'none/db': there is no folder 'none'"),
        ("db", [(np.ones(3), 0), (np.ones((1, 2, 3, 4)), 0)], "sample 1 is 1x2x3x4, but a Datum has at most"),
        ("db", [(np.ones(3), 0.5)], "the label of sample 0 is 0.5, but that of a Datum is one whole number"),
        ("db", [(np.ones(3), [1, 2])], r"the label of sample 0 is \[1, 2\], but"),
        ("db", [(np.ones(3), np.nan)], "the label of sample 0 is nan, but"),
    ],
)
def test_what_cannot_be_written_leaves_nothing_behind(path, samples, match):
    Path("there").mkdir()
    with pytest.raises(DataError, match=match):
        write_lmdb(path, samples)
    assert [entry.name for entry in Path().iterdir()] == ["there"]


def test_only_bytes_of_one_or_three_channels_become_image_files():
    for data in (np.ones((3, 4, 6)), pixels(2, 4, 6), pixels(4, 6)):
        with pytest.raises(DataError, match=r"sample 0 is .* but an image file holds bytes of 1 or 3 channels"):
            write_lmdb("db", [(data, 0)], "jpeg")


def test_writing_names_the_package_that_it_needs(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lmdb", None)
    with pytest.raises(DataError, match=r"writing LMDB needs the package lmdb, .*: pip install 'layerkit\[data\]'"):
        write_lmdb("db", [(np.ones(3), 0)])
