"""pycaffe's Net: made from a prototxt, looked at, run forward and backward, reshaped and operated on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import layerkit.pycaffe as caffe
from layerkit.datasets.writing.lmdb_writer import write_lmdb
from layerkit.errors import ConfigError, ShapeError, UnknownNameError, UsageError

DEPLOY = """\
name: "small.net"
input: "data" input_dim: 2 input_dim: 3 input_dim: 8 input_dim: 9
layer { name: "conv.1" type: "Convolution" bottom: "data" top: "conv.1"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv.1" top: "conv.1" }
layer { name: "ip" type: "InnerProduct" bottom: "conv.1" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""

TRAINED = """\
layer { name: "data" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 6 dim: 3 } shape { dim: 6 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" loss_weight: 2 }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include { phase: TEST } }
"""


@pytest.fixture(name="write")
def writer(tmp_path: Path):
    """`write(text)` writes a prototxt and returns its path."""

    def write(text: str, name: str = "net.prototxt") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def filled(path: str, phase: int = caffe.TEST, seed: int = 0) -> caffe.Net:
    caffe.set_random_seed(seed)
    net = caffe.Net(path, phase)
    rng = np.random.default_rng(seed)
    for name in net.inputs:
        blob = net.blobs[name]
        blob.data[...] = rng.integers(0, 4, blob.shape) if name == "label" else rng.normal(size=blob.shape)
    return net


def weights(net: caffe.Net) -> list[np.ndarray]:
    return [blob.data.copy() for blobs in net.params.values() for blob in blobs]


def diffs(net: caffe.Net) -> list[np.ndarray]:
    return [blob.diff.copy() for blobs in net.params.values() for blob in blobs]


def test_names_are_those_of_the_file(write):
    net = caffe.Net(write(DEPLOY), caffe.TEST)
    assert net.name == "small.net"
    assert (net.inputs, net.outputs) == (["data"], ["prob"])
    assert list(net.blobs) == ["data", "conv.1", "ip", "prob"] == net._blob_names
    assert {name: [blob.shape for blob in blobs] for name, blobs in net.params.items()} == {
        "conv.1": [(4, 3, 3, 3), (4,)],
        "ip": [(5, 168), (5,)],
    }
    assert [layer.type for layer in net.layers] == ["Input", "Convolution", "ReLU", "InnerProduct", "Softmax"]
    assert list(net.layer_dict) == net._layer_names == ["data", "conv.1", "relu", "ip", "prob"]
    assert net.layer_dict["ip"].blobs[1] is net.params["ip"][1]
    assert net.top_names["relu"] == net.bottom_names["relu"] == ["conv.1"]
    assert (net._inputs, net._outputs, net._bottom_ids(3), net._top_ids(3)) == ([0], [3], [1], [2])
    blob = net.blobs["conv.1"]
    assert (blob.num, blob.channels, blob.height, blob.width, blob.count) == (2, 4, 6, 7, 336)
    assert (net.blobs["ip"].width, repr(net.blobs["ip"])) == (1, "<Blob 'ip' 2x5>")
    assert "test" in repr(net)
    assert "ReLU" in repr(net.layers[2])


@pytest.mark.parametrize("engine", ["auto", "numpy"])
def test_forward_takes_and_gives_arrays(write, engine):
    caffe.set_engine(engine)
    try:
        net = filled(write(DEPLOY))
    finally:
        caffe.set_engine("auto")
    out = net.forward(blobs=["ip"])
    assert set(out) == {"prob", "ip"}
    scores = np.maximum(net.blobs["conv.1"].data, 0).reshape(2, -1) @ net.params["ip"][0].data.T
    np.testing.assert_allclose(out["ip"], scores + net.params["ip"][1].data, rtol=1e-4, atol=1e-5)
    other = np.random.default_rng(5).normal(size=(2, 3, 8, 9))
    again = net.forward(data=other)
    assert again["prob"] is not None
    np.testing.assert_array_equal(net.blobs["data"].data, other.astype(np.float32))
    assert np.shares_memory(again["prob"], net.blobs["prob"].data)  # a live view, as in Caffe
    assert list(net.forward(end="relu")) == ["conv.1"]
    net.blobs["conv.1"].data[...] = 1
    net.forward(start="ip")
    expected = net.params["ip"][0].data.sum(axis=1) + net.params["ip"][1].data
    np.testing.assert_allclose(net.blobs["ip"].data[1], expected, rtol=1e-4, atol=1e-5)


def test_backward_flows_from_what_the_script_writes(write):
    net = filled(write(DEPLOY))
    prob = net.forward()["prob"].copy()
    net.blobs["prob"].diff[0, 2] = 1
    given = net.backward(diffs=["ip"])
    expected = np.zeros((2, 5), np.float32)
    expected[0] = prob[0, 2] * (np.eye(5)[2] - prob[0])  # the softmax's derivative
    np.testing.assert_allclose(given["ip"], expected, rtol=1e-4, atol=1e-6)
    by_name = net.blobs["data"].diff.copy()
    assert np.abs(by_name).sum() > 0
    seed = net.blobs["prob"].diff.copy()
    np.testing.assert_array_equal(net.backward(prob=seed)["data"], by_name)
    net.blobs["ip"].diff[...] = expected
    net.backward(start="ip")
    np.testing.assert_allclose(net.blobs["data"].diff, by_name, rtol=1e-4, atol=1e-7)
    assert list(net.backward(start="ip", end="ip")) == ["conv.1"]


def test_gradients_of_weights_add_up_until_they_are_cleared(write):
    net = filled(write(TRAINED), caffe.TRAIN)
    net.forward()
    net.backward()
    once = diffs(net)
    assert all(np.abs(diff).sum() > 0 for diff in once)
    net.backward(end="ip")
    for diff, first in zip(diffs(net), once, strict=True):
        np.testing.assert_allclose(diff, 2 * first, rtol=1e-6)
    net.clear_param_diffs()
    assert not any(diff.any() for diff in diffs(net))
    net.params["ip"][1].diff[...] = 10
    net.backward()
    np.testing.assert_allclose(net.params["ip"][1].diff, 10 + once[1], rtol=1e-6)


def test_a_loss_counts_by_its_weight(write):
    net = filled(write(TRAINED), caffe.TRAIN)
    assert net.blob_loss_weights == {"data": 0, "label": 0, "ip": 0, "loss": 2}
    assert net._forward(0, 2) == pytest.approx(2 * float(net.blobs["loss"].data))
    assert float(net.blobs["loss"].diff) == 2
    net.backward()
    scores = net.blobs["ip"].data
    prob = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    expected = 2 * (prob - np.eye(4)[net.blobs["label"].data.astype(int)]) / 6
    np.testing.assert_allclose(net.blobs["ip"].diff, expected, rtol=1e-4, atol=1e-6)


def test_shared_weights_have_one_diff(write):
    text = """force_backward: true input: "data" input_shape { dim: 2 dim: 3 }
layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { name: "w" }
  inner_product_param { num_output: 3 bias_term: false weight_filler { type: "gaussian" } } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" }
  inner_product_param { num_output: 3 bias_term: false } }
"""
    net = filled(write(text))
    net.forward()
    net.blobs["b"].diff[...] = np.arange(6).reshape(2, 3)
    net.backward()
    w, x, y = net.params["a"][0].data, net.blobs["data"].data, net.blobs["a"].data
    seed = net.blobs["b"].diff
    np.testing.assert_allclose(net.params["a"][0].diff, seed.T @ y + (seed @ w).T @ x, rtol=1e-4)
    np.testing.assert_array_equal(net.params["b"][0].diff, net.params["a"][0].diff)
    assert np.shares_memory(net.params["b"][0].data, w)


def test_inputs_are_reshaped_and_the_net_follows(write):
    net = filled(write(DEPLOY))
    first = net.forward()["prob"][0].copy()
    image = net.blobs["data"].data[:1].copy()
    net.blobs["data"].reshape(1, 3, 8, 9)
    net.reshape()
    assert net.blobs["prob"].shape == (1, 5)
    np.testing.assert_allclose(net.forward(data=image)["prob"][0], first, rtol=1e-5)
    net.blobs["data"].reshape(4, 3, 8, 9)
    net.blobs["data"].data[...] = image  # the next pass does without net.reshape()
    np.testing.assert_allclose(net.forward()["prob"][3], first, rtol=1e-5)
    net.blobs["data"].reshape(4, 3, 6, 9)
    with pytest.raises(ShapeError, match="'ip'"):
        net.reshape()
    with pytest.raises(UsageError, match="'ip' cannot be reshaped to 3x5: its shape follows from the net"):
        net.blobs["ip"].reshape(3, 5)
    net.blobs["ip"].reshape(*net.blobs["ip"].shape)


def test_many_samples_go_through_in_batches(write):
    net = filled(write(DEPLOY))
    samples = np.random.default_rng(1).normal(size=(5, 3, 8, 9)).astype(np.float32)
    found = net.forward_all(data=samples, blobs=["ip"])
    assert {name: array.shape for name, array in found.items()} == {"prob": (5, 5), "ip": (5, 5)}
    seeds = np.random.default_rng(2).normal(size=(5, 5)).astype(np.float32)
    made, flown = net.forward_backward_all(data=samples, prob=seeds, diffs=["ip"])
    np.testing.assert_allclose(made["prob"], found["prob"], rtol=1e-5)
    assert (flown["data"].shape, flown["ip"].shape) == ((5, 3, 8, 9), (5, 5))
    net.forward(data=samples[2:4])
    net.backward(prob=seeds[2:4])
    np.testing.assert_allclose(flown["data"][2:4], net.blobs["data"].diff, rtol=1e-4, atol=1e-7)


def test_gradients_may_be_added_layer_by_layer(write):
    """As in style transfer: at each of some blobs the script adds its own gradient, then goes on down from there."""
    text = "force_backward: true\n" + DEPLOY.replace('"Softmax" bottom: "ip"', '"TanH" bottom: "ip"')
    net = filled(write(text))

    def loss_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        net.forward(data=x)
        loss, below = 0.0, {"prob": "conv.1", "conv.1": None}
        net.blobs["prob"].diff[...] = 0
        for name, end in below.items():
            blob = net.blobs[name]
            loss += 0.5 * float((blob.data.astype(np.float64) ** 2).sum())
            blob.diff[...] += blob.data
            net.backward(start=name, end=end)
        return loss, net.blobs["data"].diff.copy()

    x, step = net.blobs["data"].data.copy(), np.random.default_rng(4).normal(size=(2, 3, 8, 9)).astype(np.float32)
    _, gradient = loss_and_gradient(x)
    difference = (loss_and_gradient(x + 1e-3 * step)[0] - loss_and_gradient(x - 1e-3 * step)[0]) / 2e-3
    assert float((gradient * step).sum()) == pytest.approx(difference, rel=1e-2)


def test_hooks_are_called_around_each_layer(write):
    net, plain = filled(write(DEPLOY)), filled(write(DEPLOY))
    calls = []
    net.before_forward(lambda i: calls.append(("before forward", i)))
    net.after_forward(lambda i: calls.append(("after forward", i, float(net.blobs["ip"].data.sum()) != 0)))
    net.before_backward(lambda i: calls.append(("before backward", i)))
    net.after_backward(lambda i: calls.append(("after backward", i)))
    seed = np.eye(5, dtype=np.float32)[:2]
    for each in (net, plain):
        each.forward()
        each.backward(prob=seed)
    assert calls[:4] == [(f"{when} forward", i, *rest) for i in (0, 1) for when, rest in
                         (("before", ()), ("after", (False,)))]  # fmt: skip
    assert calls[9] == ("after forward", 4, True)
    assert calls[10:] == [(f"{when} backward", i) for i in (4, 3, 2, 1, 0) for when in ("before", "after")]
    np.testing.assert_allclose(net.blobs["data"].diff, plain.blobs["data"].diff, rtol=1e-4, atol=1e-7)
    for diff, expected in zip(diffs(net), diffs(plain), strict=True):
        np.testing.assert_allclose(diff, expected, rtol=1e-4, atol=1e-6)


def test_net_surgery_into_a_convolution(write):
    """A fully connected layer's weights in a convolution: the same scores at every place of a larger image."""
    net = filled(write(DEPLOY))
    conv = DEPLOY.replace('"InnerProduct"', '"Convolution"').replace("inner_product_param {", "convolution_param {")
    conv = conv.replace("num_output: 5", "num_output: 5 kernel_h: 6 kernel_w: 7").replace('"ip"', '"ip-conv"')
    wide = caffe.Net(write(conv.replace("input_dim: 9", "input_dim: 11"), "conv.prototxt"), caffe.TEST)
    before = {name: (blobs[0].data, blobs[1].data) for name, blobs in net.params.items()}
    after = {name: (blobs[0].data, blobs[1].data) for name, blobs in wide.params.items()}
    wide.forward()
    for old, new in (("conv.1", "conv.1"), ("ip", "ip-conv")):
        after[new][0].flat = before[old][0].flat
        after[new][1][...] = before[old][1]
    images = np.random.default_rng(3).normal(size=(2, 3, 8, 11))
    wide.forward(data=images)
    assert wide.blobs["ip-conv"].shape == (2, 5, 1, 3)
    net.forward(data=images[..., 2:])
    np.testing.assert_allclose(wide.blobs["ip-conv"].data[..., 0, 2], net.blobs["ip"].data, rtol=1e-4, atol=1e-5)


def test_both_constructors_and_names(write, tmp_path):
    path, saved = write(TRAINED), str(tmp_path / "net.caffemodel")
    net = filled(path, caffe.TRAIN)
    net.params["ip"][0].data[...] = 7
    net.save(saved)
    for other in (
        caffe.Net(path, saved, caffe.TEST),
        caffe.Net(path, caffe.TEST, weights=saved),
        caffe.Net(network_file=path, phase=caffe.TEST, weights=saved),
        caffe.Net(path, weights=saved, phase=caffe.TEST),
        caffe.Net(path, caffe.TEST, 0, None, saved),
    ):
        assert (other.params["ip"][0].data == 7).all()
        assert other.outputs == ["accuracy", "loss"]
    for wrong, message in (
        ((path,), "Net needs a phase"),
        ((path, 2), "the phase must be caffe.TRAIN"),
        ((path, saved, caffe.TEST, 0), "name what follows"),
    ):
        with pytest.raises(UsageError, match=message):
            caffe.Net(*wrong)


def test_levels_and_stages_choose_layers(write):
    text = 'input: "data" input_shape { dim: 1 dim: 3 }\n' + "".join(
        f'layer {{ name: "{name}" type: "Scale" bottom: "data" top: "{name}" include {{ {says} }} }}\n'
        for name, says in (("always", "min_level: 0"), ("deep", "min_level: 1"), ("a", 'stage: "A"'))
    )
    path = write(text)
    assert list(caffe.Net(path, caffe.TEST).params) == ["always"]
    assert list(caffe.Net(path, caffe.TEST, level=1).params) == ["always", "deep"]
    assert list(caffe.Net(path, caffe.TEST, stages=["A", "B"]).params) == ["always", "a"]


def test_only_what_a_phase_needs_must_be_known(write):
    unknown = TRAINED + 'layer { name: "odd" type: "Odd" bottom: "ip" top: "odd" include { phase: TRAIN } }\n'
    path = write(unknown)
    assert caffe.Net(path, caffe.TEST).outputs == ["accuracy", "loss"]
    with pytest.raises(ConfigError) as caught:
        caffe.Net(path, caffe.TRAIN)
    (problem,) = caught.value.problems
    assert str(problem).startswith(
        f"{path}:7:27: layer 'odd' (Odd): there is no layer type 'Odd'; layerkit layers lists"
    )
    slip = write(TRAINED.replace("num_output: 4", "num_output: 4 dilation: 2"))
    with pytest.raises(ConfigError, match=r"net.prototxt:4:39: layer 'ip' .*InnerProduct has no parameter 'dilation'"):
        caffe.Net(slip, caffe.TEST)
    with pytest.raises(ConfigError, match="the net has no layers in the phase TRAIN"):
        caffe.Net(write('layer { name: "a" type: "Input" top: "a" exclude { phase: TRAIN } }'), caffe.TRAIN)


def test_batches_of_a_database_are_always_full(write, tmp_path):
    """The last one begins the samples anew, in the test phase too."""
    pytest.importorskip("lmdb", reason="lmdb is not installed")
    pixels = np.arange(6, dtype=np.uint8).repeat(4).reshape(6, 1, 2, 2)
    write_lmdb(str(tmp_path / "six"), [(image, i) for i, image in enumerate(pixels)])
    net = caffe.Net(
        write(f"""layer {{ name: "data" type: "Data" top: "data" top: "label" transform_param {{ scale: 0.5 }}
  data_param {{ source: "{tmp_path / "six"}" batch_size: 4 backend: LMDB }} }}"""),
        caffe.TEST,
    )
    assert [net.forward()["label"].tolist() for _ in range(3)] == [[0, 1, 2, 3], [4, 5, 0, 1], [2, 3, 4, 5]]
    np.testing.assert_array_equal(net.blobs["data"].data, pixels[2:] / 2)
    assert net.inputs == []


def test_a_wrong_call_is_one_sentence(write):
    net = filled(write(DEPLOY))
    with pytest.raises(UsageError, match="the net's inputs are data, but image were given"):
        net.forward(image=np.zeros((2, 3, 8, 9)))
    with pytest.raises(UsageError, match="'data' is 3x3x8x9, but the batch is 2x3x8x9"):
        net.forward(data=np.zeros((3, 3, 8, 9)))
    with pytest.raises(UsageError, match="the net's outputs are prob, but ip were given"):
        net.backward(ip=np.zeros((2, 5)))
    with pytest.raises(UnknownNameError, match="there is no layer 'ipp'; did you mean 'ip'"):
        net.forward(end="ipp")
    with pytest.raises(ConfigError, match="there is no file"):
        caffe.Net("none.prototxt", caffe.TEST)
