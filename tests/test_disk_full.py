"""Real processes that write data and run out of disk: one sentence, and nothing is left behind."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import h5py
import numpy as np
import pytest
from child_tools import finish, start

from layerkit.datasets.files.hdf5 import Writer
from layerkit.datasets.files.hdf5_disk import Disk

NET = """
name: run
net:
  layers:
    - {name: digits, type: Data, top: [data, label], dataset: digits, batch_size: 50}
    - {name: fc, type: InnerProduct, bottom: data, num_output: 10, weight_filler: xavier}
    - {name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}
    - {name: out, type: HDF5Output, bottom: [data, label], file_name: out.h5, include: train}
solver: {type: SGD, base_lr: 0.01, lr_policy: fixed, max_iter: 40}
"""


def limited(folder: Path, limit: int, *arguments: str) -> tuple[int, str, str]:
    """Status, output and errors of a command, in a process whose files may have `limit` bytes."""
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
    return finish(start(folder, "-c", f"{code}; from layerkit.cli.main import main; main()", *arguments))


@pytest.mark.parametrize("limit", [0, 40 << 10])
def test_an_hdf5_file_finds_no_room(tmp_path: Path, limit: int) -> None:
    answer = limited(tmp_path, limit, "data", "convert", "digits", "d.h5")
    assert answer == (2, "", "cannot write 'd.h5': the disk is full\n")
    assert not os.listdir(tmp_path)


def test_a_database_finds_no_room(tmp_path: Path) -> None:
    status, out, err = limited(tmp_path, 40 << 10, "data", "convert", "digits", "d_lmdb")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("cannot write 'd_lmdb': the disk is full")
    assert not os.listdir(tmp_path)


def test_hdf5_output_finds_no_room(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(NET)
    status, _, err = limited(tmp_path, 40 << 10, "train", "run.yaml", "--quiet")
    assert status == 2
    assert err.count("\n") == 1
    assert err.endswith("cannot write 'out.h5': the disk is full\n")
    assert not [name for name in os.listdir(tmp_path) if "out.h5" in name]


def test_a_prediction_finds_no_room(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(NET)
    status, _, err = limited(tmp_path, resource.RLIM_INFINITY, "train", "run.yaml", "--quiet")
    assert status == 0, err
    snapshot = str(tmp_path / "runs" / "run" / "iter_40.safetensors")
    status, out, err = limited(tmp_path, 8 << 10, "predict", snapshot, "digits", "--blob", "data", "-o", "p.h5")
    assert (status, out, err) == (2, "", "cannot write 'p.h5': the disk is full\n")
    assert not [name for name in os.listdir(tmp_path) if "p.h5" in name]


def test_hdf5_finds_again_what_could_not_be_written(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk")
    disk.write(memoryview(b"abcdef"))
    disk._failure = error = OSError(28, "No space left on device")
    disk.seek(4)
    disk.write(memoryview(b"EFGH"))
    disk.seek(12)
    disk.write(memoryview(b"MN"))
    assert disk.tell() == disk.seek(0, os.SEEK_END) == 14
    disk.seek(2)
    assert disk.read(14) == b"cdEFGH\0\0\0\0MN\0\0"
    with pytest.raises(OSError, match="No space") as raised:
        disk.check()
    assert raised.value is error
    disk.close()
    assert (tmp_path / "disk").read_bytes() == b"abcdef"


def test_an_interrupt_within_a_write_is_raised_after_it(tmp_path: Path) -> None:
    class Interrupted:
        def seek(self, offset: int, whence: int = 0) -> int:
            return 0

        def write(self, part: memoryview) -> int:
            raise KeyboardInterrupt

        truncate = write

        def close(self) -> None:
            real.close()

    writer = Writer(str(tmp_path / "a.h5"))
    real, writer._disk._file = writer._disk._file, Interrupted()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        writer.append(data=np.ones((50_000, 100), np.float32))
    writer.abandon()
    assert not os.listdir(tmp_path)


def test_rows_come_back(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(5000, 7)).astype(np.float32)
    writer = Writer(str(tmp_path / "a.h5"))
    for at in range(0, len(rows), 64):
        writer.append(data=rows[at : at + 64])
    writer.close()
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["data"][()], rows)
