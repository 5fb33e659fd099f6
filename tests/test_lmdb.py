"""The dataset lmdb: databases made by LMDB's own library, whole and broken, and the Datums in them."""

import pickle
import threading
from pathlib import Path

import lmdb
import numpy as np
import pytest
from data_tools import RNG, batches, layer, net
from lmdb_tools import encoded, opened, pixels, write

from layerkit import datasets, wire
from layerkit.datasets.files import datum, lmdb_file
from layerkit.datasets.files.lmdb import Lmdb
from layerkit.errors import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("here")
DATA = layer("Data", source="db", batch_size=2)


# --- the file ---


@pytest.mark.parametrize(
    "sizes",
    [
        [0, 1, 2],
        [5] * 3000,  # three levels of pages
        [784 + i % 5 for i in range(500)],
        [2000, 2040, 3000, 70_000, 1, 4080, 4096, 12_000],  # in pages of their own
    ],
    ids=["tiny", "many", "mnist", "large"],
)
def test_values_are_what_the_library_reads(sizes):
    rng = np.random.default_rng(0)
    write({b"%x" % i * (1 + i % 7) + b"-%d" % i: rng.bytes(size) for i, size in enumerate(sizes)})
    with lmdb.open("db", readonly=True, lock=False) as environment, environment.begin() as transaction:
        expected = [bytes(value) for _, value in transaction.cursor()]
    for path in ("db", "db/data.mdb"):
        values = lmdb_file.Values(path)
        assert [values[i] for i in range(len(values))] == expected
        assert values.spread() == max(sizes) - min(sizes)
        values.close()


def test_a_database_that_was_changed_and_cut_down_is_read_as_it_is_now():
    write([b"x" * (i * 37 % 6000) for i in range(300)])
    with lmdb.open("db", map_size=1 << 28) as environment:
        for part in range(3):
            with environment.begin(write=True) as transaction:
                for i in range(part, 300, 4):
                    transaction.delete(b"%08d" % i)
                transaction.put(b"%08d" % (part + 4), b"new")
    values = lmdb_file.Values("db")
    with lmdb.open("db", readonly=True, lock=False) as environment, environment.begin() as transaction:
        assert [values[i] for i in range(len(values))] == [bytes(value) for _, value in transaction.cursor()]
    values.close()


def test_without_positioned_reads_it_works_as_well(monkeypatch):
    write([b"a" * 5000, b"bc"])
    monkeypatch.delattr("os.pread", raising=False)
    lmdb_file._index.cache_clear()
    values = lmdb_file.Values("db")
    assert [values[1], values[0]] == [b"bc", b"a" * 5000]
    values.close()


def test_a_file_that_is_cut_later_is_named():
    write([bytes(5000)] * 3)
    values = lmdb_file.Values("db")
    path = Path("db/data.mdb")
    path.write_bytes(path.read_bytes()[:8192])
    with pytest.raises(DataError, match=r"'db/data\.mdb' is no LMDB database, or is damaged: it ends within"):
        values[2]
    values.close()


def named_table():
    with lmdb.open("db", max_dbs=1) as environment:
        table = environment.open_db(b"inner")
        with environment.begin(write=True) as transaction:
            transaction.put(b"key", b"value", db=table)


def patched(at, content):
    """A database in which some bytes are others."""

    def make():
        write([bytes(900)] * 20)
        path = Path("db/data.mdb")
        whole = bytearray(path.read_bytes())
        whole[at : at + len(content)] = content
        path.write_bytes(whole)

    return make


def both(at, content):
    """`patched` on both of the pages that tell the root."""

    def make():
        patched(at, content)()
        path = Path("db/data.mdb")
        whole = bytearray(path.read_bytes())
        whole[4096 + at : 4096 + at + len(content)] = content
        path.write_bytes(whole)

    return make


