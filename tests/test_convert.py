"""Caffe's nets as YAML: what comes of each way to write them, and what is said of what cannot be converted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import layerkit as lk
from layerkit import graph
from layerkit.convert import branches, emit, net, parameters, prototxt, schema
from layerkit.convert.caffe_in import convert
from layerkit.convert.report import Report
from layerkit.errors import Problems


def converted(text: str) -> str:
    """The YAML of a net of which nothing is to be said."""
    report = Report()
    written = emit.net_file(net.convert(prototxt.parse(text), report))
    assert report.lines() == []
    graph.load(written)
    return written


def layers(text: str) -> list[str]:
    """The lines of the layers, behind an input `data` of 2 x 3 x 8 x 8."""
    head = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }\n'
    _, lines = converted(head + text).split("shape: [2, 3, 8, 8]}\n")
    return [line.strip() for line in lines.splitlines()]


def said(text: str) -> list[str]:
    """What is said of a net, and where."""
    report = Report()
    net.convert(prototxt.parse(text, "net.prototxt"), report)
    return report.lines()


LENET = """
# LeNet, as in 1998

name: "LeNet"
layer {
  name: "mnist" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { scale: 0.00390625 }
  data_param { source: "train_lmdb" batch_size: 64 backend: LMDB }
}
layer {
  name: "mnist" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { scale: 0.00390625 }
  data_param { source: "test_lmdb" batch_size: 100 backend: LMDB }
}
# Twenty features.
layer {
  name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param {
    # five by five
    num_output: 20 kernel_size: 5 stride: 1
    weight_filler { type: "xavier" } bias_filler { type: "constant" }
  }
}
layer {
  name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1"
}
layer { name: "ip" type: "InnerProduct" bottom: "conv1" top: "ip" inner_product_param { num_output: 10 } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
# the end
"""

LENET_YAML = """\
# LeNet, as in 1998

name: LeNet

layers:
  - name: mnist
    type: Data
    top: [data, label]
    scale: 0.00390625
    source: {train: train_lmdb, test: test_lmdb}
    batch_size: {train: 64, test: 100}
    shuffle: false
  # Twenty features.
  # five by five
  - {name: conv1, type: Convolution, num_output: 20, kernel_size: 5, weight_filler: xavier, param: [{}, {lr_mult: 2}]}
  - {name: relu1, type: ReLU, top: conv1}
  - {name: ip, type: InnerProduct, num_output: 10}
  - {name: accuracy, type: Accuracy, bottom: [ip, label], include: test}
  - {name: loss, type: SoftmaxWithLoss, bottom: [ip, label]}
  # the end
"""


def test_a_net_for_training_and_testing() -> None:
    report = Report()
    assert emit.net_file(net.convert(prototxt.parse(LENET), report)) == LENET_YAML
    assert report.lines() == []


def test_a_net_with_inputs_of_old() -> None:
    head = 'name: "v1" input: "data" input_dim: 2 input_dim: 3 input_dim: 8 input_dim: 9\n'
    text = """
    layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1 blobs_lr: 2 weight_decay: 1
      weight_decay: 0 param: "w" convolution_param { num_output: 4 kernel_h: 3 kernel_w: 1 } }
    layers { name: "relu" type: 18 bottom: "conv" top: "conv" }
    layers { name: "prob" type: SOFTMAX bottom: "conv" top: "prob" }
    """
    shapes = "input_shape { dim: 2 dim: 3 dim: 8 dim: 9 }"
    assert converted(head + text) == converted(f'name: "v1" input: "data" {shapes} {text}')
    assert converted(head + text).splitlines()[2:] == [
        "layers:",
        "  - {name: data, type: Input, shape: [2, 3, 8, 9]}",
        "  - name: conv",
        "    type: Convolution",
        "    num_output: 4",
        "    kernel_h: 3",
        "    kernel_w: 1",
        "    param: [{name: w}, {lr_mult: 2, decay_mult: 0}]",
        "  - {name: relu, type: ReLU, top: conv}",
        "  - {name: prob, type: Softmax}",
    ]


def test_several_inputs() -> None:
    text = 'input: "a" input: "b" layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }'
    end = "\n  - {name: sum, type: Eltwise, bottom: [a, b]}\n"
    alike, unlike = (" input_shape { dim: 2 dim: 3 }" * 2, "input_dim: 1 " * 8)
    assert converted(text + alike) == f"layers:\n  - {{name: input, type: Input, top: [a, b], shape: [2, 3]}}{end}"
    assert (
        converted(text + unlike) == f"layers:\n  - {{name: input, type: Input, top: [a, b], shape: [1, 1, 1, 1]}}{end}"
    )
    text = (
        text.replace("Eltwise", "Silence").replace(' top: "sum"', "") + "input_shape { dim: 1 } input_shape { dim: 4 }"
    )
    assert "type: Input, top: [a, b], shape: [[1], [4]]}" in converted(text)


def test_the_oldest_layers() -> None:
    text = """
    input: "data" input_dim: 2 input_dim: 3 input_dim: 9 input_dim: 9
    layers { layer { name: "pad" type: "padding" pad: 2 } bottom: "data" top: "pad" }
    layers { layer { name: "conv" type: "conv" num_output: 4 kernelsize: 5 biasterm: false blobs_lr: 1. weight_decay: 0.
      weight_filler { type: "gaussian" std: 0.01 } } bottom: "pad" top: "conv" }
    layers { layer { name: "pool" type: "pool" pool: AVE kernelsize: 3 stride: 2 } bottom: "conv" top: "pool" }
    layers { layer { name: "norm" type: "lrn" local_size: 3 alpha: 0.1 } bottom: "pool" top: "norm" }
    layers { layer { name: "ip" type: "innerproduct" num_output: 7 } bottom: "norm" top: "ip" }
    layers { layer { name: "label" type: "softmax_loss" } bottom: "ip" bottom: "ip" }
    """
    report = Report()
    assert emit.net_file(net.convert(prototxt.parse(text), report)).splitlines()[2:] == [
        "  - name: conv",
        "    type: Convolution",
        "    num_output: 4",
        "    kernel_size: 5",
        "    bias_term: false",
        "    weight_filler: {type: gaussian, std: 0.01}",
        "    pad: 2",
        "    param: [{decay_mult: 0}]",
        "  - {name: pool, type: Pooling, pool: AVE, kernel_size: 3, stride: 2}",
        "  - {name: norm, type: LRN, local_size: 3, alpha: 0.1}",
        "  - {name: ip, type: InnerProduct, num_output: 7}",
        "  - {name: label, type: SoftmaxWithLoss, bottom: [ip, ip]}",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            'type: "Pooling" pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 0 engine: CUDNN }',
            "type: Pooling, kernel_size: 3, stride: 2",
        ),
        ('type: "Pooling" pooling_param { pool: 1 kernel_size: 2 }', "type: Pooling, pool: AVE, kernel_size: 2"),
        (
            'type: "Pooling" pooling_param { kernel_size: 2 ceil_mode: false }',
            "type: Pooling, kernel_size: 2, round_mode: FLOOR",
        ),
        (
            'type: "BatchNorm" param { lr_mult: 0 } param { lr_mult: 0 } param { lr_mult: 0 } '
            "batch_norm_param { use_global_stats: true eps: 1e-5 }",
            "type: BatchNorm, use_global_stats: true",
        ),
        (
            'type: "BN" bn_param { slope_filler { type: "constant" value: 1 } eps: 1e-4 frozen: true }',
            "type: BatchNorm, eps: 0.0001, use_global_stats: true, scale_bias: true",
        ),
        (
            'type: "BN" bn_param { bn_mode: INFERENCE shift_filler { type: "constant" value: 0.001 } }',
            "type: Scale, bias_filler: {type: constant, value: 0.001}, bias_term: true",
        ),
        (
            'type: "ConvolutionDepthwise" convolution_param { num_output: 3 kernel_size: 3 bias_term: false }',
            "type: DepthwiseConvolution, num_output: 3, kernel_size: 3, bias_term: false",
        ),
        ('type: "Reshape" reshape_param { shape { dim: 0 dim: -1 } axis: 0 }', "type: Reshape, shape: [0, -1]"),
        ('type: "Interp" interp_param { height: 0 width: 0 zoom_factor: 2 }', "type: Interp, zoom_factor: 2"),
        ('type: "Normalize" norm_param { across_spatial: false }', "type: Normalize, across_spatial: false"),
        ('type: "Permute" permute_param { order: [0, 2, 3, 1] }', 'type: Permute, order: [0, 2, 3, 1]'),
        ('type: "Reverse" reverse_param { axis: 1 }', "type: Reverse, axis: 1"),
        ('type: "PSROIPooling" psroi_pooling_param { spatial_scale: 0.0625 output_dim: 21 group_size: 7 }',
         "type: PSROIPooling, spatial_scale: 0.0625, output_dim: 21, group_size: 7"),
        ('type: "PriorBox" prior_box_param { min_size: 30 offset_h: 0.5 offset_w: 0.5 offset_h: 1 offset_w: 0.5 }',
         "type: PriorBox, min_size: 30, offset_h: [0.5, 1], offset_w: [0.5, 0.5]"),
        ('type: "ReLU" relu_param { negative_slope: 0.1 }', "type: ReLU, negative_slope: 0.1"),
        ('type: "Power" power_param { scale: 1e-5 }', "type: Power, scale: 1.0e-05"),
        ('type: "Dropout" dropout_param { dropout_ratio: 0.5 }', "type: Dropout"),
        ('type: "Pooling" pooling_param { kernel_size: 2 } include { stage: "a" not_stage: "b" }',
         "type: Pooling, kernel_size: 2, include: {stage: a, not_stage: b}"),
    ],
)  # fmt: skip
def test_a_layer(text: str, line: str) -> None:
    report = Report()
    head = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }'
    found = net.convert(prototxt.parse(f'{head} layer {{ name: "x" bottom: "data" top: "x" {text} }}'), report)
    assert report.lines() == []
    assert emit.net_file(found).splitlines()[2:] == [f"  - {{name: x, {line}}}"]


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("data_param { source: 'x_lmdb' backend: LMDB }", {"source": "x_lmdb", "shuffle": False}),
        ("data_param { source: 'x' backend: LMDB }", {"source": "x", "shuffle": False, "dataset": "lmdb"}),
        (
            "data_param { backend: LMDB force_encoded_color: true } transform_param { scale: 2 }",
            {"scale": 2, "shuffle": False, "dataset": {"type": "lmdb", "color": True}},
        ),
        (
            "data_param { source: 'x_lmdb' backend: LMDB } transform_param { force_gray: true force_color: false }",
            {"source": "x_lmdb", "shuffle": False, "dataset": {"type": "lmdb", "color": False}},
        ),
    ],
)
def test_databases(text: str, params: dict[str, Any]) -> None:
    fields = schema.read(prototxt.parse(f"layer {{ {text} }}").message, "NetParameter", Problems())["layer"][0]
    report = Report()
    assert branches.adapt(fields, "Data", parameters.flat(fields, ("Data",), report), report) == params
    assert report.lines() == []


def test_bottoms_and_tops_are_left_out_where_they_are_the_default() -> None:
    assert layers("""
    layer { name: "a" type: "AbsVal" bottom: "data" top: "a" }
    layer { name: "b" type: "AbsVal" bottom: "data" top: "other" }
    layer { name: "c" type: "Silence" bottom: "a" }
    layer { name: "loss" type: "EuclideanLoss" bottom: "other" bottom: "data" top: "loss" loss_weight: 1 }
    layer { name: "half" type: "EuclideanLoss" bottom: "other" bottom: "data" top: "half" loss_weight: 0.5 }
    layer { name: "d" type: "AbsVal" bottom: "other" top: "d" exclude { phase: TRAIN } }
    layer { name: "e" type: "AbsVal" bottom: "d" top: "e" exclude { phase: TRAIN } }
    """) == [
        "- {name: a, type: AbsVal}",
        "- {name: b, type: AbsVal, bottom: data, top: other}",
        "- {name: c, type: Silence, bottom: a}",
        "- {name: loss, type: EuclideanLoss, bottom: [other, data]}",
        "- {name: half, type: EuclideanLoss, bottom: [other, data], loss_weight: 0.5}",
        "- {name: d, type: AbsVal, exclude: train}",
        "- {name: e, type: AbsVal, bottom: d, exclude: train}",
    ]


def test_names_that_cannot_be_are_changed_everywhere() -> None:
    report = Report()
    text = 'name: "a/b: c" layer { name: "fc.1" type: "AbsVal" bottom: "x//y" top: "fc.1" } layer { name: "fc_1" }'
    found = net.convert(prototxt.parse(text, "n"), report)
    assert found.renamed == {"fc.1": "fc_1_2"}
    assert emit.name_of(found) == "a-b- c"
    assert dict(found.layers[0]) == {"name": "fc_1_2", "type": "AbsVal", "bottom": "x/y"}
    assert report.lines()[:2] == [
        "note: n:1:24: 'fc.1' cannot be a name here and becomes 'fc_1_2'",
        "note: n:1:60: 'x//y' cannot be a name here and becomes 'x/y'",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            'layer { name: "x" type: "Mystery" }',
            "net.prototxt:1:25: layer 'x' (Mystery): layerkit has no layer type 'Mystery': it stays as it is, and you "
            "can write it in Python (type: Python), take it from a plug-in, or leave the layer out",
        ),
        (
            'layer { name: "x" type: "ReLU" relu_param { slope: 1 } }',
            "net.prototxt:1:45: layer 'x' (ReLU): layerkit's ReLU has no parameter 'slope'; it is left out",
        ),
        ('layer { name: "x" }', "net.prototxt:1:7: layer 'x' (untyped): needs the field 'type'"),
        (
            'layer { name: "x" type: "ReLU" bottom: "a" top: "x" pooling_param { } }',
            "note: net.prototxt:1:53: layer 'x' (ReLU): pooling_param has no meaning for ReLU and is left out, "
            "as Caffe passes over it",
        ),
        (
            'layer { name: "x" type: "Data" top: "x" data_param { source: "l" batch_size: 1 backend: LEVELDB } }',
            "net.prototxt:1:80: layer 'x' (Data): layerkit does not read LevelDB; make an LMDB of it with "
            "Caffe's tools",
        ),
        ('nme: "x" layer { type: "Input" }', "net.prototxt:1:1: NetParameter has no field 'nme'; did you mean 'name'?"),
        (
            'input: "a" input: "b" input_dim: 1 layer { type: "Input" }',
            "net.prototxt:1:12: the net has 2 inputs but shapes for 1; give 'input_shape' for each",
        ),
    ],
)
def test_what_cannot_be_converted_is_said(text: str, sentence: str) -> None:
    assert sentence in said(text)


def test_a_file_without_layers_is_refused() -> None:
    with pytest.raises(lk.ConfigError, match=r"NetParameter has no field .item.\n.*1:1: the net has no layers"):
        said("item { name: 'cat' }")


def test_a_layer_of_an_unknown_type_stays() -> None:
    text = 'layer { name: "x" type: "Mystery" bottom: "a" top: "y" mystery_param { size: 3 inner { deep: [1, 2] } } }'
    written = emit.net_file(net.convert(prototxt.parse(text), Report()))
    assert written.splitlines()[1] == "  - {name: x, type: Mystery, bottom: a, top: y, size: 3, inner: {deep: [1, 2]}}"


# -- files ---------------------------------------------------------------------------------------------------------


def test_what_is_written_and_what_keeps_the_net_from_being_built(tmp_path: Path) -> None:
    path, out = tmp_path / "net.prototxt", tmp_path / "net.yaml"
    path.write_text('layer { name: "x" type: "ReLU" bottom: "nobody" top: "x" }')
    report = convert(path, out)
    assert out.read_text() == "layers:\n  - {name: x, type: ReLU, bottom: nobody}\n"
    assert report.wrote == [f"wrote {out}"]
    (line,) = report.lines()
    assert line.startswith(f"{out}:2:")
    assert line.endswith("no layer makes the bottom 'nobody' (to be mended before the net can be used)")


def test_only_some_names_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(LENET)
    with pytest.raises(lk.UsageError, match=r"must end in \.yaml or \.safetensors"):
        convert(path, tmp_path / "net.onnx")
    with pytest.raises(lk.UsageError, match=r"is to hold weights; name the \.caffemodel behind"):
        convert(path, tmp_path / "net.safetensors")
