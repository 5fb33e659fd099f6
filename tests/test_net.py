"""Net: what is given and returned, shapes, seeds, views, gradients, sharing, dynamic tops, and predict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from net_tools import check_gradients, differences, fill, make

import layerkit as lk

MLP = """
- {name: data, type: Input, top: [data, label], shape: [[4, 3], [4]]}
- {name: fc1, type: InnerProduct, bottom: data, num_output: 5, weight_filler: xavier}
- {name: relu, type: ReLU, top: fc1}
- {name: fc2, type: InnerProduct, num_output: 2, weight_filler: xavier}
- {name: loss, type: SoftmaxWithLoss, bottom: [fc2, label]}
"""
NET = """
- {name: data, type: Input, shape: [4, 3]}
- {name: fc, type: InnerProduct, num_output: 2, weight_filler: xavier}
- {name: out, type: TanH}
"""


def rows(count: int, columns: int = 3) -> Any:
    return np.random.default_rng(count).uniform(-1, 1, (count, columns))


# -- forward -----------------------------------------------------------------------------------------------------


def test_forward_takes_inputs_and_returns_outputs_as_live_views() -> None:
    net = make(NET)
    x = rows(4)
    out = net.forward(data=x)
    w, b = (blob.data for blob in net.params["fc"])
    np.testing.assert_allclose(out["out"], np.tanh(x @ w.T + b))
    assert list(out) == net.outputs == ["out"]
    assert out["out"] is net.blobs["out"].data
    assert net.inputs == ["data"]


def test_without_inputs_the_input_blobs_hold_what_they_held() -> None:
    net = make(NET)
    first = net.forward(data=rows(4))["out"].copy()
    np.testing.assert_array_equal(net.forward()["out"], first)
    net.blobs["data"].data[...] = 0
    assert not net.forward()["out"].any()


def test_a_list_of_integers_is_an_array_too() -> None:
    net = make(NET)
    np.testing.assert_array_equal(net.forward(data=[[0, 0, 0]])["out"], [[0, 0]])


@pytest.mark.parametrize("phase", ["train", "test"])
def test_a_source_whose_top_is_given_does_not_run(phase: str) -> None:
    net = lk.Net(CONFIG, phase)
    net.forward(data=np.zeros((3, 1, 8, 8)), label=[1, 2, 3])
    assert net.blobs["fc1"].shape == (3, 8)
    assert net.layers["digits"].state.consumed[0] == 0
    net.forward()
    assert net.blobs["fc1"].shape == (32, 8)
    assert net.layers["digits"].state.consumed[0] == 32


CONFIG = """
name: small
layers:
  - {name: digits, type: Data, top: [data, label], dataset: digits, batch_size: 32, scale: 0.0625}
  - {name: fc1, type: InnerProduct, bottom: data, num_output: 8, weight_filler: xavier}
  - {name: relu, type: ReLU, top: act}
  - {name: fc2, type: InnerProduct, num_output: 10, weight_filler: xavier}
  - {name: loss, type: SoftmaxWithLoss, bottom: [fc2, label]}
