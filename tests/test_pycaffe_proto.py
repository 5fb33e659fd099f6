"""Caffe's messages as protobuf classes, and nets written in Python with them."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import layerkit.pycaffe as caffe
from layerkit.convert.schema import table
from layerkit.errors import DataError
from layerkit.pycaffe import layers as L  # noqa: N812  (as scripts have it)
from layerkit.pycaffe import params as P  # noqa: N812
from layerkit.pycaffe.proto import caffe_pb2, messages

text_format = pytest.importorskip("google.protobuf.text_format", reason="protobuf is not installed")


def test_texts_are_read_and_written():
    net = caffe_pb2.NetParameter()
    text_format.Merge(
        """name: "n" layer { name: "c" type: "Convolution" bottom: "x" top: "c" include { phase: TEST }
        convolution_param { num_output: 4 kernel_size: [3, 5] weight_filler < type: 'xavier' > } }
        layer { name: "p" type: "Pooling" pooling_param { pool: AVE global_pooling: true } }
        layer { name: "d" type: "DetectionOutput" detection_output_param { code_type: CENTER_SIZE } }""",
        net,
    )
    conv = net.layer[0].convolution_param
    assert (conv.num_output, list(conv.kernel_size), conv.weight_filler.type) == (4, [3, 5], "xavier")
    assert net.layer[0].include[0].phase == caffe.TEST == caffe_pb2.TEST
    assert net.layer[1].pooling_param.pool == caffe_pb2.PoolingParameter.AVE == P.Pooling.AVE
    net.force_backward = True
    again = text_format.Parse(str(net), caffe_pb2.NetParameter())
    assert again == net
    labels = text_format.Parse('item { name: "none" label: 0 display_name: "background" }', caffe_pb2.LabelMap())
    assert labels.item[0].display_name == "background"
    assert caffe_pb2.NetParameter.FromString(net.SerializeToString()) == net


def test_defaults_and_enumerations_are_caffes():
    assert caffe_pb2.LRNParameter().beta == 0.75
    assert caffe_pb2.FillerParameter().type == "constant"
    assert caffe_pb2.NetState().phase == caffe_pb2.TEST
    assert caffe_pb2.PoolingParameter().pool == caffe_pb2.PoolingParameter.MAX == 0
    assert caffe_pb2.V1LayerParameter.LayerType.Name(caffe_pb2.V1LayerParameter.CONVOLUTION) == "CONVOLUTION"
    assert (caffe_pb2.SolverParameter.GPU, P.Data.LMDB, caffe_pb2.Phase.Value("TRAIN")) == (1, 1, caffe.TRAIN)
    assert {"NetParameter", "Phase", "TRAIN"} < set(dir(caffe_pb2))
    with pytest.raises(AttributeError, match="caffe_pb2 has no 'NetParam'"):
        caffe_pb2.NetParam  # noqa: B018


def test_every_field_of_the_table_has_a_number_of_its_own():
    for name, fields in table().messages.items():
        described = messages.classes()[name].DESCRIPTOR.fields_by_name
        assert set(described) == set(fields)
        for field, kind in fields.items():
            assert described[field].type == described[field].type
            if kind.number is not None and not kind.branch:
                assert described[field].number == kind.number


def test_without_protobuf_there_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.protobuf.descriptor_pool", None)
    messages.classes.cache_clear()
    with pytest.raises(DataError, match=r"needs the package protobuf, .*: pip install 'layerkit\[caffe\]'"):
        caffe_pb2.NetParameter  # noqa: B018
    monkeypatch.undo()
    messages.classes.cache_clear()


def lenet() -> caffe.NetSpec:
    n = caffe.NetSpec()
    n.data, n.label = L.DummyData(shape=[{"dim": [4, 1, 12, 10]}, {"dim": [4]}], ntop=2)
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=6, weight_filler={"type": "xavier"},
                            param=[{"lr_mult": 1}, {"lr_mult": 2}])  # fmt: skip
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.relu1 = L.ReLU(n.pool1, in_place=True)
    n["score"] = L.InnerProduct(n.relu1, inner_product_param={"num_output": 3}, name="classifier")
    n.loss = L.SoftmaxWithLoss(n.score, n.label, loss_param={"ignore_label": 255}, include={"phase": 0})
    n.rest = L.Silence(n.label, ntop=0)
    return n


def test_a_net_is_written_in_python(tmp_path):
    n = lenet()
    written = n.to_proto()
    assert [(layer.name, layer.type, list(layer.bottom), list(layer.top)) for layer in written.layer] == [
        ("data", "DummyData", [], ["data", "label"]),
        ("conv1", "Convolution", ["data"], ["conv1"]),
        ("pool1", "Pooling", ["conv1"], ["pool1"]),
        ("relu1", "ReLU", ["pool1"], ["pool1"]),
        ("classifier", "InnerProduct", ["pool1"], ["score"]),
        ("loss", "SoftmaxWithLoss", ["score", "label"], ["loss"]),
        ("rest", "Silence", ["label"], []),
    ]
    assert written.layer[1].param[1].lr_mult == 2
    (tmp_path / "n.prototxt").write_text(str(written))
    net = caffe.Net(tmp_path / "n.prototxt", caffe.TRAIN)
    assert net.blobs["pool1"].shape == (4, 6, 4, 3)
    n.update("conv1", {"num_output": 7})
    del n.rest, n["loss"]
    assert n.to_proto().layer[1].convolution_param.num_output == 7
    assert len(n.to_proto().layer) == 5
    with pytest.raises(AttributeError, match="the net has no blob 'fc'"):
        _ = n.fc


def test_blobs_without_names_are_numbered():
    data = L.Input(shape={"dim": [1, 3]})
    first = L.InnerProduct(data, num_output=3)
    written = L.InnerProduct(L.Dropout(first, in_place=True), num_output=2).to_proto()
    assert [layer.name for layer in written.layer] == ["Input1", "InnerProduct1", "Dropout1", "InnerProduct2"]
    assert caffe.to_proto(first, data).layer[0].input_param.shape[0].dim == [1, 3]
    with pytest.raises(TypeError, match="Silence: input 0 must be a blob of a layer, not tuple"):
        L.Silence(L.DummyData(ntop=2), ntop=0)


@pytest.mark.parametrize(("pad", "expected"), [(10, 10), ([4, 7], [4, 7])])
def test_crop_aligns_what_was_upsampled(tmp_path, pad, expected):
    """An image that is padded, pooled and upsampled again is cropped to where it came from."""
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [1, 1, 20, 24]})
    n.conv = L.Convolution(n.data, num_output=1, kernel_size=3, pad=pad, weight_filler={"type": "constant", "value": 1})
    n.pool = L.Pooling(n.conv, pool=P.Pooling.AVE, kernel_size=2, stride=2)
    up = {"num_output": 1, "kernel_size": 4, "stride": 2, "bias_term": False, "weight_filler": {"type": "bilinear"}}
    n.up = L.Deconvolution(n.pool, convolution_param=up)
    n.score = caffe.coord_map.crop(n.up, n.data)
    written = n.to_proto()
    assert list(written.layer[-1].crop_param.offset) == np.atleast_1d(expected).tolist()
    assert written.layer[-1].crop_param.axis == 2
    (tmp_path / "n.prototxt").write_text(str(written))
    net = caffe.Net(tmp_path / "n.prototxt", caffe.TEST)
    net.blobs["data"].data[0, 0, 9:11, 13:15] = 1  # a dot comes out where it went in
    score = net.forward()["score"][0, 0]
    rows, columns = (np.average(np.arange(size), weights=score.sum(axis=1 - i)) for i, size in enumerate(score.shape))
    assert (rows, columns) == (pytest.approx(9.5, abs=0.02), pytest.approx(13.5, abs=0.02))


def test_maps_that_do_not_exist():
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [1, 1, 20, 24]})
    n.pool = L.Pooling(n.data, kernel_size=3, stride=3)
    n.up = L.Deconvolution(n.pool, kernel_size=4, stride=2)
    n.fc = L.InnerProduct(n.up, num_output=2)
    n.cut = L.Convolution(n.data, kernel_size=3, pad=3)
    for blob, error, message in (
        (n.fc, RuntimeError, "there is no map between the two"),
        (n.up, AssertionError, "differ in scale by"),
        (L.Convolution(n.data, kernel_size=3), ValueError, "cannot crop by"),
        (L.Convolution(n.data, kernel_h=3, kernel_w=3), ValueError, "not kernel_h, kernel_w"),
    ):
        with pytest.raises(error, match=message):
            caffe.coord_map.crop(blob, n.data)
    with pytest.raises(caffe.coord_map.AxisMismatchException):
        caffe.coord_map.compose((1, 1, 0), (2, 1, 0))


def test_nets_are_drawn_as_dot(tmp_path, monkeypatch):
    written = lenet().to_proto()
    text = caffe.draw.get_dot(written, "TB")
    assert text.startswith('digraph "net" {\n  rankdir=TB;\n')
    assert '"layer conv1" [label="conv1 (Convolution)\\nkernel_size: 5"' in text
    assert '"layer conv1" -> "blob conv1" [label="6"];' in text
    assert '"blob label" -> "layer loss";' in text
    assert "layer loss" not in caffe.draw.get_dot(written, phase=caffe.TEST)
    caffe.draw.draw_net_to_file(written, tmp_path / "net.dot", "TB")
    assert (tmp_path / "net.dot").read_text() == text
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(caffe.draw.UsageError, match="needs Graphviz's program dot, which is not installed"):
        caffe.draw.draw_net(written, "LR", "png")
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\nread line; test $1 = -Tpng && echo drawn || { echo no format >&2; exit 1; }\n")
    program.chmod(0o755)
    assert caffe.draw.draw_net(written, "LR", "png") == b"drawn\n"
    with pytest.raises(caffe.draw.UsageError, match="Graphviz cannot draw a picture as 'xyz': no format"):
        caffe.draw.draw_net(written, "LR", "xyz")


def test_maps_go_through_crops():
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [1, 1, 20, 24]})
    n.conv = L.Convolution(n.data, kernel_size=3, pad=5)  # 4 pixels more on each side
    n.first = L.Crop(n.conv, n.data, axis=2, offset=1)
    n.second = L.Crop(n.first, n.data, crop_param={"offset": [1, 3]})
    assert caffe.coord_map.crop(n.second, n.data).fn.params["crop_param"] == {"axis": 2, "offset": [2, 0]}
    assert caffe.coord_map.coord_map_from_to(L.ReLU(n.conv), n.data) == (1, 1, -4)
