"""Runs of a tape: structures that Python decides on, the net that is written down, and training."""

import numpy as np
import pytest
from eager_tools import LABELS, RNG, X, differences, expect_same_net

import layerkit as lk
import layerkit.eager as F  # noqa: N812 - as in the guide

# -- Python decides --------------------------------------------------------------------------------------------------


def test_a_tree_is_a_recursion():
    """A recursive net over a nested tuple: leaves are vectors, a node combines its two children."""
    tape = F.Tape(dtype="float64", seed=1)
    combine = F.InnerProduct(num_output=3, weight_filler="xavier", name="combine")
    leaves = RNG.normal(size=(4, 2, 3))

    def value(tree):
        if isinstance(tree, int):
            return tape.input(leaves[tree], f"leaf{tree}")
        return F.tanh(combine(F.concat(*map(value, tree))))

    def compute():
        return F.reduction(value((((0, 1), 2), (3, 0))), loss_weight=1)

    with tape:
        compute()
    tape.backward()
    weight = tape.params["combine.weight"]
    got = weight.diff.copy()
    np.testing.assert_allclose(got, differences(tape, compute, weight.data), rtol=1e-6, atol=1e-9)
    with tape:
        compute()
    net = expect_same_net(tape)
    assert sum(isinstance(layer, lk.layer_class("InnerProduct")) for layer in net.layers.values()) == 4


def test_a_loop_may_run_as_long_as_data_say():
    tape = F.Tape(dtype="float64")
    step = F.InnerProduct(num_output=2, bias_term=False, weight_filler={"type": "constant", "value": 0.75}, name="step")

    def run(start):
        with tape:
            x, steps = tape.input([start], "x"), 0
            while float(F.reduction(x, operation="SUMSQ")) < 100:
                x, steps = step(x), steps + 1
            return x, steps

    lengths = []
    for start in ([1.0, 2.0], [0.1, 0.1], [30.0, 4.0], [1.0, 2.0]):
        x, steps = run(start)
        lengths.append(steps)
        x.backward(np.ones((1, 2)))
        total, w = sum(start), 0.75
        np.testing.assert_allclose(x.data, [[total * w * (2 * w) ** (steps - 1)] * 2] if steps else [start])
        # each step multiplies the sum by 2 w, so the sum of x is total (2 w)^steps, and its slope by a common w is
        slope = total * steps * 2**steps * w ** (steps - 1) if steps else 0
        assert tape.params["step.weight"].diff.sum() == pytest.approx(slope)
        tape.zero()
    assert lengths == [4, 11, 0, 4]
    assert tape.to_yaml().count("type: InnerProduct") == 4


def test_a_branch_runs_what_python_chooses():
    tape = F.Tape()
    for sign, kind in ((1, "ReLU"), (-1, "TanH")):
        with tape:
            x = tape.input([[sign * 2.0]], "x")
            positive = F.expression(x, expr="x > 0", name="positive")
            assert bool(positive) == (float(x) > 0)
            F.relu(x) if positive else F.tanh(x)
        assert [each["type"] for each in tape.to_dict()["layers"]] == ["Input", "Expression", kind]


# -- what a tape writes down -----------------------------------------------------------------------------------------


def test_the_net_that_ran_gives_the_same_numbers():
    tape = F.Tape(seed=5)
    for step in range(3):
        if step:
            tape.backward()
            tape.update(0.1)
        with tape:
            x = tape.input(X[:, :, None], "x")
            h = F.relu(F.inner_product(x, num_output=6, weight_filler="xavier"))
            y = F.inner_product(F.dropout(h * h + h), num_output=3, weight_filler="xavier", name="scores")
            F.softmax_with_loss(y, LABELS, loss_weight=0.5)
            F.euclidean_loss(h, np.zeros((4, 6)))
            F.accuracy(y, LABELS)
    net = expect_same_net(tape)
    assert net.name == "recorded"
    assert {"name": "relu1", "type": "ReLU", "bottom": "inner_product1"} in tape.to_dict()["layers"]