"""


def test_the_other_tops_of_a_given_source_must_be_given_if_anything_reads_them() -> None:
    with pytest.raises(
        lk.UsageError, match=r"'digits' does not run when 'data' is given, so 'label' must be given too"
    ):
        lk.Net(CONFIG).forward(data=np.zeros((3, 1, 8, 8)))
    unread = make("- {name: a, type: Input, top: [x, y], shape: [2, 2]}\n- {name: p, type: Power, bottom: x}")
    assert unread.forward(x=np.ones((2, 2)))["p"].sum() == 4


def test_unknown_names_say_what_there_is() -> None:
    net = make(MLP)
    for call, sentence in [
        (lambda: net.forward(dat=1), "there is no input 'dat'; did you mean 'data'?"),
        (lambda: net.forward(fc1=1), "there is no input 'fc1'; there are: data, label"),
        (lambda: net.forward(end="rellu"), "there is no layer 'rellu'; did you mean 'relu'?"),
        (lambda: net.backward(los=1), "there is no blob 'los'; did you mean 'loss'?"),
        (lambda: net.blobs["lable"], "there is no blob 'lable'; did you mean 'label'?"),
        (lambda: net.params["losss"], "there is no layer 'losss'; did you mean 'loss'?"),
        (lambda: net.params["fc1"]["wieght"], "there is no weight 'wieght'; did you mean 'weight'?"),
        (lambda: net.reshape(lable=(4,)), "there is no input 'lable'; did you mean 'label'?"),
        (lambda: make(MLP, dtype="float23"), "there is no dtype 'float23'; did you mean 'float32'?"),
    ]:
        with pytest.raises(lk.UnknownNameError) as error:
            call()
        assert str(error.value) == sentence


def test_what_is_no_array_of_numbers_is_refused() -> None:
    with pytest.raises(lk.UsageError, match="'data' must be an array of numbers, not of <U1"):
        make(NET).forward(data=[["a", "b", "c"]])


def test_end_before_start_is_refused() -> None:
    net = make(MLP)
    with pytest.raises(lk.UsageError, match="'fc1' runs before layer 'fc2'"):
        net.forward(start="fc2", end="fc1")
    with pytest.raises(lk.UsageError, match="'fc2' runs backward before layer 'fc1'"):
        net.backward(start="fc1", end="fc2")


# -- shapes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 9, 0])
def test_another_batch_size_gives_the_numbers_of_a_net_made_for_it(count: int) -> None:
    net = make(NET)
    weights = net.flat.data.copy()
    net.forward(data=rows(4))
    other = lk.Net("layers:\n" + NET.replace("[4, 3]", f"[{count}, 3]"), dtype="float64")
    x = rows(count)
    np.testing.assert_array_equal(net.forward(data=x)["out"], other.forward(data=x)["out"])
    dy = rows(count, 2)
    net.backward(out=dy)
    other.backward(out=dy)
    np.testing.assert_array_equal(net.flat.diff, other.flat.diff)
    np.testing.assert_array_equal(net.flat.data, weights)
    np.testing.assert_allclose(net.forward(data=rows(4))["out"], np.tanh(rows(4) @ net.params["fc"][0].data.T))


def test_reshape_by_name_and_after_pycaffes_fashion() -> None:
    net = make(MLP)
    net.reshape(data=(7, 3), label=(7,))
    assert net.blobs["fc2"].shape == (7, 2)
    net.blobs["data"].reshape(3, 3)
    net.blobs["label"].reshape(3)
    net.reshape()
    assert net.blobs["fc1"].shape == (3, 5)
    fill(net)
    check_gradients(net)


def test_a_shape_that_does_not_fit_names_the_layer_and_leaves_the_net_as_it_was() -> None:
    net = make(MLP)
    x, label = rows(4), [0, 1, 0, 1]
    before = {name: value.copy() for name, value in net.forward(data=x, label=label).items()}
    with pytest.raises(lk.ShapeError, match=r"layer 'fc1' \(InnerProduct\): .* weight of 5x7, but it is 5x3"):
        net.forward(data=rows(4, 7), label=label)
    with pytest.raises(lk.ShapeError, match=r"layer 'loss' \(SoftmaxWithLoss\): .*need labels of shape 6, not 4"):
        net.forward(data=rows(6), label=label)
    assert net.blobs["data"].shape == (4, 3)
    np.testing.assert_array_equal(net.forward()["loss"], before["loss"])


def test_scratch_grows_and_shrinks_with_the_batch() -> None:
    conv = """
