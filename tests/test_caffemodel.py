"""Caffe's files of weights: every layout that was ever in use, into a net's shapes, and files that are damaged."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz_tools import mutated

import layerkit as lk
from layerkit import graph, wire
from layerkit.convert import caffemodel, solverstate, weights
from layerkit.convert.caffe_in import convert
from layerkit.convert.caffemodel import SavedLayer
from layerkit.convert.report import Report
from layerkit.datasets.files import blobproto

RNG = np.random.default_rng(0)
NET = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 5 dim: 4 } } }
layer { name: "conv.1" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 6 kernel_size: 3 } }
layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" }
layer { name: "ip" type: "InnerProduct" bottom: "c" top: "ip" inner_product_param { num_output: 7 } }
"""


def draw(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


ARRAYS = {
    "conv_1.weight": draw(6, 3, 3, 3), "conv_1.bias": draw(6), "bn.mean": draw(6), "bn.variance": draw(6) ** 2,
    "bn.scale_factor": draw(1) ** 2, "ip.weight": draw(7, 36), "ip.bias": draw(7),
}  # fmt: skip


def blobs(layer: str) -> tuple[np.ndarray, ...]:
    return tuple(array for name, array in ARRAYS.items() if name.startswith(layer))


LAYERS = [
    SavedLayer("data", "Input", (), ("data",)),
    SavedLayer("conv.1", "Convolution", ("data",), ("c",), blobs("conv")),
    SavedLayer("bn", "BatchNorm", ("c",), ("c",), blobs("bn")),
    SavedLayer("ip", "InnerProduct", ("c",), ("ip",), blobs("ip")),
]


def old_blob(array: np.ndarray, *, packed: bool = True, doubles: bool = False) -> bytes:
    """A BlobProto with its four axes written as Caffe did until 2014."""
    sizes = (1,) * (4 - array.ndim) + array.shape
    head = b"".join(wire.varint(number, size) for number, size in enumerate(sizes, 1))
    if doubles:
        return head + wire.data(8, array.astype("<f8").tobytes())
    if packed:
        return head + wire.floats(5, array)
    return head + b"".join(b"\x2d" + struct.pack("<f", value) for value in array.ravel())  # 5 << 3 | 5


def v1(**how: Any) -> bytes:
    """The file with layers as they were written in 2014."""
    types = {"Convolution": 4, "InnerProduct": 14}
    return b"".join(
        wire.data(2, wire.data(4, layer.name) + wire.varint(5, types.get(layer.type, 0))
                  + b"".join(wire.data(2, bottom) for bottom in layer.bottoms)
                  + b"".join(wire.data(6, old_blob(array, **how)) for array in layer.blobs))
        for layer in LAYERS
    )  # fmt: skip


def v0() -> bytes:
    """The file with layers as they were written in 2013."""
    types = {"Convolution": "conv", "InnerProduct": "innerproduct"}
    return b"".join(
        wire.data(2, wire.data(1, wire.data(1, layer.name) + wire.data(2, types.get(layer.type, "data"))
                  + b"".join(wire.data(50, old_blob(array)) for array in layer.blobs)))
        for layer in LAYERS
    )  # fmt: skip


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    caffemodel.write(path, "small", LAYERS)
    found = caffemodel.read(path)
    assert [(each.name, each.type, each.bottoms, each.tops) for each in found] == [
        (each.name, each.type, each.bottoms, each.tops) for each in LAYERS
    ]
    for read, written in zip(found, LAYERS, strict=True):
        for one, other in zip(read.blobs, written.blobs, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("how", ["v2", "v1", "unpacked", "doubles", "v0", "hdf5"])
def test_every_layout_goes_into_the_net(tmp_path: Path, how: str) -> None:
    prototxt, model, out = tmp_path / "net.prototxt", tmp_path / "net.caffemodel", tmp_path / "net.yaml"
    prototxt.write_text(NET)
    if how == "v2":
        caffemodel.write(model, "small", LAYERS)
    elif how == "hdf5":
        h5py = pytest.importorskip("h5py", reason="HDF5 needs the extra data")
        with h5py.File(model, "w") as file:
            for layer in LAYERS:
                group = file.create_group(f"data/{layer.name}")
                for i, array in enumerate(layer.blobs):
                    group[str(i)] = array
    else:
        content = {"v1": v1(), "v0": v0(), "unpacked": v1(packed=False), "doubles": v1(doubles=True)}
        model.write_bytes(content[how])
    wrote = convert(prototxt, out, model).wrote
    assert wrote == [f"wrote {out}", f"wrote {out.with_suffix('.safetensors')} (7 of 7 weights)"]
    net = lk.Net(out, weights=out.with_suffix(".safetensors"))
    for name, array in ARRAYS.items():
        layer, weight = name.split(".")
        np.testing.assert_array_equal(getattr(net.params[layer], weight).data, array)
    assert lk.load(out.with_suffix(".safetensors")).outputs == ["ip"]


def test_the_type_and_ends_of_old_layers(tmp_path: Path) -> None:
    (tmp_path / "v1").write_bytes(v1())
    (tmp_path / "v0").write_bytes(v0())
    assert [(each.name, each.type, each.bottoms) for each in caffemodel.read(tmp_path / "v1")][1] == (
        "conv.1", "Convolution", ("data",),
    )  # fmt: skip
    assert [each.type for each in caffemodel.read(tmp_path / "v0")][1::2] == ["Convolution", "InnerProduct"]


def test_branches_of_batch_norm() -> None:
    text = "layers: [{name: x, type: Input, shape: [2, 6]}, {name: bn, type: BatchNorm%s}]"
    mean, variance, scale, bias = draw(6), draw(6) ** 2, draw(6), draw(6)
    for more, given, wanted in (
        ("", (mean, variance), (mean, variance, [1])),
        (", scale_bias: true", [each.reshape(1, 6, 1, 1) for each in (scale, bias, mean, variance)],
         (mean, variance, [1], scale, bias)),
    ):  # fmt: skip
        built = graph.load(text % more).graphs["train"]
        report = Report()
        found = weights.of_net(built, [SavedLayer("bn", "BatchNorm", blobs=tuple(given))], {}, report)
        assert report.lines() == []
        for array, expected in zip(found.values(), wanted, strict=True):
            np.testing.assert_array_equal(array, np.asarray(expected, np.float32))


def test_what_does_not_fit_is_said() -> None:
    built = graph.load("""layers:
    - {name: x, type: Input, shape: [2, 6]}
    - {name: a, type: InnerProduct, num_output: 3}
    - {name: b, type: InnerProduct, num_output: 3}
    - {name: c, type: InnerProduct, num_output: 3}
    """).graphs["train"]
    report = Report()
    saved = [SavedLayer("a", "", blobs=(draw(3, 7), draw(3))), SavedLayer("b", "", blobs=(draw(3, 3),))]
    found = weights.of_net(built, [*saved, SavedLayer("more", "", blobs=(draw(1),))], {}, report)
    assert list(found) == ["a.bias"]
    assert report.lines() == [
        "layer 'a' (InnerProduct): its weight is 3x6, but the saved one is 3x7; it is left out",
        "layer 'b' (InnerProduct): has 2 weights (weight, bias), but the file has 1 for it",
        "note: layer 'c' (InnerProduct): the weights have nothing for it; it starts as its fillers say",
        "note: the weights of 1 layer that the net does not have are left out: more",
    ]


def test_weights_of_another_net_are_refused(tmp_path: Path) -> None:
    prototxt, model = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    prototxt.write_text(NET)
    caffemodel.write(model, "other", [SavedLayer("fc", "InnerProduct", blobs=(draw(2, 3),))])
    with pytest.raises(lk.SnapshotError, match="none of the weights belong to the net"):
        convert(prototxt, tmp_path / "net.safetensors", model)
    prototxt.write_text(NET.replace("num_output: 6", "num_output: 0"))
    with pytest.raises(lk.SnapshotError, match=r"cannot be converted, since the net cannot be built: .*num_output"):
        convert(prototxt, tmp_path / "net.safetensors", model)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is no caffemodel: it holds no layers"),
        (b"layers: [1]", "is no caffemodel, or is damaged: "),
        (
            wire.data(100, wire.data(1, "x") + wire.data(7, wire.varint(1, 2))),
            "of layer 'x', an array in it says that it",
        ),
        (b"\x89HDF\r\n\x1a\n rest", "is no caffemodel in HDF5 that can be read: "),
    ],
)
def test_broken_models_are_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(content)
    with pytest.raises(lk.SnapshotError, match=sentence):
        caffemodel.read(path)


