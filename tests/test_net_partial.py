"""Partial runs keep Caffe's meaning under in-place names, although in-place versions lie apart here.

In Caffe an in-place layer overwrites its bottom, so the one buffer of a name holds the data of the layer that ran
last, and the diff of the layer that ran backward last. The reference in these tests is that buffer, by hand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from net_tools import fill, make

import layerkit as lk

CHAIN = """
- {name: in, type: Input, top: [data, label], shape: [[3, 2, 5, 4], [3]]}
- {name: conv1, type: Convolution, bottom: data, num_output: 3, kernel_size: 2}
- {name: relu1, type: ReLU, top: conv1}
- {name: sig1, type: Sigmoid, top: conv1}
- {name: fc, type: InnerProduct, num_output: 4}
- {name: tanh, type: TanH, top: fc}
- {name: fc2, type: InnerProduct, num_output: 2}
- {name: loss, type: SoftmaxWithLoss, bottom: [fc2, label]}
"""
LAYERS = ["in", "conv1", "relu1", "sig1", "fc", "tanh", "fc2", "loss"]


def chain() -> lk.Net:
    net = make(CHAIN)
    fill(net)
    net.forward()
    net.backward()
    return net


def random(shape: tuple[int, ...], seed: int = 7) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


# -- forward -----------------------------------------------------------------------------------------------------


def test_forward_from_an_in_place_relu_reads_what_was_written_into_the_blob() -> None:
    net = chain()
    v = random(net.blobs["conv1"].shape)
    net.blobs["conv1"].data[...] = v
    net.forward(start="relu1")
    np.testing.assert_allclose(net.blobs["conv1"].data, sigmoid(np.maximum(v, 0)))


def test_forward_from_the_second_in_place_layer_reads_it_too() -> None:
    net = chain()
    v = random(net.blobs["conv1"].shape)
    net.blobs["conv1"].data[...] = v
    net.forward(start="sig1")
    np.testing.assert_allclose(net.blobs["conv1"].data, sigmoid(v))


def test_forward_from_a_reader_of_the_blob_reads_what_was_written() -> None:
    net = chain()
    v = random(net.blobs["conv1"].shape)
    net.blobs["conv1"].data[...] = v
    net.forward(start="fc", end="fc")
    w, b = (blob.data for blob in net.params["fc"])
    np.testing.assert_allclose(net.blobs["fc"].data, v.reshape(3, -1) @ w.T + b)
    np.testing.assert_array_equal(net.blobs["conv1"].data, v)


def test_an_in_place_layer_that_runs_again_acts_on_its_own_result_as_in_caffe() -> None:
    net = chain()
    before = net.blobs["conv1"].data.copy()
    net.forward(start="sig1", end="sig1")
    np.testing.assert_allclose(net.blobs["conv1"].data, sigmoid(before))


@pytest.mark.parametrize("cut", range(1, len(LAYERS)))
def test_a_forward_pass_in_two_parts_is_a_whole_one(cut: int) -> None:
    whole, parts = chain(), make(CHAIN)
    fill(parts)
    parts.forward(end=LAYERS[cut - 1])
    parts.forward(start=LAYERS[cut])
    assert parts.loss == whole.loss
    parts.backward()
    np.testing.assert_array_equal(parts.flat.diff, whole.flat.diff)


def test_layer_by_layer_the_blob_shows_the_version_that_was_written_last() -> None:
    net = make(CHAIN)
    fill(net)
    seen = []
    for name in LAYERS:
        out = net.forward(start=name, end=name)
        for top, value in out.items():
            np.testing.assert_array_equal(net.blobs[top].data, value)
        if "conv1" in out:
            seen.append(out["conv1"].copy())
    np.testing.assert_array_equal(seen[1], np.maximum(seen[0], 0))
    np.testing.assert_allclose(seen[2], sigmoid(seen[1]))
    assert net.loss == chain().loss


def test_with_start_a_blob_that_the_layers_read_can_be_given() -> None:
    net = chain()
    v = random(net.blobs["conv1"].shape)
    net.forward(start="relu1", conv1=v)
    np.testing.assert_allclose(net.blobs["conv1"].data, sigmoid(np.maximum(v, 0)))
    net.forward(start="tanh", fc=np.zeros((3, 4)))
    assert not net.blobs["fc"].data.any()
    net.forward(start="fc2", label=[1, 1, 1])
    np.testing.assert_array_equal(net.blobs["label"].data, [1, 1, 1])


def test_with_start_other_blobs_and_shapes_are_refused() -> None:
    net = chain()
    with pytest.raises(lk.UnknownNameError, match="there is no blob read by the layers that run 'data'; there are: "):
        net.forward(start="relu1", data=np.zeros((3, 2, 5, 4)))
    with pytest.raises(lk.ShapeError, match="'fc' is 3x4, not 4"):
        net.forward(start="tanh", fc=np.zeros(4))


def test_end_returns_the_tops_of_that_layer() -> None:
    net = chain()
    out = net.forward(end="relu1")
    assert list(out) == ["conv1"]
    assert out["conv1"].min() == 0


def test_a_net_input_shows_its_first_version() -> None:
    net = make(
        """