- {name: data, type: Input, shape: [2, 2, 6, 5]}
- {name: conv, type: Convolution, num_output: 3, kernel_size: 3, weight_filler: xavier}
- {name: pool, type: Pooling, kernel_size: 2, stride: 2}
- {name: fc, type: InnerProduct, num_output: 2, weight_filler: xavier}
"""
    net = make(conv)
    for shape in [(2, 2, 6, 5), (5, 2, 6, 5), (1, 2, 6, 5)]:
        other = make(conv.replace("[2, 2, 6, 5]", str(list(shape))))
        x = np.random.default_rng(3).uniform(-1, 1, shape)
        np.testing.assert_array_equal(net.forward(data=x)["fc"], other.forward(data=x)["fc"])
        np.testing.assert_array_equal(
            net.backward(fc=np.ones((shape[0], 2)))["data"], other.backward(fc=np.ones((shape[0], 2)))["data"]
        )
        np.testing.assert_array_equal(net.flat.diff, other.flat.diff)


# -- seeds, dtypes, views ----------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_weights_in_every_phase_and_another_seed_others() -> None:
    first, again, other = (lk.Net(CONFIG, seed=seed).flat.data for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.isclose(first[:512], other[:512]).any()
    for phase in ("test", "predict"):
        np.testing.assert_array_equal(lk.Net(CONFIG, phase, seed=1).flat.data, first)


def test_a_layer_that_is_inserted_changes_no_other_layers_weights() -> None:
    longer = NET.replace(
        "- {name: out",
        "- {name: more, type: InnerProduct, num_output: 2, weight_filler: xavier}\n- {name: d, type: Dropout}\n"
        "- {name: out",
    )
    np.testing.assert_array_equal(make(NET).params["fc"][0].data, make(longer).params["fc"][0].data)


def test_dropout_of_a_layer_does_not_depend_on_other_layers() -> None:
    net = make("- {name: x, type: Input, shape: [4, 8]}\n- {name: a, type: Dropout}\n")
    two = make(
        "- {name: x, type: Input, shape: [4, 8]}\n- {name: b, type: Dropout}\n- {name: a, type: Dropout, bottom: x}"
    )
    ones = np.ones((4, 8))
    for _ in range(2):
        net.forward(x=ones)
        two.forward(x=ones)
        np.testing.assert_array_equal(net.blobs["a"].data, two.blobs["a"].data)
        assert (two.blobs["a"].data != two.blobs["b"].data).any()


def test_dtypes_are_everywhere_what_was_asked_for() -> None:
    for dtype in ("float32", "float64"):
        net = make(MLP, dtype=dtype)
        net.forward(data=rows(4), label=[0, 1, 0, 1])
        net.backward()
        assert {blob.dtype.name for blob in net.blobs.values()} == {dtype}
        assert {net.flat.data.dtype.name, net.flat.diff.dtype.name, net.blobs["fc1"].diff.dtype.name} == {dtype}


def test_weights_are_live_views_of_one_flat_array() -> None:
    net = make(MLP)
    assert net.flat.data.shape == net.flat.diff.shape == (5 * 3 + 5 + 2 * 5 + 2,)
    net.flat.data[...] = np.arange(net.flat.data.size)
    np.testing.assert_array_equal(net.params["fc1"].weight.data, np.arange(15).reshape(5, 3))
    np.testing.assert_array_equal(net.params["fc2"][1].data, [30, 31])
    net.params["fc1"]["bias"].data[...] = -1
    assert (net.flat.data == -1).sum() == 5
    assert net.params["fc1"][0] is net.params["fc1"].weight is net.layers["fc1"].weights[0]
    net.forward(data=rows(4), label=[0, 1, 0, 1])
    net.backward()
    assert np.shares_memory(net.params["fc1"].weight.diff, net.flat.diff)
    assert net.params["fc1"].weight.diff.any()


def test_frozen_weights_lie_outside_the_flat_arrays_and_get_no_gradient() -> None:
    net = make(MLP.replace("num_output: 5,", "num_output: 5, param: [{lr_mult: 0}],"))
    assert net.flat.data.size == 5 + 2 * 5 + 2
    fill(net)
    net.forward()
    net.backward()
    assert not net.params["fc1"].weight.has_diff
    assert net.params["fc1"].bias.diff.any()
    assert "fc1.weight" in net.flat.arrays()


def test_a_test_net_shares_the_train_nets_arrays() -> None:
    train = lk.Net(CONFIG)
    graph = lk.Net(CONFIG, "test").graph
    test = lk.Net.from_graph(graph, share=train)
    assert np.shares_memory(test.params["fc1"].weight.data, train.flat.data)
    assert test.flat.data.size == 0
    train.flat.data[...] = 0
    test.forward()
    assert not test.blobs["fc2"].data.any()


def test_a_net_cannot_share_weights_of_another_shape() -> None:
    other = lk.Net(CONFIG.replace("num_output: 8", "num_output: 9"), "test").graph
    with pytest.raises(lk.ShapeError, match=r"'fc1.weight' is 9x64 here and 8x64 in the net that lends it"):
        lk.Net.from_graph(other, share=lk.Net(CONFIG))


def test_a_shared_weights_owner_may_be_missing_in_the_test_net() -> None:
    config = """
layers:
  - {name: data, type: Input, shape: [4, 3]}
  - {name: a, type: InnerProduct, num_output: 3, weight_filler: xavier, param: {name: w}, include: train}
  - {name: b, type: InnerProduct, bottom: data, num_output: 3, weight_filler: xavier, param: {name: w}}
