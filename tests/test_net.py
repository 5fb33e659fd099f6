"""Net: what is given and returned, shapes, seeds, views, loading and dynamic tops."""

from __future__ import annotations

import numpy as np
import pytest
from net_tools import CONFIG, MLP, NET, check_gradients, fill, make, rows

import layerkit as lk

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
    assert net.load_weights(other.flat.arrays(), strict=True).loaded == list(net.flat.slots)
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
    found = net.load_weights({**arrays, "unknown": np.zeros(1)}, strict=False)
    assert (found.missing, found.skipped) == (["fc2.bias"], ["unknown"])
    np.testing.assert_array_equal(net.params["fc1"].weight.data, before[:15].reshape(5, 3) + 1)


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