def test_dropout_draws_anew_in_each_run_and_the_net_draws_the_last():
    tape, ones = F.Tape(seed=2), np.ones((3, 40))
    masks = []
    for _ in range(3):
        with tape:
            first, second = F.dropout(ones), F.dropout(ones)
        masks += [first.data, second.data]
    assert len({mask.tobytes() for mask in masks}) == 6
    net = tape.to_net()
    net.forward()
    np.testing.assert_array_equal(net.blobs["dropout1"].data, masks[-2])
    np.testing.assert_array_equal(net.blobs["dropout2"].data, masks[-1])


def test_a_tape_reads_data_from_where_it_stands():
    tape = F.Tape()
    seen = []
    for _ in range(2):
        with tape:
            data, label = F.data(dataset="digits", batch_size=7, top=["data", "label"])
            F.softmax_with_loss(F.inner_product(data, num_output=10), label)
        seen.append(label.data)
    assert not np.array_equal(*seen)
    net = tape.to_net()
    net.forward()
    np.testing.assert_array_equal(net.blobs["label"].data, seen[1])
    tape.close()
    net.close()


def test_states_go_on_from_run_to_run():
    """An LSTM that goes on (cont is 1) begins with what the last run left."""
    tape, x = F.Tape(dtype="float64"), RNG.normal(size=(2, 3, 4))
    outputs = []
    for begins in (0, 1):
        with tape:
            cont = np.full((2, 3), 1.0)
            cont[0] = begins
            outputs.append(F.lstm(x, cont, num_output=5, weight_filler="xavier", name="memory"))
    assert not np.allclose(outputs[0].data, outputs[1].data)
    net = tape.to_net()
    net.forward()
    np.testing.assert_array_equal(net.blobs["memory"].data, outputs[1].data)


# -- training --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"type": "Adam", "momentum": 0.9},
        {"momentum": 0.9, "weight_decay": 0.01, "iter_size": 2},
        {"clip_gradients": 0.2, "lr_policy": "step", "gamma": 0.5, "stepsize": 3},
        {"clip_value": 0.03, "clip_layer_norm": 0.1, "lr_policy": "poly", "power": 1.0, "warmup_iter": 2},
        {"lr_policy": "cosine", "end_factor": 0.5, "clip_layer_norm": 0.2, "iter_size": 2},
    ],
)
def test_a_net_trains_as_a_solver_trains_it(settings):
    tape = F.Tape()
    updater = F.Updater(tape, base_lr=0.05, max_iter=8, **settings)
    first = None
    for _ in range(8):
        with tape:
            h = F.tanh(F.inner_product(tape.input(X, "x"), num_output=6, weight_filler="xavier", name="fc1"))
            y = F.inner_product(h, num_output=3, weight_filler="xavier", name="fc2")
            loss = F.softmax_with_loss(y, tape.input(LABELS, "label"))
        first = float(loss) if first is None else first
        for _ in range(settings.get("iter_size", 1)):
            loss.backward()
        updater.update()
    assert not any(blob.diff.any() for blob in tape.params.values())
    run = {"net": tape.to_dict(), "engine": "numpy", "solver": {"base_lr": 0.05, "max_iter": 8, **settings}}
    solver = lk.Solver(run)
    for name, data in (("x", X), ("label", LABELS)):
        solver.net.blobs[name].data[...] = data
    solver.step(8)
    assert updater.lr == solver.lr
    for key, blob in tape.params.items():
        np.testing.assert_allclose(solver.net.flat.slots[key].blob.data, blob.data, rtol=1e-6, atol=1e-7)
    assert float(loss) < first


def test_gradients_add_up_until_they_are_set_to_zero():
    with F.Tape() as tape:
        y = F.inner_product(tape.input(X, "x"), num_output=1, name="fc", weight_filler="xavier")
        loss = F.reduction(y)
    loss.backward()
    once = tape.params["fc.weight"].diff.copy()
    loss.backward()
    np.testing.assert_array_equal(tape.params["fc.weight"].diff, 2 * once)
    np.testing.assert_array_equal(y.diff, np.full((4, 1), 2))
    tape.zero()
    assert not tape.params["fc.weight"].diff.any()
    assert not y.diff.any()