- {name: data, type: Input, shape: [2, 3]}
- {name: relu, type: ReLU, bottom: data, top: data}
- {name: drop, type: Dropout, bottom: data, top: data}
- {name: out, type: InnerProduct, num_output: 2}
""",
        "test",
    )
    fill(net)
    x = random((2, 3))
    once = net.forward(data=x)["out"].copy()
    np.testing.assert_array_equal(net.blobs["data"].data, x)
    np.testing.assert_array_equal(net.forward()["out"], once)
    net.forward(start="relu")
    np.testing.assert_array_equal(net.blobs["out"].data, once)
    dx = net.backward(out=np.ones((2, 2)))["data"]
    np.testing.assert_allclose(dx, np.ones((2, 2)) @ net.params["out"].weight.data * (x > 0))
    np.testing.assert_array_equal(net.blobs["data"].diff, dx)


def test_dropout_in_a_chain_draws_again_where_it_runs_again() -> None:
    net = make(
        """
- {name: data, type: Input, shape: [20, 30]}
- {name: fc, type: InnerProduct, num_output: 40}
- {name: sig, type: Sigmoid, top: fc}
- {name: drop, type: Dropout, top: fc}
- {name: out, type: InnerProduct, num_output: 1}
"""
    )
    fill(net)
    net.forward()
    ones = np.ones((20, 40))
    net.blobs["fc"].data[...] = ones
    net.forward(start="drop", end="drop")
    assert set(np.unique(net.blobs["fc"].data)) == {0.0, 2.0}
    kept = net.blobs["fc"].data / 2
    net.forward(start="out")
    net.blobs["fc"].diff[...] = 1
    net.backward(start="drop", end="drop")
    np.testing.assert_array_equal(net.blobs["fc"].diff, 2 * kept)


# -- backward ----------------------------------------------------------------------------------------------------


def test_the_diff_of_a_name_is_its_first_versions() -> None:
    net = chain()
    z = net.forward(end="conv1")["conv1"].copy()
    net.forward()
    net.backward()
    s = net.blobs["conv1"].data
    dfc = net.blobs["fc"].diff
    above = (dfc @ net.params["fc"].weight.data).reshape(s.shape)
    np.testing.assert_allclose(net.blobs["conv1"].diff, above * s * (1 - s) * (z > 0))


@pytest.mark.parametrize("start", ["conv1", "relu1", "sig1"])
def test_backward_from_a_layer_takes_the_diff_that_was_set(start: str) -> None:
    net = chain()
    z = net.forward(end="conv1")["conv1"].copy()
    net.forward()
    s = net.blobs["conv1"].data.copy()
    g = random(net.blobs["conv1"].shape)
    net.blobs["conv1"].diff[...] = g
    net.backward(start=start)
    wanted = g * (s * (1 - s) if start == "sig1" else 1) * (z > 0 if start != "conv1" else 1)
    np.testing.assert_allclose(net.blobs["conv1"].diff, wanted)
    np.testing.assert_allclose(net.params["conv1"].bias.diff, wanted.sum(axis=(0, 2, 3)))


def test_backward_from_a_layer_returns_the_diffs_of_inputs() -> None:
    net = chain()
    net.blobs["fc2"].diff[...] = random((3, 2))
    dx = net.backward(start="fc2")["data"].copy()
    other = chain()
    np.testing.assert_allclose(dx, other.backward(fc2=random((3, 2)))["data"])
    np.testing.assert_array_equal(net.flat.diff, other.flat.diff)


@pytest.mark.parametrize("cut", range(1, len(LAYERS)))
def test_a_backward_pass_in_two_parts_is_a_whole_one(cut: int) -> None:
    whole, net = chain(), chain()
    net.flat.diff[...] = np.nan
    net.backward(end=LAYERS[cut])
    net.backward(start=LAYERS[cut - 1])
    np.testing.assert_array_equal(net.flat.diff, whole.flat.diff)
    np.testing.assert_array_equal(net.blobs["conv1"].diff, whole.blobs["conv1"].diff)


def test_a_backward_pass_layer_by_layer_is_a_whole_one() -> None:
    whole, net = chain(), make(CHAIN)
    fill(net)
    net.forward()
    for name in reversed(LAYERS):
        net.backward(start=name, end=name)
    np.testing.assert_array_equal(net.flat.diff, whole.flat.diff)


def test_backward_from_the_loss_is_a_whole_pass_and_takes_its_diff_as_found() -> None:
    whole, net = chain(), make(CHAIN)
    fill(net)
    net.forward()
    net.backward(start="loss")
    np.testing.assert_array_equal(net.flat.diff, whole.flat.diff)
    net.blobs["loss"].diff[...] = 3
    net.backward(start="loss")
    np.testing.assert_allclose(net.flat.diff, 3 * whole.flat.diff)
    net.reshape(data=(2, 2, 5, 4), label=(2,))
    net.backward()
    assert net.blobs["loss"].diff == 1


def test_a_partial_pass_leaves_other_weights_diffs_as_they_were() -> None:
    net = chain()
    before = {name: [blob.diff.copy() for blob in net.params[name]] for name in ("conv1", "fc", "fc2")}
    net.blobs["fc"].diff[...] = 0
    net.backward(start="fc")
    assert not net.params["conv1"].weight.diff.any()
    assert not net.params["fc"].weight.diff.any()
    np.testing.assert_array_equal(net.params["fc2"].weight.diff, before["fc2"][0])
    net.backward(end="fc2")
    assert not net.params["fc"].weight.diff.any()


BRANCHES = """
- {name: data, type: Input, shape: [4, 3]}
- {name: fc, type: InnerProduct, num_output: 3}
- {name: a, type: Sigmoid, bottom: fc}
- {name: b, type: TanH, bottom: fc}
- {name: prod, type: Eltwise, bottom: [a, b], operation: PROD}
- {name: sum, type: Eltwise, bottom: [prod, fc, fc]}
- {name: loss, type: EuclideanLoss, bottom: [sum, data]}
"""


def branches() -> lk.Net:
    net = make(BRANCHES)
    fill(net)
    net.forward()
    return net


@pytest.mark.parametrize("cut", ["sum", "prod", "b", "a", "fc"])
def test_where_a_branch_crosses_the_border_both_sides_count(cut: str) -> None:
    whole, net = branches(), branches()
    whole.backward()
    names = [node.name for node in net.graph.nodes]
    above = names[names.index(cut) + 1]
    net.backward(end=above)
    net.backward(start=cut)
    np.testing.assert_allclose(net.blobs["fc"].diff, whole.blobs["fc"].diff, rtol=1e-12)
    np.testing.assert_allclose(net.flat.diff, whole.flat.diff, rtol=1e-12)
    net.backward(start=cut)  # once more: nothing is counted twice
    np.testing.assert_allclose(net.flat.diff, whole.flat.diff, rtol=1e-12)
    net.backward()
    np.testing.assert_allclose(net.flat.diff, whole.flat.diff, rtol=1e-12)


def test_layer_by_layer_branches_add_up() -> None:
    whole, net = branches(), branches()
    whole.backward()
    for node in reversed(net.graph.nodes):
        net.backward(start=node.name, end=node.name)
    np.testing.assert_allclose(net.flat.diff, whole.flat.diff, rtol=1e-12)


def test_a_shared_weight_in_a_partial_pass_has_the_gradients_of_the_layers_that_ran() -> None:
    net = make(
        """
- {name: data, type: Input, shape: [4, 3]}
- {name: a, type: InnerProduct, num_output: 3, param: [{name: w}, {name: b}]}
- {name: t, type: TanH}
- {name: b, type: InnerProduct, num_output: 3, param: [{name: w}, {name: b}]}
- {name: loss, type: EuclideanLoss, bottom: [b, data]}
"""
    )
    fill(net)
    net.forward()
    net.backward()
    both = net.flat.diff.copy()
    net.backward(end="b")
    upper = net.flat.diff.copy()
    net.backward(start="t")
    np.testing.assert_allclose(upper + net.flat.diff, both)
