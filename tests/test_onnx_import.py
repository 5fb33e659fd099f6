"""ONNX models as nets: PyTorch's, and those that layerkit writes itself."""

from pathlib import Path

import numpy as np
import pytest
from onnx_tools import compare, model_of, net_of
from test_configs import config
from test_onnx_export import EXPRESSIBLE, predict_net

import layerkit as lk
from layerkit import text
from layerkit.convert.onnx import export, read
from layerkit.errors import ConfigError, DataError

FOLDER = Path(__file__).with_name("onnx_reference")
RECORDED = sorted(path.stem for path in FOLDER.glob("*.onnx"))


def net_in(path, shapes=None):
    tree, weights = read(path, shapes)
    net = lk.Net(text.dump(tree), "predict", engine="numpy")
    match = net.load_weights(weights, strict=True)
    assert not match.missing
    return net


def types(tree):
    return [layer["type"] for layer in tree["layers"]]


# -- PyTorch's ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECORDED)
def test_a_net_of_pytorchs_answers_as_it_did_there(name):
    with np.load(FOLDER / f"{name.removesuffix('_traced')}.npz") as recorded:
        x, y = recorded["x"], recorded["y"]
    net = net_in(FOLDER / f"{name}.onnx")
    assert (net.inputs, net.outputs) == (["data"], ["scores"])
    compare(net.forward(data=x), {"scores": y})
    compare(net.forward(data=x[1:]), {"scores": y[1:]})


def test_a_net_reads_as_one_writes_it():
    tree, weights = read(FOLDER / "mobilenet_traced.onnx")
    conv = {"type": "Convolution", "bias_term": False}
    assert tree["layers"][:9] == [
        {"name": "data", "type": "Input", "shape": [1, 3, 17, 17]},
        {"name": "features/features_0/Conv", **conv, "num_output": 4, "kernel_size": 3, "stride": 2, "pad": 1},
        {"name": "features/features_1/BatchNormalization", "type": "BatchNorm", "scale_bias": True},
        {"name": "features/features_2/Clip", "type": "ReLU6"},
        {"name": "features/features_3/body/body_0/Conv", **conv, "num_output": 8, "kernel_size": 1},
        {"name": "features/features_3/body/body_1/BatchNormalization", "type": "BatchNorm", "scale_bias": True},
        {"name": "features/features_3/body/body_2/Clip", "type": "ReLU6"},
        {
            "name": "features/features_3/body/body_3/Conv",
            **conv,
            "type": "DepthwiseConvolution",
            "num_output": 8,
            "kernel_size": 3,
            "pad": 1,
        },
        {"name": "features/features_3/body/body_4/BatchNormalization", "type": "BatchNorm", "scale_bias": True},
    ]
    assert weights["features/features_1/BatchNormalization.scale_factor"].tolist() == [1]


def test_a_residual_net_is_made_of_the_layers_that_one_expects():
    tree, _ = read(FOLDER / "resnet_traced.onnx")
    body = ["Convolution", "BatchNorm", "ReLU", "Convolution", "BatchNorm"]
    shortcut = ["Convolution", "BatchNorm"]
    assert types(tree) == [
        "Input", "Convolution", "BatchNorm", "ReLU", "Pooling", *body, "Eltwise", "ReLU", *body, *shortcut, "Eltwise",
        "ReLU", "Pooling", "Flatten", "InnerProduct",
    ]  # fmt: skip
    assert tree["layers"][-3] == {
        "name": "6/GlobalAveragePool",
        "type": "Pooling",
        "pool": "AVE",
        "global_pooling": True,
    }


def test_one_value_may_be_several_outputs(tmp_path):
    path, x = tmp_path / "model.onnx", np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    nodes = [("Exp", "x", "y"), ("Identity", "y", "again"), ("Identity", "x", "same")]
    path.write_bytes(model_of(nodes, {"x": ("N", 4)}, outputs=("y", "again", "same")).SerializeToString())
    compare(net_in(path).forward(x=x), {"y": np.exp(x), "again": np.exp(x), "same": x})


def test_a_model_of_one_sample_becomes_a_net_of_any_number(tmp_path):
    path, weight = tmp_path / "model.onnx", np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)
    nodes = [("Relu", "x", "r"), ("Reshape", "r,s", "f"), ("MatMul", "f,w", "y")]
    model = model_of(nodes, {"x": (1, 4, 2, 3)}, {"s": np.array([1, 24]), "w": weight})
    path.write_bytes(model.SerializeToString())
    x = np.random.default_rng(1).normal(size=(5, 4, 2, 3)).astype(np.float32)
    compare(net_in(path).forward(x=x), {"y": np.maximum(x, 0).reshape(5, 24) @ weight})


# -- layerkit's own -------------------------------------------------------------------------------------------------

SOME = [case for i, case in enumerate(EXPRESSIBLE) if i % 10 == 0]
"""Enough of the rows: that the numbers of what can be read are right is shown for each operator elsewhere."""
COMES_BACK = {
    "AbsVal", "Axpy", "BNLL", "BatchNorm", "Bias", "Clip", "Concat", "Convolution", "Deconvolution", "Dropout", "ELU",
    "Eltwise", "Embed", "Exp", "Flatten", "GELU", "GroupNorm", "HardSwish", "InnerProduct", "LRN", "LayerNorm", "Log",
    "MVN", "MatMul", "Normalize", "PReLU", "Pad", "Permute", "RMSNorm", "ReLU", "ReLU6", "Reduction", "Reshape",
    "Scale", "ShuffleChannel", "Sigmoid", "Softmax", "Split", "Swish", "TanH", "Tile", "Im2col", "DepthwiseConvolution",
}  # fmt: skip
"""Types of which every row comes back as a net that answers alike."""


@pytest.mark.parametrize("case", SOME, ids=str)
def test_what_was_written_comes_back_or_is_named(case, tmp_path):
    tree, weights, inputs = net_of(case)
    net = predict_net(tree, weights)
    path = tmp_path / "model.onnx"
    export(net, path)
    wanted = {name: array.copy() for name, array in net.forward(**inputs).items()}
    try:
        back = net_in(path)
    except (ConfigError, DataError):
        assert case.layer_type.__name__ not in COMES_BACK or case.no_zero_rows  # of any batch, but for these
        return
    compare(back.forward(**{name: x for name, x in inputs.items() if name in back.inputs}), wanted)


@pytest.mark.parametrize("name", ["autoencoder", "lenet", "cifar10_full", "segmentation", "siamese"])
def test_a_config_comes_back(name, tmp_path):
    net = lk.Net(config(name), "predict", engine="numpy")
    export(net, tmp_path / "model.onnx")
    back = net_in(tmp_path / "model.onnx")
    (given,) = net.inputs
    x = np.random.default_rng(0).uniform(-1, 1, (2, *net.blobs[given].shape[1:])).astype(np.float32)
    compare(back.forward(**{given: x}), net.forward(**{given: x}))
    assert back.name == name