def cut():
    write([bytes(900)] * 20)
    path = Path("db/data.mdb")
    path.write_bytes(path.read_bytes()[:16_000])


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: None, "there is no file 'db'"),
        (lambda: Path("db").mkdir(), "there is no file 'db/data.mdb'"),
        (lambda: Path("db").write_bytes(b""), "'db' is no LMDB database, or is damaged: it ends within"),
        (lambda: Path("db").write_bytes(b"no database" * 999), "does not begin as one of a 64-bit machine does"),
        (lambda: lmdb.open("db").close(), "the database 'db/data.mdb' holds nothing"),
        (named_table, "holds several tables, or several values for a key"),
        (both(92, b"\4"), "holds several tables, or several values for a key"),
        (cut, r"its tree leads to page \d+ of 3"),
        (patched(20, b"\2"), "is of LMDB's data version 2; only version 1 is read"),
        (patched(40, b"\3"), "its pages cannot be of 4,099 bytes"),
        (both(120, b"\1"), "it says that it holds 1 values, but 20 are there"),
        (both(128, b"\1"), "its tree leads to page 1 of"),
    ],
)
def test_what_is_no_database_of_samples_is_named(make, match):
    make()
    with pytest.raises(DataError, match=match) as caught:
        opened()
    assert "\n" not in str(caught.value)


# --- Datums ---


def test_bytes_reach_the_net_as_they_are_stored():
    images = pixels(5, 3, 4, 6)
    write([datum.serialise(image, i + 7) for i, image in enumerate(images)])
    net_ = net(DATA, phase="test")
    found, expected = batches(net_, 2), images[2:4]
    assert found == [[7, 8], [9, 10]]
    np.testing.assert_array_equal(net_.blobs["data"].data, expected)
    info = net_.layers["data"].samples()
    assert info.channel_order == "BGR"  # so that predict, which takes red, green, blue, turns them
    turned = net({**DATA, "channel_order": "RGB"}, phase="test")
    turned.forward()
    np.testing.assert_array_equal(turned.blobs["data"].data, images[:2, ::-1])


def test_encoded_images_have_the_order_of_plain_ones():
    images = [pixels(3, 4, 6) for _ in range(2)]
    write([datum.serialise(images[0][::-1], 0), datum.serialise_encoded(encoded(images[1]), 1)])
    net_ = net(DATA, phase="test")
    net_.forward()
    np.testing.assert_array_equal(net_.blobs["data"].data, np.array(images)[:, ::-1])
    source = opened()
    for index, image in enumerate(images):  # a source gives red, green, blue, for transforms and pictures
        np.testing.assert_array_equal(source.sample(index)["data"], image)


@pytest.mark.parametrize(
    ("tail", "quick"),
    [
        (b"", True),
        (wire.varint(5, 9) + wire.varint(7, 0), True),
        (wire.varint(5, 300) + wire.varint(5, -7), True),
        (wire.data(6, b"abcd") + wire.varint(5, 2), True),
        (wire.varint(5, 1) + wire.varint(1, 6) + wire.varint(2, 1), False),  # of a field the last value counts
        (wire.varint(5, 1) + wire.data(4, bytes(18)), False),
        (wire.varint(5, 1) + wire.varint(7, 1), False),
        (b"\x28", False),
    ],
)
def test_the_quick_way_of_reading_gives_what_the_slow_one_gives(tail, quick):
    image = pixels(3, 2, 3)
    alike, plain = datum.Alike(image.shape), datum.serialise(image, 1)[:-2]
    found = alike.read(plain + tail)
    assert (found is not None) == quick
    if quick:
        np.testing.assert_array_equal(found.pixels, image)
        assert found[1:] == datum.parse(plain + tail, "x")[1:]
    assert alike.read(plain[:-1]) is None
    assert alike.read(datum.serialise(pixels(3, 3, 2), 1)) is None


def test_a_mean_goes_by_the_nets_order():
    write([datum.serialise(np.full((3, 2, 4), 10, np.uint8))])
    net_ = net({**DATA, "batch_size": 1, "mean_value": [1, 2, 3]})
    net_.forward()
    assert net_.blobs["data"].data[0, :, 0, 0].tolist() == [9, 8, 7]


def test_floats_and_other_numbers_of_channels_stay_as_they_are():
    for shape, dtype in (((3, 2, 4), np.float32), ((1, 2, 4), np.uint8), ((5, 1, 1), np.float32)):
        values = RNG.integers(0, 100, (2, *shape)).astype(dtype)
        path = f"db{shape[0]}"
        write([datum.serialise(value) for value in values], path)
        source = opened(path)
        assert (source.header.channel_order, source.header.varies, len(source)) == ("RGB", False, 2)
        np.testing.assert_array_equal(source.read(np.array([1, 0, 1]))[0], values[[1, 0, 1]])
        assert source.read(np.array([0]))[0].dtype == dtype


