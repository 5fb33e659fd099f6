"""Caffemodels without a prototxt: parameters by the numbers of their fields, as a branch of Caffe has them."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz_tools import mutated

import layerkit as lk
from layerkit import wire
from layerkit.convert import binary
from layerkit.convert.caffe_in import convert, to_yaml
from layerkit.convert.report import Report
from layerkit.datasets.files import blobproto
from layerkit.errors import Problems

WEIGHT, BIAS = np.arange(54, dtype=np.float32).reshape(2, 3, 3, 3), np.ones(2, np.float32)


def single(number: int, value: float) -> bytes:
    """A field that holds one float."""
    return bytes([number << 3 | 5]) + struct.pack("<f", value)


def layer(name: str, kind: str, bottoms: list[str], tops: list[str], more: bytes = b"") -> bytes:
    """A LayerParameter in a net."""
    ends = [wire.data(3, bottom) for bottom in bottoms] + [wire.data(4, top) for top in tops]
    return wire.data(100, wire.data(1, name) + wire.data(2, kind) + b"".join(ends) + wire.varint(10, 0) + more)


def model() -> bytes:
    """A net as Caffe writes it after training, with the copies that it made of a blob that has two readers."""
    shape = wire.data(1, wire.integers(1, [2, 3, 8, 8]))
    filler = wire.data(1, "gaussian") + single(6, 0.01)
    convolution = wire.varint(1, 2) + wire.varint(4, 3) + wire.integers(3, [1]) + wire.data(7, filler)
    specs = wire.data(6, single(3, 1)) + wire.data(6, single(3, 2) + single(4, 0))
    blobs = b"".join(wire.data(7, blobproto.serialise(array)) for array in (WEIGHT, BIAS))
    return b"".join([
        wire.data(1, "saved"),
        layer("data", "Input", [], ["data"], wire.data(143, shape)),
        layer("data_data_0_split", "Split", ["data"], ["data_data_0_split_0", "data_data_0_split_1"]),
        layer("conv", "Convolution", ["data_data_0_split_0"], ["conv"], specs + wire.data(106, convolution) + blobs),
        layer("pool", "Pooling", ["data_data_0_split_1"], ["pool"],
              wire.data(121, wire.varint(1, 1) + wire.varint(2, 2) + wire.varint(3, 2) + wire.varint(12, 0))),
        layer("drop", "Dropout", ["pool"], ["pool"], wire.data(8, wire.varint(1, 0)) + wire.data(108, single(1, 0.2))),
    ])  # fmt: skip


def written(path: Path, content: bytes, branch: str = "bvlc") -> tuple[str, list[str]]:
    """The YAML of a caffemodel, and what is said of it."""
    path.write_bytes(content)
    report = Report()
    return to_yaml(path, report, branch)[0], report.lines()


def test_a_net_with_its_weights(tmp_path: Path) -> None:
    path, out = tmp_path / "net.caffemodel", tmp_path / "net.yaml"
    path.write_bytes(model())
    report = convert(path, out, branch="bvlc")
    assert report.lines() == []
    assert report.wrote == [f"wrote {out}", f"wrote {tmp_path / 'net.safetensors'} (2 of 2 weights)"]
    assert out.read_text().splitlines() == [
        "name: saved",
        "",
        "layers:",
        "  - {name: data, type: Input, shape: [2, 3, 8, 8]}",
        "  - name: conv",
        "    type: Convolution",
        "    num_output: 2",
        "    pad: 1",
        "    kernel_size: 3",
        "    weight_filler: {type: gaussian, std: 0.01}",
        "    param: [{}, {lr_mult: 2, decay_mult: 0}]",
        "  - {name: pool, type: Pooling, bottom: data, pool: AVE, kernel_size: 2, stride: 2}",
        "  - {name: drop, type: Dropout, top: pool, dropout_ratio: 0.2, include: train}",
    ]
    net = lk.Net(out, weights=tmp_path / "net.safetensors")
    np.testing.assert_array_equal(net.params["conv"].weight.data, WEIGHT)


def test_one_number_means_different_things_in_two_branches(tmp_path: Path) -> None:
    shape = wire.data(1, wire.integers(1, [7, 9]))
    one = layer("x", "Input", [], ["x"], wire.data(143, shape))
    other = layer("x", "Interp", ["i"], ["x"], wire.data(143, wire.varint(1, 7) + wire.varint(2, 9)))
    assert written(tmp_path / "a.caffemodel", one) == (
        "layers:\n  - {name: x, type: Input, shape: [7, 9]}\n", [],
    )  # fmt: skip
    assert written(tmp_path / "b.caffemodel", other, "pspnet") == (
        "layers:\n  - {name: x, type: Interp, bottom: i, height: 7, width: 9}\n", [],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("branch", "kind", "field", "line"),
    [
        ("pspnet", "BN", wire.data(152, wire.data(1, wire.data(1, "constant") + single(2, 1)) + single(4, 0.001)),
         "type: BatchNorm, bottom: i, eps: 0.001, scale_bias: true"),
        ("segnet", "Upsample", wire.data(137, wire.varint(1, 2) + wire.varint(4, 1)),
         "type: Upsample, bottom: i, scale: 2, pad_out_h: true"),
    ],
)  # fmt: skip
def test_branches_have_numbers_of_their_own(tmp_path: Path, branch: str, kind: str, field: bytes, line: str) -> None:
    text, lines = written(tmp_path / "a.caffemodel", layer("x", kind, ["i"], ["x"], field), branch)
    assert (text, lines) == (f"layers:\n  - {{name: x, {line}}}\n", [])


def test_fields_of_another_branch_are_said(tmp_path: Path) -> None:
    _, lines = written(tmp_path / "a.caffemodel", layer("x", "ReLU", ["i"], ["x"], wire.data(999, b"")))
    assert lines == ["layer 'x': LayerParameter has no field of number 999 in this Caffe (bvlc); it is left out"]


def test_old_layers(tmp_path: Path) -> None:
    v1 = (
        wire.data(4, "ip") + wire.varint(5, 14) + wire.data(2, "data") + wire.data(3, "ip") + wire.data(17, b"\x08\x05")
    )
    v1 += single(7, 1) + single(7, 2)
    content = b"".join(wire.data(3, "data") + wire.varint(4, size) if size == 4 else wire.varint(4, size)
                       for size in (4, 3, 2, 1)) + wire.data(2, v1)  # fmt: skip
    assert written(tmp_path / "a.caffemodel", content) == (
        "layers:\n  - {name: data, type: Input, shape: [4, 3, 2, 1]}\n"
        "  - {name: ip, type: InnerProduct, num_output: 5, param: [{}, {lr_mult: 2}]}\n", [],
    )  # fmt: skip


def test_the_branch_must_be_named(tmp_path: Path, command: Callable[..., Any]) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(model())
    answer = command("convert", str(path), "-o", "net.yaml")
    assert answer.status == 2
    assert answer.err.startswith(
        f"say whose Caffe wrote {str(path)!r}, since it comes without a prototxt: one of bvlc, "
    )
    answer = command("convert", str(path), "-o", "net.yaml", "--branch", "bvcl")
    assert answer.err == "there is no branch of Caffe 'bvcl'; did you mean 'bvlc'?\n"
    assert command("convert", str(path), "-o", "net.yaml", "--branch", "bvlc").status == 0


def test_mutated_models_are_read_or_refused_in_one_sentence() -> None:
    draw, refused = random.Random(0), 0
    for _ in range(300):
        try:
            binary.read_net(mutated(model(), draw), "net.caffemodel", "bvlc", Problems())
        except lk.SnapshotError as error:
            refused += 1
            if "\n" in str(error) or len(str(error)) > 300:
                pytest.fail(str(error))
    assert refused > 50
