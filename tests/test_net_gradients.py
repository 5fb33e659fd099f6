"""Net.backward: sums at branches and shared weights, seeds, loss weights, what is reached and what is not."""

from __future__ import annotations

import numpy as np
import pytest
from net_tools import MLP, check_gradients, differences, fill, make, rows

import layerkit as lk

CONV = """
- {name: in, type: Input, top: [data, label, target], shape: [[3, 2, 7, 6], [3], [3, 4]]}
- {name: conv, type: Convolution, bottom: data, num_output: 4, kernel_size: [3, 2], pad: [1, 0], stride: [2, 1]}
- {name: sig, type: Sigmoid, top: conv}
- {name: halves, type: Slice, top: [left, right]}
- {name: maxpool, type: Pooling, bottom: left, kernel_size: 2, stride: 2}
- {name: avepool, type: Pooling, bottom: right, kernel_size: 2, stride: 2, pool: AVE}
- {name: sum, type: Eltwise, bottom: [maxpool, avepool], operation: SUM, coeff: [1, -2]}
- {name: prod, type: Eltwise, bottom: [maxpool, avepool], operation: PROD}
- {name: max, type: Eltwise, bottom: [maxpool, avepool], operation: MAX}
- {name: joined, type: Concat, bottom: [sum, prod, max]}
- {name: power, type: Power, power: 2, shift: 3, scale: 0.5}
- {name: tanh, type: TanH}
- {name: flat, type: Flatten}
- {name: drop, type: Dropout, dropout_ratio: 0.0}
- {name: fc, type: InnerProduct, num_output: 4}
- {name: relu, type: ReLU, top: fc, negative_slope: 0.1}
- {name: prob, type: Softmax}
- {name: fc2, type: InnerProduct, bottom: fc, num_output: 2}
- {name: loss, type: SoftmaxWithLoss, bottom: [fc2, label]}
- {name: sce, type: SigmoidCrossEntropyLoss, bottom: [fc, target], loss_weight: 0.5}
- {name: euclid, type: EuclideanLoss, bottom: [prob, target], loss_weight: 3}
- {name: accuracy, type: Accuracy, bottom: [fc2, label]}
- {name: left_out, type: Slice, bottom: flat, top: [s1, s2], slice_point: 3}
- {name: silence, type: Silence, bottom: [s1, s2]}
"""


def test_the_gradient_of_a_net_with_every_layer_there_is() -> None:
    net = lk.Net(f"force_backward: true\nlayers:\n{CONV}", dtype="float64")
    types = {type(layer).__name__ for layer in net.layers.values()} | {"Data"}
    first = "Input Data InnerProduct Convolution Pooling ReLU Sigmoid TanH Dropout Softmax SoftmaxWithLoss "
    first += "SigmoidCrossEntropyLoss EuclideanLoss Accuracy Concat Slice Eltwise Flatten Power Silence"
    assert types == set(first.split())
    fill(net)
    net.blobs["target"].data[...] = np.random.default_rng(4).uniform(0.1, 0.9, (3, 4))
    check_gradients(net, "data")


def test_gradients_add_where_three_layers_read_a_blob_one_of_them_in_place() -> None:
    net = make(
        """
- {name: data, type: Input, shape: [4, 3]}
- {name: fc, type: InnerProduct, num_output: 3}
- {name: a, type: Sigmoid, bottom: fc, top: a}
- {name: a2, type: TanH, bottom: a, top: a}
- {name: b, type: InnerProduct, bottom: fc, num_output: 3}
- {name: c, type: Eltwise, bottom: [fc, fc], operation: PROD}
- {name: sum, type: Eltwise, bottom: [a, b, c, fc]}
- {name: loss, type: EuclideanLoss, bottom: [sum, data]}
"""
    )
    fill(net)
    check_gradients(net)
    check_gradients(net)  # nothing is left over from the pass before


