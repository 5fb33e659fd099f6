"""As test_fuzz, for lists of files, images, HDF5 and LMDB."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz_tools import ROUNDS, Read, bounded, fuzz, mutated  # noqa: F401

import layerkit as lk
from layerkit.datasets.files import datum, decode, hdf5, images, lists, lmdb_file
from layerkit.datasets.files.lmdb import Datums


def test_lists_of_files(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    fuzz(path, b"a/b.png 0\nc d.png 12\n" * 3, [lambda path: lists.read_labelled(str(path))])
    windows = b"# 0\na.png\n3\n20\n30\n2\n1 0.7 2 3 10 11\n2 0.2 0 0 5 6\n"
    fuzz(path, windows, [lambda path: lists.read_windows(str(path), "", 0.5, 0.5)])


def test_images(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image", reason="images need the extra data")
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    for suffix in ("png", "jpeg", "bmp", "gif", "tiff", "webp"):
        path = tmp_path / f"a.{suffix}"
        pillow.fromarray(pixels).save(path)
        readers: list[Read] = [lambda path: images.read(lists.Listed(str(path), 0, "line 1"))]
        readers.append(lambda path: images.size_of(lists.Listed(str(path), 0, "line 1")))
        fuzz(path, path.read_bytes(), readers)


@pytest.mark.parametrize("held", [1 << 29, 0], ids=["whole", "by rows"])
def test_hdf5_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    h5py = pytest.importorskip("h5py", reason="HDF5 needs the extra data")
    monkeypatch.setattr(hdf5, "HELD", held)
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["data"] = np.arange(12.0).reshape(4, 3)
        file.create_dataset("label", data=np.arange(4), chunks=(3,), compression="gzip")
    names = [{"data": "data", "label": "label"}, {}]
    listed = [lists.Listed(str(path), 0, "")]
    readers: list[Read] = [lambda _, by=by: hdf5.Files(listed, by).read(np.array([3, 1])) for by in names]
    fuzz(path, path.read_bytes(), readers, rounds=ROUNDS)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_exif(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image", reason="images need the extra data")
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    exif = pillow.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.jpeg"

    def turned(path: Path) -> None:
        assert sorted(decode.decode(str(path), "x").shape) == [3, 9, 11]

    pillow.fromarray(pixels).save(path, exif=exif)
    whole, start = path.read_bytes(), path.read_bytes().index(b"Exif\0\0") + 6
    draw, tables = random.Random(0), len(exif.tobytes()) - 6
    for _ in range(ROUNDS):  # whatever the table says, the image is read
        table = bytearray(whole[start : start + tables])
        for _ in range(draw.randrange(1, 4)):
            table[draw.randrange(tables)] = draw.randrange(256)
        path.write_bytes(whole[:start] + table + whole[start + tables :])
        turned(path)


@pytest.fixture
def database(tmp_path: Path) -> tuple[Path, list[bytes]]:
    """An LMDB file and its values: a plain Datum, one of an image file, and small and large ones that fill pages."""
    lmdb = pytest.importorskip("lmdb", reason="LMDB needs the extra data")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 9, 11), dtype=np.uint8)
    values = [datum.serialise(pixels, 3), datum.serialise_encoded(decode.encode(pixels, "png", "x"), 1)]
    values += [datum.serialise(np.zeros((1, 1, size), np.float32)) for size in range(1, 3000, 150)]
    with lmdb.open(str(tmp_path), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for i, value in enumerate(values):
            transaction.put(b"%04d" % i, value)
    return tmp_path / "data.mdb", values


def samples(path: Path) -> None:
    """Read an LMDB file, each sample of it; a fault in one is as good as a fault in the file."""
    lmdb_file._index.cache_clear()  # a file is rewritten sooner than its time changes
    source = Datums(str(path))
    faults = []
    for index in range(len(source)):
        try:
            source.sample(index)
        except lk.DataError as error:
            if "is of type float32, not uint8" not in str(error):
                faults.append(error)
    source.close()
    if faults:
        raise faults[0]


def pages_edited(whole: bytes, draw: random.Random) -> bytes:
    """An LMDB file in which bytes of pages of its tree, of their heads and nodes, are others."""
    content = bytearray(whole)
    pages = [start for start in range(0, len(whole), 4096) if start < 8192 or whole[start + 10] & 3]
    for _ in range(draw.randrange(1, 4)):
        content[draw.choice(pages) + draw.randrange(160)] = draw.randrange(256)
    return bytes(content)


@pytest.mark.parametrize("change", [mutated, pages_edited])
def test_lmdb_files(database: tuple[Path, list[bytes]], change: Any) -> None:
    path, _ = database
    fuzz(path, path.read_bytes(), [samples], change)


@pytest.mark.parametrize("number", [0, 1], ids=["plain", "encoded"])
def test_datums(database: tuple[Path, list[bytes]], number: int) -> None:
    path, values = database
    whole = path.read_bytes()
    assert values[number] in whole

    def change(whole: bytes, draw: random.Random) -> bytes:
        value = mutated(values[number], draw)[: len(values[number])]
        return whole.replace(values[number], value.ljust(len(values[number]), b"\0"))

    fuzz(path, whole, [samples], change)
