"""Mutated tables, texts and arrays given to their datasets: each loads or raises a LayerkitError of one line."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz_tools import ROUNDS, bounded, fuzz, mutated  # noqa: F401

from layerkit.datasets import select
from layerkit.datasets.dataset import Dataset
from layerkit.datasets.files import mapped, npz
from layerkit.datasets.files.cifar_binary import CifarBinary
from layerkit.datasets.files.idx_files import Idx
from layerkit.datasets.files.npy import Npy
from layerkit.datasets.files.npz import Npz
from layerkit.datasets.files.tables.csv_files import Csv
from layerkit.datasets.files.text_windows import Text

TABLE = b"""\
size,colour,"the, price",kind
1.5,red,-2e3,cat
2,"light ""blue"", too",4,dog
,green,5,cat
7,red,?,dog
"""


def readers(dataset: Dataset) -> list[Any]:
    def whole(path: Path) -> None:
        source = dataset.open(str(path), "train")
        source.read(np.arange(min(len(source), 100)))
        source.close()

    return [lambda path: dataset.describe(str(path), "train"), whole]


def typed(whole: bytes, draw: random.Random) -> bytes:
    """What people do to tables: a character of those that mean something, somewhere else."""
    at = draw.randrange(len(whole))
    return whole[:at] + draw.choice([b'"', b",", b";", b"\n", b"\r", b"\0", b" ", b"x", b"?", b"\n\n"]) + whole[at:]


@pytest.mark.parametrize("change", [mutated, typed])
@pytest.mark.parametrize("fields", [{"missing": "mean"}, {"label": "size", "missing": "drop"}, {"header": False}])
def test_tables(tmp_path: Path, fields: dict[str, Any], change: Any) -> None:
    table = TABLE.split(b"\n", 1)[1].replace(b"?", b"1").replace(b"\n,", b"\n3,") if "header" in fields else TABLE
    fuzz(tmp_path / "a.csv", table, readers(Csv(**fields)), change)


def test_tables_beside_another(tmp_path: Path) -> None:
    known = tmp_path / "train.csv"
    known.write_bytes(TABLE)
    fuzz(tmp_path / "a.csv", TABLE, readers(Csv(like=str(known), missing="zero")), rounds=2 * ROUNDS)


@pytest.mark.parametrize("level", ["character", "word"])
def test_texts(tmp_path: Path, level: str) -> None:
    text = "Whether 'tis nobler in the mind to suffer größere Pfeile, or to take arms\n".encode()
    fuzz(tmp_path / "a.txt", text, readers(Text(level=level, window=8)))
    known = tmp_path / "train.txt"
    known.write_bytes(text)
    fuzz(tmp_path / "b.txt", text, readers(Text(level=level, window=8, vocabulary=str(known))))


def test_mapped_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (mapped, npz):
        monkeypatch.setattr(module, "LARGE", 0)
    np.save(tmp_path / "whole.npy", np.arange(12.0).reshape(4, 3))
    fuzz(tmp_path / "a.npy", (tmp_path / "whole.npy").read_bytes(), readers(Npy()), rounds=2 * ROUNDS)
    np.savez(tmp_path / "whole.npz", data=np.arange(12.0).reshape(4, 3), label=np.arange(4))
    fuzz(tmp_path / "a.npz", (tmp_path / "whole.npz").read_bytes(), readers(Npz()), rounds=2 * ROUNDS)


def test_idx_and_cifars_layout(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.uint8)
    fuzz(tmp_path / "a.idx", struct.pack(">4I", 0x0803, 2, 3, 4) + values.tobytes(), readers(Idx()))
    kind = CifarBinary(shape=[1, 2, 3], labels=["label"], class_names=[str(i) for i in range(22)])
    fuzz(tmp_path / "a.bin", values[:21].tobytes(), readers(kind))


def test_every_file_kind_is_tried_here() -> None:
    for name in ("csv", "text", "npy", "npz", "idx", "cifar_binary"):
        assert select(name, "x", "train").dataset.type == name
