"""IDX files of any type and shape, and what is said of those that are broken."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest

from layerkit.datasets.files import idx
from layerkit.errors import DataError

TYPES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}
SHAPES = [(7,), (2, 3), (5, 2, 3), (3, 1, 2, 4)]


def packed(array: np.ndarray) -> bytes:
    """An IDX file, written after the format's description: numbers begin with their highest byte."""
    start = bytes([0, 0, TYPES[array.dtype.name], array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return start + array.astype(array.dtype.newbyteorder(">")).tobytes()


def some(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 50, shape).astype(dtype)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_and_shape_is_read(tmp_path: Path, dtype: str, shape: tuple[int, ...], zipped: bool) -> None:
    array = some(dtype, shape)
    path = tmp_path / "an-idx"  # the name does not tell whether it is packed
    path.write_bytes(gzip.compress(packed(array)) if zipped else packed(array))
    found = idx.read(path)
    assert found.dtype == dtype
    assert found.dtype.isnative
    assert np.array_equal(found, array)
    assert idx.header(str(path)) == (shape, np.dtype(dtype))
    file = io.BytesIO(path.read_bytes())
    assert np.array_equal(idx.read_from(file, "a member", path.stat().st_size), array)


WHOLE = packed(some("int16", (5, 2, 3)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no IDX file: it must begin with two zero bytes, .* but begins with 0x0"),
        (b"\0\0\x08", "is no IDX file: .* begins with 0x000008"),
        (b"\x89PNG" + WHOLE, "is no IDX file: .* begins with 0x89504e47"),
        (b"\0\0\x0a\1" + WHOLE[4:], "is no IDX file: .* begins with 0x00000a01"),
        (b"\0\0\x08\0" + WHOLE[4:], "is no IDX file: .* the number of a type and 1 to 32 axes"),
        (b"\0\0\x08\x21" + bytes(200), "is no IDX file"),
        (WHOLE[:12], "is damaged: it ends within its header"),
        (WHOLE[:-1], r"declares 60 bytes \(5x2x3 of int16\), but it holds only 59"),
        (WHOLE + b"x", "but it holds more"),
        (bytes([0, 0, 8, 2, 0, 0, 0, 4, 0, 0, 0, 0]), "holds nothing: its header declares the shape 4x0"),
        (bytes([0, 0, 14, 32]) + b"\xff" * 128, "is damaged: its header declares"),
    ],
    ids=["empty", "short", "png", "type", "no axes", "axes", "cut header", "cut", "long", "nothing", "absurd"],
)
def test_a_broken_file_is_refused_in_one_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "a"
    for kept in (content, gzip.compress(content)):
        path.write_bytes(kept)
        with pytest.raises(DataError, match=f"^'.*a' {said}" if said.startswith("is") else said) as caught:
            idx.read(path)
        assert "\n" not in str(caught.value)
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        idx.header(path)


def test_a_broken_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(WHOLE)[:-9])
    with pytest.raises(DataError, match=r"a\.gz' cannot be read: "):
        idx.read(path)
    path.write_bytes(gzip.compress(packed(some("uint8", (5, 2, 3)))[:4] + b"\x7f" * 12))
    with pytest.raises(DataError, match=r"bytes .* but it cannot hold that many"):
        idx.header(path)
    for call in (idx.read, idx.header):
        with pytest.raises(DataError, match=r"nowhere' cannot be read: No such file or directory"):
            call(tmp_path / "nowhere")