def test_missing_files_are_said(tmp_path: Path) -> None:
    with pytest.raises(lk.SnapshotError, match="there is no file"):
        caffemodel.read(tmp_path / "none")
    with pytest.raises(lk.SnapshotError, match="cannot read"):
        caffemodel.read(tmp_path)


@pytest.mark.parametrize("how", ["v2", "v1", "v0", "hdf5", "state"])
def test_mutated_files_are_read_or_refused_in_one_sentence(tmp_path: Path, how: str) -> None:
    path, rng = tmp_path / f"net.{how}", random.Random(how)
    read: Any = solverstate.read if how == "state" else caffemodel.read
    if how == "hdf5":
        h5py = pytest.importorskip("h5py", reason="HDF5 needs the extra data")
        with h5py.File(path, "w") as file:
            file["data/ip/0"], file["data/a/b/0"] = ARRAYS["ip.bias"], ARRAYS["bn.mean"]
    elif how == "state":
        path.write_bytes(wire.varint(1, 50) + wire.data(3, blobproto.serialise(draw(3, 2))))
    elif how == "v2":
        caffemodel.write(path, "small", LAYERS[2:])
    else:
        path.write_bytes({"v1": v1, "v0": v0}[how]())
    whole, refused = path.read_bytes(), 0
    for _ in range(100):
        path.write_bytes(mutated(whole, rng))
        try:
            read(path)
        except lk.SnapshotError as error:
            refused += 1
            if "\n" in str(error) or len(str(error)) > 600:
                pytest.fail(str(error))
    assert refused > 10