"""
    train = lk.Net(config)
    test = lk.Net.from_graph(lk.Net(config, "test").graph, share=train)
    assert np.shares_memory(test.params["b"].weight.data, train.params["a"].weight.data)


# -- weights in and out ------------------------------------------------------------------------------------------


def test_weights_are_loaded_by_name_all_or_nothing() -> None:
    net, other = make(MLP), make(MLP, seed=5)
    assert net.load_weights(other.flat.arrays()) == []
    np.testing.assert_array_equal(net.flat.data, other.flat.data)
    before = net.flat.data.copy()
    arrays = {name: array + 1 for name, array in net.flat.arrays().items()}
    del arrays["fc2.bias"]
    with pytest.raises(lk.SnapshotError, match=r"the mapping has no weight 'fc2.bias'; did you mean 'fc1.bias'\?"):
        net.load_weights(arrays)
    with pytest.raises(lk.SnapshotError, match=r"the mapping: 'fc2.bias' is 3, but the net's is 2"):
        net.load_weights({**arrays, "fc2.bias": np.zeros(3)})
    with pytest.raises(lk.SnapshotError, match=r"'fc2.bias' holds values of type <U1, not real numbers"):
        net.load_weights({**arrays, "fc2.bias": np.array(["a", "b"])})
    np.testing.assert_array_equal(net.flat.data, before)
    assert net.load_weights({**arrays, "unknown": np.zeros(1)}, strict=False) == ["fc2.bias"]
    np.testing.assert_array_equal(net.params["fc1"].weight.data, before[:15].reshape(5, 3) + 1)


# -- gradients ---------------------------------------------------------------------------------------------------

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
- {name: end, type: EuclideanLoss, bottom: [fc2, data], loss_weight: 4}
"""
    )
    fill(net)
    out = net.forward()
    wanted = 0.3 * float(net.blobs["middle"].data) + 2 * net.blobs["prob"].data.sum()
    assert net.loss == pytest.approx(wanted + 1.5 * out["square"] + 4 * out["end"])
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


# -- dynamic tops ------------------------------------------------------------------------------------------------

FILTER = """
- {name: in, type: Input, top: [data, keep], shape: [[4, 3], [4]]}
- {name: fc, type: InnerProduct, bottom: data, num_output: 3}
- {name: kept, type: TestFilter, bottom: [fc, keep]}
- {name: fc2, type: InnerProduct, num_output: 2}
- {name: target, type: Power, bottom: fc2, power: 0}
- {name: loss, type: EuclideanLoss, bottom: [fc2, target]}
"""


@pytest.mark.parametrize("keep", [[1, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]])
def test_layers_below_a_dynamic_top_are_planned_again(keep: list[int]) -> None:
    net = make(FILTER)
    fill(net)
    for mask in ([1, 1, 0, 0], keep):
        net.blobs["keep"].data[...] = mask
        net.forward()
        assert net.blobs["kept"].shape == (sum(mask), 3)
        assert net.blobs["fc2"].shape == (sum(mask), 2)
        wanted = net.blobs["fc"].data[np.array(mask) != 0]
        np.testing.assert_array_equal(net.blobs["kept"].data, wanted)
        check_gradients(net)


def test_a_dynamic_top_grows_with_the_batch() -> None:
    net = make(FILTER)
    fill(net)
    net.forward(data=rows(4), keep=[1, 0, 0, 0])
    net.forward(data=rows(9), keep=[1] * 9)
    assert net.blobs["fc2"].shape == (9, 2)
    net.forward(data=rows(2), keep=[1, 0])
    assert net.blobs["fc2"].shape == (1, 2)
    check_gradients(net)


# -- state -------------------------------------------------------------------------------------------------------


def test_a_layers_state_starts_at_zero_and_is_its_own() -> None:
    layers = (
        "- {name: x, type: Input, shape: [2, 3]}\n- {name: a, type: TestWalk}\n- {name: b, type: TestWalk, size: 2}"
    )
    net, other = make(layers), make(layers)
    zeros = np.zeros((2, 3))
    assert not net.layers["a"].state.position.any()
    walked = [net.forward(x=zeros)["b"].copy() for _ in range(3)]
    assert [other.forward(x=zeros)["b"].tolist() for _ in range(3)] == [each.tolist() for each in walked]
    assert not np.allclose(walked[0], walked[1])
    np.testing.assert_array_equal(net.blobs["a"].data[0], net.layers["a"].state.position)
    assert net.layers["a"].state.position.dtype == np.float64


