"""Layers as branches of Caffe have them, and nets that Caffe allows, as layerkit's YAML."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import layerkit as lk
from layerkit import pycaffe
from layerkit.convert import caffemodel, emit, net, prototxt
from layerkit.convert.caffe_in import convert
from layerkit.convert.caffemodel import SavedLayer
from layerkit.convert.report import Report

DATA = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 9 } } }\n'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 hole: 2 }',
            "type: Convolution, num_output: 4, kernel_size: 3, dilation: 2",
        ),
        (
            'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 hole_h: 2 hole_w: 3 }',
            "type: Convolution, num_output: 4, kernel_size: 3, dilation: [2, 3]",
        ),
        (
            'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 hole: 1 }',
            "type: Convolution, num_output: 4, kernel_size: 3",
        ),
        ('type: "Transpose" transpose_param { dim: 3 dim: 0 dim: 1 dim: 2 }', "type: Permute, order: [3, 0, 1, 2]"),
    ],
)
def test_a_layer(text: str, line: str) -> None:
    report = Report()
    found = net.convert(prototxt.parse(f'{DATA} layer {{ name: "x" bottom: "data" top: "x" {text} }}'), report)
    assert report.lines() == []
    assert emit.net_file(found).splitlines()[2:] == [f"  - {{name: x, {line}}}"]
    lk.Net(emit.net_file(found), "test")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            'type: "SoftmaxWithLoss" loss_param { weight_by_label_freqs: true class_weighting: 2 class_weighting: 1 }',
            "note: n:2:127: layer 'x' (SoftmaxWithLoss): class_weighting becomes class_weights: the loss is divided by "
            "the sum of the places' weights, in SegNet's Caffe by their number",
        ),
        (
            "type: 'Python' python_param { module: 'rpn.proposal_layer' layer: 'ProposalLayer' }",
            "note: n:2:58: layer 'x' (Python): layerkit's type Proposal does what py-faster-rcnn's ProposalLayer does, "
            "and runs no code of yours",
        ),
        (
            'type: "AnnotatedData"',
            "n:2:49: layer 'x' (AnnotatedData): layerkit has no layer type 'AnnotatedData': it stays as it is; put a "
            "Data layer with a dataset, or an Input, in its place",
        ),
    ],
)
def test_what_is_said(text: str, sentence: str) -> None:
    report = Report()
    net.convert(prototxt.parse(f'{DATA}layer {{ name: "x" bottom: "data" top: "x" {text} }}', "n"), report)
    assert report.lines() == [sentence]


def test_weights_of_classes_that_are_not_asked_for_are_left_out() -> None:
    text = 'layer { name: "x" type: "SoftmaxWithLoss" loss_param { weight_by_label_freqs: false class_weighting: 2 } }'
    report = Report()
    assert "class" not in emit.net_file(net.convert(prototxt.parse(text), report))
    assert report.lines() == []


def test_an_unknown_type_is_named_once(tmp_path: Path) -> None:
    path, out = tmp_path / "net.prototxt", tmp_path / "net.yaml"
    path.write_text(f'{DATA}layer {{ name: "x" type: "Mystery" bottom: "data" top: "x" }}')
    (line,) = convert(path, out).lines()
    assert line.startswith(f"{path}:2:25: layer 'x' (Mystery): layerkit has no layer type 'Mystery'")


# -- layers of one name ---------------------------------------------------------------------------------------------

TWINS = (
    DATA
    + """
layer { name: "same" type: "InnerProduct" bottom: "data" top: "a" inner_product_param { num_output: 4 } }
layer { name: "same" type: "AbsVal" bottom: "a" top: "b" }
layer { name: "same_2" type: "AbsVal" bottom: "b" top: "c" }
layer { name: "same" type: "AbsVal" bottom: "c" top: "d" }
"""
)


def test_layers_of_one_name_get_different_ones(tmp_path: Path) -> None:
    path, out = tmp_path / "net.prototxt", tmp_path / "net.yaml"
    path.write_text(TWINS)
    weight, bias = np.ones((4, 216), np.float32), np.arange(4, dtype=np.float32)
    caffemodel.write(tmp_path / "net.caffemodel", "", [SavedLayer("same", "InnerProduct", blobs=(weight, bias))])
    lines = convert(path, out, tmp_path / "net.caffemodel").lines()
    assert lines == [
        f"note: {path}:4:9: another layer has the name 'same' already; this one becomes 'same_3'",
        f"note: {path}:6:9: another layer has the name 'same' already; this one becomes 'same_4'",
    ]
    x = np.random.default_rng(0).random((2, 3, 8, 9), np.float32)
    wanted = x.reshape(2, -1) @ weight.T + bias
    found = lk.Net(out, "test", weights=tmp_path / "net.safetensors").forward(data=x)
    np.testing.assert_allclose(found["d"], wanted, rtol=1e-5)
    theirs = pycaffe.Net(str(path), str(tmp_path / "net.caffemodel"), pycaffe.TEST)
    np.testing.assert_allclose(theirs.forward(data=x)["d"], wanted, rtol=1e-5)


def test_layers_of_one_name_in_different_phases_keep_it() -> None:
    text = (
        DATA
        + """
    layer { name: "x" type: "AbsVal" bottom: "data" top: "x" include { phase: TRAIN } }
    layer { name: "x" type: "Power" bottom: "data" top: "x" include { phase: TEST } }
    """
    )
    report = Report()
    found = net.convert(prototxt.parse(text), report)
    assert [layer["name"] for layer in found.layers] == ["data", "x", "x"]
    assert report.lines() == []