@pytest.mark.parametrize(("color", "channels"), [(None, 1), (True, 3), (False, 1)])
def test_encoded_images_may_be_grey_and_differ_in_size(color, channels):
    images = [pixels(1, 4, 6), pixels(3, 5, 3)]
    write([datum.serialise_encoded(encoded(image), i) for i, image in enumerate(images)])
    source = opened(color=color)
    assert source.header.varies
    assert source.header.shapes["data"] == (channels, 4, 6)
    assert [source.sample(i)["data"].shape for i in range(2)] == [(channels, 4, 6), (channels, 5, 3)]


def test_plain_images_of_several_sizes_are_seen():
    write([datum.serialise(pixels(3, size, 6)) for size in (4, 4, 9)])
    assert opened().header.varies
    with pytest.raises(DataError, match="sample 2 of 'db': it is 3x9x6, not 3x4x6 as the first; give all images one"):
        net({**DATA, "batch_size": 3}).forward()


BROKEN = {
    "no datum": (b"\xff\xff", "sample 1 of 'db' is no Datum, or is damaged"),
    "another size": (datum.serialise(pixels(3, 6, 4)), "sample 1 of 'db' is 3x6x4, not 3x4x6 as the first"),
    "no image": (
        datum.serialise_encoded(b"nothing" * 11),
        "sample 1 of 'db' is no image that can be read: it is no JPEG",
    ),
    "floats": (datum.serialise(np.ones((1, 2, 9), np.float32)), "sample 1 of 'db' is of type float32, not uint8"),
    "a label": (
        datum.serialise(pixels(3, 4, 6), 2),
        "sample 1 of 'db' has the label 2, which does not lie within 0 to 1",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_sample_that_is_broken_is_named_or_left_out(what):
    value, match = BROKEN[what]
    good = pixels(2, 3, 4, 6)
    write([datum.serialise(good[0]), value, datum.serialise(good[1], 1)])
    fields = {**DATA, "batch_size": 3, "dataset": {"type": "lmdb", "class_names": ["a", "b"]}}
    with pytest.raises(DataError, match=match) as caught:
        net(fields).forward()
    assert "\n" not in str(caught.value)
    left = net({**fields, "on_error": "skip"})
    left.forward()
    np.testing.assert_array_equal(left.blobs["data"].data, good)
    assert left.blobs["label"].data.tolist() == [0, 1]


def test_the_first_sample_may_be_broken_too():
    write([b"\xff", datum.serialise(pixels(3, 4, 6), 3)])
    assert batches(net({**DATA, "on_error": "skip"}), 1) == [[3]]
    write([b"\xff"] * 3, "none")
    with pytest.raises(ConfigError, match="sample 0 of 'none' is no Datum"):
        net({**DATA, "source": "none"})


def test_values_that_are_not_finite_are_named():
    write([datum.serialise(np.array([[[1.0, np.nan]]]))])
    with pytest.raises(DataError, match="sample 0 of 'db' holds a value that is not finite"):
        net({**DATA, "batch_size": 1}).forward()


def test_threads_and_other_processes_read_the_same():
    images = pixels(40, 1, 3, 5)
    write([datum.serialise(image, i) for i, image in enumerate(images)])
    selection = pickle.loads(pickle.dumps(datasets.select(None, "db", "train", parts={"train": 0.5, "test": 0.5})))
    source, wrong = selection.open(), []
    labels = source.labels()

    def read(seed):
        order = np.random.default_rng(seed).permutation(len(source))
        data, label = source.read(order)
        if not ((data == images[label]).all() and (label == labels[order]).all()):
            wrong.append(seed)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(set(labels.tolist())) == 20
    source.close()


@pytest.mark.parametrize("path", ["mnist_train_lmdb", "a.LMDB", "data.mdb"])
def test_a_database_is_known_by_its_name_or_file(path):
    assert isinstance(datasets.select(None, path, "train").dataset, Lmdb)
    write([b""], "somewhere")
    assert isinstance(datasets.select(None, "somewhere", "train").dataset, Lmdb)