# -- errors at run time ------------------------------------------------------------------------------------------


def test_an_error_at_run_time_names_the_layer() -> None:
    net = make(MLP)
    with pytest.raises(lk.DataError, match=r"^layer 'loss' \(SoftmaxWithLoss\): label 7 at position \(2,\) is outside"):
        net.forward(data=rows(4), label=[0, 1, 7, 0])


def test_a_source_that_is_gone_names_its_layer() -> None:
    lk.add_dataset("fleeting", train={"data": np.zeros((4, 3)), "label": np.zeros(4)})
    net = make("- {name: source, type: Data, dataset: fleeting, batch_size: 2}\n- {name: out, type: Power}")
    lk.add_dataset("fleeting", train={"data": np.zeros((4, 5)), "label": np.zeros(4)})
    for call in (net.open, net.forward):
        with pytest.raises(lk.DataError, match=r"^layer 'source' \(Data\): "):
            call()


def test_open_and_close_can_be_called_at_any_time() -> None:
    net = lk.Net(CONFIG)
    net.open()
    net.open()
    first = net.forward()["loss"].copy()
    net.close()
    net.layers["digits"].rewind()
    assert net.forward()["loss"] == first


# -- predict -----------------------------------------------------------------------------------------------------


def predictor(class_names: Any = ("no", "yes")) -> lk.Net:
    rng = np.random.default_rng(0)
    data = {"data": rng.uniform(0, 255, (6, 3, 2, 2)), "label": rng.integers(0, 2, 6)}
    lk.add_dataset("pictures", train=data, test=data, class_names=class_names)
    return lk.Net(
        """
layers:
  - {name: source, type: Data, top: [data, label], dataset: pictures, batch_size: 2, scale: 0.01,
     mean_value: [1, 2, 3], channel_order: BGR}
  - {name: fc, type: InnerProduct, bottom: data, num_output: 2, weight_filler: xavier}
  - {name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}
""",
        "predict",
        dtype="float64",
    )


def test_predict_prepares_raw_samples_and_answers_with_class_names() -> None:
    net = predictor()
    raw = np.random.default_rng(1).uniform(0, 255, (5, 3, 2, 2)).astype(np.uint8)
    prepared = (raw[:, ::-1] - np.array([1, 2, 3]).reshape(3, 1, 1)) * 0.01
    prob = net.forward(data=prepared)["prob"].copy()
    names = [("no", "yes")[k] for k in prob.argmax(axis=1)]
    assert net.predict(raw) == names
    assert [net.predict(each) for each in raw] == names
    np.testing.assert_allclose(net.blobs["prob"].data[0], prob[-1], atol=1e-6)


def test_predict_without_class_names_returns_a_copy_of_the_output() -> None:
    net = predictor(class_names=())
    batch = net.predict(np.zeros((3, 3, 2, 2)))
    assert batch.shape == (3, 2)
    single = net.predict(np.zeros((3, 2, 2)))
    np.testing.assert_allclose(single, batch[0], atol=1e-6)
    batch[...] = 7
    assert not (net.blobs["prob"].data == 7).any()


def test_predict_with_several_outputs_gives_a_dict() -> None:
    net = make(NET + "- {name: also, type: Sigmoid, bottom: fc}", "predict")
    answers = net.predict(rows(2))
    assert {name: value.shape for name, value in answers.items()} == {"out": (2, 2), "also": (2, 2)}


def test_predict_says_what_it_cannot_do() -> None:
    net = predictor()
    with pytest.raises(lk.ShapeError, match="predict takes one sample of 3x2x2 or a batch of them, not 2x2"):
        net.predict(np.zeros((2, 2)))
    with pytest.raises(lk.UsageError, match="predict needs a net in the predict phase"):
        lk.Net(CONFIG, "test").predict(np.zeros((1, 8, 8)))
    with pytest.raises(lk.UsageError, match=r"one input, not 2 \(x, y\); use forward"):
        make(
            "- {name: i, type: Input, top: [x, y], shape: [2, 2]}\n- {name: s, type: Eltwise, bottom: [x, y]}",
            "predict",
        ).predict(np.zeros((2, 2)))


def test_a_net_shows_itself() -> None:
    net = lk.Net(CONFIG)
    assert repr(net) == "<Net 'small' train: 5 layers, 610 weights>"
    assert "fc1" in net._repr_html_()
