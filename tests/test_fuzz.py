"""Mutated files given to every reader: each loads or raises a LayerkitError of one line; nothing hangs or swells."""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz_tools import ROUNDS, Read, bounded, edited, fuzz, header_edited, mutated  # noqa: F401

import layerkit as lk
from layerkit import arrayfile, events, snapshot
from layerkit.datasets.files import npz
from layerkit.datasets.public import cifar10, mnist
from layerkit.events import EventLog
from layerkit.report.log import tables, to_csv
from layerkit.report.tensorboard import scalars
from layerkit.sweep import results

RUN = """
name: fuzzed
net:
  layers:
    - {name: digits, type: Data, top: [data, label], dataset: digits, batch_size: 5, scale: 0.0625}
    - {name: fc1, type: InnerProduct, bottom: data, num_output: 3, weight_filler: xavier, param: [{name: w}]}
    - {name: drop, type: Dropout}
    - {name: fc2, type: InnerProduct, num_output: 10, weight_filler: xavier}
    - {name: loss, type: SoftmaxWithLoss, bottom: [fc2, label]}
solver: {type: Adam, base_lr: 0.01, momentum: 0.9, average: {type: ema}, max_iter: 2, snapshot: 1, display: 1}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with two snapshots."""
    folder = tmp_path_factory.mktemp("run")
    lk.Solver(RUN, folder=folder).solve()
    return folder


@pytest.fixture(scope="module")
def solver() -> lk.Solver:
    return lk.Solver(RUN)


# -- snapshots -----------------------------------------------------------------------------------------------------


def unchanged(solver: lk.Solver, read: Read) -> Read:
    """`read`, which must leave the solver's net as it was wherever it refuses."""

    def checked(path: Path) -> None:
        before = solver.net.flat.values.copy(), [array.copy() for array in solver.updater.history.values()]
        try:
            read(path)
        except lk.LayerkitError:
            np.testing.assert_array_equal(solver.net.flat.values, before[0])
            for now, was in zip(solver.updater.history.values(), before[1], strict=True):
                np.testing.assert_array_equal(now, was)
            raise

    return checked


@pytest.mark.parametrize("change", [mutated, header_edited])
def test_weights(run: Path, solver: lk.Solver, tmp_path: Path, change: Any) -> None:
    path = tmp_path / "iter_2.safetensors"
    readers = [lk.load, unchanged(solver, lambda path: solver.net.load_weights(path, strict=False))]
    fuzz(path, (run / path.name).read_bytes(), readers, change)


def resigned(name: str) -> Callable[[bytes, random.Random], bytes]:
    """A change of what a file says of itself, under a checksum that is right."""

    def change(whole: bytes, draw: random.Random) -> bytes:
        path = Path(name)
        path.write_bytes(whole)
        arrays, notes = arrayfile.load(path)
        about = edited(json.loads(notes["layerkit"]), draw)
        arrayfile.save(path, arrays, {"layerkit": json.dumps(about)})
        return path.read_bytes()

    return change


def test_weights_that_say_something_else(run: Path, solver: lk.Solver, tmp_path: Path) -> None:
    path = tmp_path / "iter_2.safetensors"
    fuzz(
        path, (run / path.name).read_bytes(), [lk.load, solver.net.load_weights], resigned(f"{tmp_path}/a.safetensors")
    )


@pytest.mark.parametrize("how", ["mutated", "header", "about"])
def test_a_state(run: Path, solver: lk.Solver, tmp_path: Path, how: str) -> None:
    path = tmp_path / "iter_2.state.safetensors"
    (tmp_path / "iter_2.safetensors").write_bytes((run / "iter_2.safetensors").read_bytes())
    change = {"mutated": mutated, "header": header_edited, "about": resigned(f"{tmp_path}/a.safetensors")}[how]
    readers = [unchanged(solver, solver.restore), snapshot.read_state_info]
    fuzz(path, (run / path.name).read_bytes(), readers, change, 60)


def test_weights_beside_a_state(run: Path, solver: lk.Solver, tmp_path: Path) -> None:
    state = tmp_path / "iter_2.state.safetensors"
    state.write_bytes((run / state.name).read_bytes())
    path = tmp_path / "iter_2.safetensors"
    fuzz(path, (run / path.name).read_bytes(), [unchanged(solver, lambda _: solver.restore(state))])