SIAMESE = """
- {name: in, type: Input, top: [x1, x2, y], shape: [[4, 3], [4, 3], [4, 2]]}
- {name: a1, type: InnerProduct, bottom: x1, num_output: 3, param: [{name: w}, {name: b}]}
- {name: t1, type: TanH}
- {name: a2, type: InnerProduct, bottom: x2, num_output: 3, param: [{name: w}, {name: b}]}
- {name: t2, type: TanH}
- {name: b2, type: InnerProduct, bottom: t2, num_output: 3, param: [{name: w}, {name: b}]}
- {name: sum, type: Eltwise, bottom: [t1, b2], operation: PROD}
- {name: top, type: InnerProduct, num_output: 2}
- {name: loss, type: EuclideanLoss, bottom: [top, y]}
"""


def test_a_weight_that_three_layers_share_has_the_sum_of_their_gradients() -> None:
    net = make(SIAMESE)
    assert list(net.flat.slots) == ["a1.weight", "a1.bias", "top.weight", "top.bias"]
    assert net.params["a2"].weight.data.base is not None
    fill(net)
    assert np.shares_memory(net.params["a2"].weight.data, net.params["a1"].weight.data)
    check_gradients(net)
    total = net.params["a1"].weight.diff.copy()
    parts = [net.params[name].weight.diff for name in ("a2", "b2")]
    assert not any(np.shares_memory(part, total) for part in parts)


def test_permissive_sharing_views_one_weight_in_two_shapes() -> None:
    net = make(
        """
- {name: in, type: Input, top: [x, y], shape: [[4, 6], [4, 3]]}
- {name: encode, type: InnerProduct, bottom: x, num_output: 3, bias_term: false, param: {name: w}}
- {name: t, type: Sigmoid}
- {name: decode, type: InnerProduct, num_output: 6, bias_term: false, param: {name: w, share_mode: PERMISSIVE}}
- {name: loss, type: EuclideanLoss, bottom: [decode, x]}
"""
    )
    fill(net)
    assert net.params["decode"].weight.shape == (6, 3)
    np.testing.assert_array_equal(net.params["decode"].weight.data.ravel(), net.params["encode"].weight.data.ravel())
    check_gradients(net)


def test_a_frozen_shared_weight_lets_the_gradient_through() -> None:
    frozen = SIAMESE.replace("{name: w}", "{name: w, lr_mult: 0}")
    net = make(frozen)
    assert list(net.flat.slots) == ["a1.weight", "a1.bias", "top.weight", "top.bias"]
    assert [slot.key for slot in net.flat.trained] == ["a1.bias", "top.weight", "top.bias"]
    fill(net)
    check_gradients(net)
    assert not net.params["a1"].weight.has_diff


def test_sharing_with_another_shape_is_an_error_unless_permissive() -> None:
    other = SIAMESE.replace("bottom: x2, num_output: 3", "bottom: x2, num_output: 4")
    with pytest.raises(lk.ConfigError, match="the shared weight 'w' is 4x3 here and 3x3 in layer 'a1'"):
        make(other)


def test_loss_weights_on_several_tops_and_on_a_loss_that_is_read_again() -> None:
    net = make(
        """
- {name: in, type: Input, top: [data, label], shape: [[4, 3], [4]]}
- {name: fc, type: InnerProduct, bottom: data, num_output: 3}
- {name: middle, type: SoftmaxWithLoss, bottom: [fc, label], top: [middle, prob], loss_weight: [0.3, 2]}
- {name: square, type: Power, bottom: middle, power: 2, loss_weight: 1.5}
- {name: fc2, type: InnerProduct, bottom: prob, num_output: 3}
- {name: last, type: EuclideanLoss, bottom: [fc2, data], loss_weight: 4}
"""
    )
    fill(net)
    out = net.forward()
    wanted = 0.3 * float(net.blobs["middle"].data) + 2 * net.blobs["prob"].data.sum()
    assert net.loss == pytest.approx(wanted + 1.5 * out["square"] + 4 * out["last"])
    check_gradients(net)


