"""CIFAR-10: its binary files in a folder or in the archive, and what is said of files that are missing or broken."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

import layerkit as lk
from layerkit.datasets import describe, open_source
from layerkit.datasets.public import cifar10
from layerkit.errors import DataError

RNG = np.random.default_rng(0)
COUNTS = {f"data_batch_{i}.bin": i for i in range(1, 6)} | {"test_batch.bin": 4}
RECORDS = {
    name: np.concatenate(
        [RNG.integers(0, 10, (count, 1), np.uint8), RNG.integers(0, 256, (count, 3072), np.uint8)], axis=1
    )
    for name, count in COUNTS.items()
}
TRAIN = np.concatenate([RECORDS[f"data_batch_{i}.bin"] for i in range(1, 6)])


def write(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name, records in RECORDS.items():
        (folder / name).write_bytes(records.tobytes())
    return folder


def pack(path: Path, contents: dict[str, bytes] | None = None, inside: str = cifar10.INSIDE) -> Path:
    contents = {name: records.tobytes() for name, records in RECORDS.items()} if contents is None else contents
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"{inside}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def everything(source):
    return source.read(np.arange(len(source)))


@pytest.mark.parametrize("kept", ["folder", "unpacked", "archive"])
@pytest.mark.parametrize("part", ["train", "test"])
def test_samples_are_read(tmp_path, kept, part):
    if kept == "archive":
        pack(tmp_path / cifar10.ARCHIVE)
    else:
        write(tmp_path / cifar10.INSIDE if kept == "unpacked" else tmp_path)
    source = open_source("cifar10", str(tmp_path), part)
    data, label = everything(source)
    records = TRAIN if part == "train" else RECORDS["test_batch.bin"]
    assert label.tolist() == records[:, 0].tolist()
    assert data.shape == (len(records), 3, 32, 32)
    for n, channel, y, x in ((0, 0, 0, 0), (1, 2, 31, 5), (2, 1, 7, 30)):
        assert data[n, channel, y, x] == records[n, 1 + 1024 * channel + 32 * y + x]
    header = describe("cifar10", str(tmp_path), part)
    assert (header.shapes, header.dtypes) == (source.header.shapes, source.header.dtypes)
    assert header.length == (None if kept == "archive" else len(records))
    assert header.class_names[2] == "bird"
    assert len(header.class_names) == 10


def test_shapes_are_known_without_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    header = describe("cifar10", None, "train")
    assert header.shapes == {"data": (3, 32, 32), "label": ()}
    assert header.length is None


def test_what_is_missing_is_said_with_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        open_source("cifar10", None, "test")
    for text in ("CIFAR-10's test_batch.bin", repr(str(Path("data/cifar10"))), "cifar-10-binary.tar.gz"):
        assert text in str(caught.value)
    assert str(caught.value).endswith(": layerkit data fetch cifar10")
    (write(tmp_path / "some") / "data_batch_3.bin").unlink()
    with pytest.raises(
        DataError, match=r"^CIFAR-10's data_batch_3.bin \(or .*\) cannot be found in the folder '.*some'; without"
    ):
        open_source("cifar10", str(tmp_path / "some"), "train")
    assert describe("cifar10", str(tmp_path / "some"), "train").length is None


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is damaged: it has 0 bytes"),
        (
            RECORDS["test_batch.bin"].tobytes()[:-1],
            "is damaged: it has 12,291 bytes, which are no whole samples of 3,073",
        ),
    ],
)
def test_a_file_of_another_size_is_refused(tmp_path, content, match):
    (write(tmp_path) / "test_batch.bin").write_bytes(content)
    for call in (describe, open_source):
        with pytest.raises(DataError, match=rf"test_batch\.bin' {match}"):
            call("cifar10", str(tmp_path), "test")


def test_a_label_beyond_nine_is_refused(tmp_path):
    write(tmp_path)
    wrong = RECORDS["test_batch.bin"].copy()
    wrong[2, 0] = 10
    (tmp_path / "test_batch.bin").write_bytes(wrong.tobytes())
    with pytest.raises(DataError, match="label 10 of sample 2 does not lie within 0 to 9"):
        open_source("cifar10", str(tmp_path), "test")


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"no archive", lambda b: b[:20] + b[30:]])
def test_a_broken_archive_is_refused_in_one_sentence(tmp_path, damage):
    path = pack(tmp_path / cifar10.ARCHIVE)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz' cannot be read: ") as caught:
        open_source("cifar10", str(tmp_path), "train")
    assert "\n" not in str(caught.value)


def test_another_archive_is_refused(tmp_path):
    pack(tmp_path / cifar10.ARCHIVE, {"test_batch": b"123"}, inside="cifar-10-batches-py")
    with pytest.raises(DataError, match=r"not CIFAR-10's binary version: it holds no test_batch.bin"):
        open_source("cifar10", str(tmp_path), "test")
    pack(tmp_path / cifar10.ARCHIVE, {"test_batch.bin": b"123"})
    with pytest.raises(DataError, match=r"bin/test_batch\.bin' is damaged: it has 3 bytes"):
        open_source("cifar10", str(tmp_path), "test")


def test_a_net_reads_it(tmp_path):
    layer = {"name": "cifar", "type": "Data", "top": ["data", "label"], "dataset": "cifar10", "batch_size": 3}
    net = lk.Net({"layers": [{**layer, "source": str(write(tmp_path)), "shuffle": False}]})
    net.forward()
    assert net.blobs["data"].data[1, 2, 3, 4] == TRAIN[1, 1 + 2048 + 96 + 4]
    assert net.blobs["label"].data.tolist() == TRAIN[:3, 0].tolist()