@pytest.mark.parametrize("name", ["iter_2.safetensors", "iter_2.state.safetensors", "events.jsonl"])
def test_the_newest_state_is_found_whatever_lies_in_the_folder(run: Path, tmp_path: Path, name: str) -> None:
    for path in run.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    draw = random.Random(name)
    for _ in range(ROUNDS):
        (tmp_path / name).write_bytes(mutated((run / name).read_bytes(), draw))
        state = snapshot.newest_state(tmp_path)
        assert state is None or state.name.startswith("iter_")
        assert state is not None or name == "events.jsonl"


# -- arrays --------------------------------------------------------------------------------------------------------

ARRAYS = {"x": np.arange(6.0, dtype=np.float32).reshape(2, 3), "data": np.arange(4), "e": np.zeros((0, 2), np.uint8)}


def contents(suffix: str, tmp_path: Path) -> bytes:
    path = tmp_path / f"whole{suffix}"
    if suffix == ".npy":
        np.save(path, ARRAYS["x"])
    elif suffix == ".safetensors":
        arrayfile.save(path, ARRAYS, {"note": "1"})
    else:
        (np.savez if suffix == ".npz" else np.savez_compressed)(path.with_suffix(".npz"), **ARRAYS)
        path = path.with_suffix(".npz")
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".compressed", ".safetensors"])
def test_arrays(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{'.npz' if suffix == '.compressed' else suffix}"
    readers: list[Read] = [arrayfile.load_one] if suffix == ".npy" else [arrayfile.load, arrayfile.header]
    fuzz(path, contents(suffix, tmp_path), readers, rounds=2 * ROUNDS)


def test_arrays_under_another_header(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    readers = [arrayfile.load, arrayfile.header, arrayfile.metadata]
    fuzz(path, contents(".safetensors", tmp_path), readers, header_edited, 2 * ROUNDS)


def member_edited(whole: bytes, draw: random.Random) -> bytes:
    """An .npz that is a sound zip file, of members that are not."""
    old, new = zipfile.ZipFile(io.BytesIO(whole)), io.BytesIO()
    with zipfile.ZipFile(new, "w", draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name in old.namelist():
            archive.writestr(name, mutated(old.read(name), draw))
    return new.getvalue()


def test_sound_archives_of_broken_members(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    readers: list[Read] = [arrayfile.load, arrayfile.header]
    fuzz(path, contents(".npz", tmp_path), readers, member_edited)


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array)
    return file.getvalue()


def overlapping(count: int) -> bytes:
    """A zip whose directory lists the same compressed bytes again and again, under other names."""
    whole = zipped(("x000.npy", npy(np.zeros(1_000_000))))
    start, end = whole.index(b"PK\1\2"), whole.index(b"PK\5\6")
    entries = b"".join(whole[start:end].replace(b"x000", b"x%03d" % i) for i in range(count))
    tail = whole[end : end + 8] + struct.pack("<HHII", count, count, len(entries), start) + b"\0\0"
    return whole[:start] + entries + tail


TRICKS = {
    "a zip in a zip": zipped(("x.npy", zipped(("x.npy", npy(np.ones(3)))))),
    "a zip as an npz member": zipped(("inner.npz", zipped(("x.npy", npy(np.ones(3)))))),
    "overlapping members": overlapping(300),
    "a bomb": zipped(("x.npy", npy(np.zeros(1)) + bytes(50_000_000))),
    "lzma": zipped(("x.npy", npy(np.ones(3))), method=zipfile.ZIP_LZMA),
    "bzip2": zipped(("x.npy", npy(np.ones(3))), method=zipfile.ZIP_BZIP2),
    "a name with folders": zipped(("../../x.npy", b"no array")),
    "encrypted": zipped(("x.npy", npy(np.ones(3)))).replace(b"\x14\0\0\0\x08\0", b"\x14\0\x01\0\x08\0"),
    "an unknown method": zipped(("x.npy", npy(np.ones(3)))).replace(b"\x14\0\0\0\x08\0", b"\x14\0\0\0\x63\0"),
    "a deep header": zipped(("x.npy", npy(np.ones(1)).replace(b"'shape': (1,)", b"'shape': ((((("))),
    "a folder": zipped(("x.npy/", b"")),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_tricks_with_zip_files_are_refused(tmp_path: Path, trick: str) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(TRICKS[trick])
    for read in (arrayfile.load, arrayfile.header):
        with pytest.raises(lk.SnapshotError) as error:
            read(path)
        assert "\n" not in str(error.value)


# -- the record ----------------------------------------------------------------------------------------------------


def test_an_event_log(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"

    def lines(whole: bytes, draw: random.Random) -> bytes:
        rows = whole.splitlines()
        i = draw.randrange(len(rows))
        rows[i] = json.dumps(edited(json.loads(rows[i]), draw)).encode() if draw.random() < 0.5 else b"[" * 100_000
        return b"\n".join(rows) + b"\n"

    def shown(path: Path) -> None:
        record = events.read(path)
        for table in tables(record).values():
            to_csv(table)
        for event in record:
            dict(scalars(event))

    record: list[Read] = [events.read, lambda path: EventLog(path).rewind(), shown]
    readers = [*record, lambda path: results.read(path.parent)]
    for change in (mutated, lines):
        fuzz(path, (run / path.name).read_bytes(), readers, change)


# -- datasets ------------------------------------------------------------------------------------------------------


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">I{values.ndim}I", 0x0800 + values.ndim, *values.shape) + values.tobytes()


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("kind", ["images-idx3", "labels-idx1"])
def test_idx_files(tmp_path: Path, kind: str, packed: bool) -> None:
    pack, suffix = (gzip.compress, ".gz") if packed else (bytes, "")
    rng = np.random.default_rng(0)
    whole = {
        "images-idx3": pack(idx(rng.integers(0, 256, (4, 28, 28), dtype=np.uint8))),
        "labels-idx1": pack(idx(np.arange(4, dtype=np.uint8))),
    }
    for name, content in whole.items():
        (tmp_path / f"train-{name}-ubyte{suffix}").write_bytes(content)
    readers: list[Read] = [
        lambda _: mnist.describe(str(tmp_path), "train"),
        lambda _: mnist.open_source(str(tmp_path), "train"),
    ]
    fuzz(tmp_path / f"train-{kind}-ubyte{suffix}", whole[kind], readers)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_that_declare_too_much(tmp_path: Path, suffix: str) -> None:
    for name, axes in (("images-idx3", [28, 28]), ("labels-idx1", [])):
        content = struct.pack(f">{2 + len(axes)}I", 0x0801 + len(axes), 900_000, *axes) + bytes(20_000_000)
        path = tmp_path / f"train-{name}-ubyte{suffix}"
        path.write_bytes(gzip.compress(content, 1) if suffix else content)
    with pytest.raises(
        lk.DataError, match=r"its header declares 705,600,000 bytes \(900000x28x28 of uint8\), but it holds only"
    ):
        mnist.open_source(str(tmp_path), "train")


def tarred(content: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A tar file of a member that is what CIFAR-10's test file should be, or a folder, or a link to itself."""
    file, name = io.BytesIO(), f"{cifar10.INSIDE}/test_batch.bin"
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size, member.type, member.linkname = len(content), kind, name
        archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def cifar_readers(folder: Path) -> list[Read]:
    return [lambda _: cifar10.describe(str(folder), "test"), lambda _: cifar10.open_source(str(folder), "test")]


def test_cifar_files(tmp_path: Path) -> None:
    content = b"".join(bytes([label]) + bytes([label * 20]) * 3072 for label in range(3))
    fuzz(tmp_path / "test_batch.bin", content, cifar_readers(tmp_path))


@pytest.mark.parametrize("inside", [False, True])
def test_cifar_archives(tmp_path: Path, inside: bool) -> None:
    whole = tarred(b"".join(bytes([label]) + bytes([label * 20]) * 3072 for label in range(3)))
    readers = cifar_readers(tmp_path)[1:]
    change = (lambda whole, draw: gzip.compress(mutated(gzip.decompress(whole), draw), 1)) if inside else mutated
    fuzz(tmp_path / cifar10.ARCHIVE, gzip.compress(whole), readers, change)


@pytest.mark.parametrize(
    ("content", "kind", "match"),
    [
        (bytes(40_000_000), tarfile.REGTYPE, "'cifar-10-batches-bin/test_batch.bin' in it is too large"),
        (b"", tarfile.SYMTYPE, "it holds no test_batch.bin"),
        (b"", tarfile.DIRTYPE, "it holds no test_batch.bin"),
    ],
    ids=["bomb", "link to itself", "folder"],
)
def test_cifar_archives_of_something_else(tmp_path: Path, content: bytes, kind: bytes, match: str) -> None:
    (tmp_path / cifar10.ARCHIVE).write_bytes(gzip.compress(tarred(content, kind), 1))
    with pytest.raises(lk.DataError, match=match):
        cifar10.open_source(str(tmp_path), "test")


def test_npz_sources(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, data=np.arange(12.0).reshape(4, 3), label=np.arange(4))
    whole = path.read_bytes()
    for change in (mutated, member_edited):
        fuzz(
            path,
            whole,
            [lambda path: npz.Npz().describe(path, "train"), lambda path: npz.Npz().open(path, "train")],
            change,
        )