def test_seeds_take_the_place_of_the_loss_and_reach_weights_and_inputs() -> None:
    net = make(MLP)
    fill(net)
    dy = rows(4, 2)

    def seeded() -> float:
        net.forward()
        return float((net.blobs["fc2"].data * dy).sum())

    seeded()
    diffs = net.backward(fc2=dy)
    assert list(diffs) == ["data"]
    weights, inputs = net.flat.diff.copy(), diffs["data"].copy()
    np.testing.assert_allclose(inputs, differences(seeded, net.blobs["data"].data), atol=1e-8)
    np.testing.assert_allclose(weights, differences(seeded, net.flat.data), atol=1e-8)
    net.forward()
    assert net.backward() == {}
    assert not np.allclose(net.flat.diff, weights)
    net.backward(loss=2.0)
    twice = net.flat.diff.copy()
    net.backward()
    np.testing.assert_allclose(twice, 2 * net.flat.diff)


def test_several_seeds_in_one_pass_add_up() -> None:
    net = make(MLP)
    fill(net)
    net.forward()
    one, other = rows(4, 2), rows(4, 5)
    parts = []
    for seeds in ({"fc2": one}, {"fc1": other}, {"fc2": one, "fc1": other}):
        net.backward(**seeds)
        parts.append(net.flat.diff.copy())
    np.testing.assert_allclose(parts[0] + parts[1], parts[2])
    assert not parts[1][20:].any()  # fc1's gradient does not reach fc2, whose diff is then zero


def test_a_seed_of_another_shape_is_refused() -> None:
    net = make(MLP)
    with pytest.raises(lk.ShapeError, match="the diff of 'fc2' is 4x2, not 2"):
        net.backward(fc2=[1, 2])


def test_force_backward_reaches_the_inputs_and_nothing_else_does() -> None:
    text = "layers:\n" + MLP
    plain, forced = lk.Net(text, dtype="float64"), lk.Net("force_backward: true\n" + text, dtype="float64")
    for net in (plain, forced):
        fill(net)
        net.forward()
    assert plain.backward() == {}
    assert not plain.blobs["data"].has_diff
    assert list(forced.backward()) == ["data"]
    check_gradients(forced, "data")


def test_propagate_down_cuts_a_branch_off() -> None:
    net = make(
        """
- {name: data, type: Input, shape: [4, 3]}
- {name: fc, type: InnerProduct, num_output: 3}
- {name: a, type: InnerProduct, bottom: fc, num_output: 3, propagate_down: false}
- {name: b, type: Sigmoid, bottom: fc}
- {name: sum, type: Eltwise, bottom: [a, b]}
- {name: loss, type: EuclideanLoss, bottom: [sum, data]}
"""
    )
    fill(net)
    net.forward()
    net.backward()
    s = net.blobs["b"].data
    np.testing.assert_allclose(net.blobs["fc"].diff, net.blobs["sum"].diff * s * (1 - s))
    assert net.params["a"].weight.diff.any()


def test_what_nothing_reaches_has_a_zero_diff_after_a_whole_pass() -> None:
    net = make(MLP + "- {name: aside, type: InnerProduct, bottom: fc1, num_output: 2}")
    fill(net)
    net.flat.diff[...] = np.nan
    net.forward()
    net.backward()
    assert not net.params["aside"].weight.diff.any()
    assert net.params["fc1"].weight.diff.any()
    assert np.isfinite(net.flat.diff).all()


def test_accumulate_adds_to_the_pass_before() -> None:
    net = make(SIAMESE)
    fill(net)
    net.forward()
    net.backward()
    once = net.flat.diff.copy()
    for times in (2, 3):
        net.forward()
        net.backward(accumulate=True)
        np.testing.assert_allclose(net.flat.diff, times * once)
    net.backward()
    np.testing.assert_array_equal(net.flat.diff, once)


def test_accumulate_in_a_partial_pass_leaves_the_other_weights_alone() -> None:
    net = make(MLP)
    fill(net)
    net.forward()
    net.backward()
    once = net.flat.diff.copy()
    net.backward(start="fc1", accumulate=True)
    np.testing.assert_array_equal(net.params["fc2"].weight.diff.ravel(), once[20:30])
    np.testing.assert_allclose(net.params["fc1"].weight.diff.ravel(), 2 * once[:15])
