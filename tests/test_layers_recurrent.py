"""The recurrent layers: what they refuse, and whole nets over several batches, of other sizes, resumed, recomputed."""

from __future__ import annotations

import numpy as np
import pytest
from net_tools import check_gradients, fill, make
from pydantic import ValidationError

import layerkit as lk
from layerkit.checks import Case, prepare
from layerkit.errors import ShapeError, SnapshotError
from layerkit.registry import layer_class

KINDS = {"RNN": 1, "LSTM": 2, "GRU": 1}  # and how many states they have
UNIFORM = "weight_filler: {type: uniform, min: -1, max: 1}"


@pytest.mark.parametrize(
    ("kind", "params", "bottoms", "tops", "message"),
    [
        ("RNN", {}, [(4,), (4,)], 1, r"bottom 0 must be \(steps, sequences, \.\.\.\), not 4"),
        ("GRU", {}, [(4, 2, 3), (2, 4)], 1, "beside 4x2x3 it must be 4x2, not 2x4"),
        ("LSTM", {}, [(4, 2, 3), (4, 2), (4, 5)], 1, "a row for each of 2 sequences, but is 4x5"),
        ("LSTM", {}, [(4, 2, 3), (4, 2), (2, 5), (1, 2, 6)], 1, "expose_hidden false .* but there are 4"),
        ("LSTM", {"expose_hidden": True}, [(4, 2, 3), (4, 2)], 3, "static input, h_0, c_0; but there are 2"),
        ("RNN", {"expose_hidden": True}, [(4, 2, 3), (4, 2), (1, 2, 5)], 2, "bottom 2, .* must be 1x2x6, not 1x2x5"),
        ("GRU", {"expose_hidden": True}, [(4, 2, 3), (4, 2), (2, 5), (2, 6)], 2, "bottom 3, .* not 2x6"),
        ("LSTMUnit", {}, [(1, 2, 3), (1, 2, 9), (1, 2)], 2, "not 1x2x3, 1x2x9 and 1x2"),
        ("LSTMUnit", {}, [(1, 2, 3), (1, 2, 12), (2,)], 2, "not 1x2x3, 1x2x12 and 2"),
        ("LSTMUnit", {}, [(), (), ()], 2, "must be"),
    ],
)
def test_plan_refuses_bottoms(kind, params, bottoms, tops, message):
    params = params if kind == "LSTMUnit" else {"num_output": 6, **params}
    layer = layer_class(kind)(layer_class(kind).Params.model_validate(params), num_tops=tops)
    with pytest.raises(ShapeError, match=message) as caught:
        layer.plan(*bottoms)
    assert caught.value.field == "bottom"


@pytest.mark.parametrize(
    ("exposed", "tops", "message"), [(False, 2, "tops are y; but there are 2"), (True, 1, "y, h_T; but there are 1")]
)
def test_plan_refuses_tops(exposed, tops, message):
    params = layer_class("GRU").Params.model_validate({"num_output": 6, "expose_hidden": exposed})
    bottoms = [(4, 2, 3), (4, 2), *[(1, 2, 6)] * exposed]
    with pytest.raises(ShapeError, match=message) as caught:
        layer_class("GRU")(params, num_tops=tops).plan(*bottoms)
    assert caught.value.field == "top"


def test_parameters_refuse():
    for params in ({}, {"num_output": 0}, {"num_output": 4, "debug_info": True}):
        with pytest.raises(ValidationError):
            layer_class("LSTM").Params.model_validate(params)


def test_the_weights_have_caffes_names_order_and_layout():
    def planned(kind, *bottoms):
        layer = layer_class(kind)(layer_class(kind).Params.model_validate({"num_output": 5}))
        return [(weight.name, weight.shape) for weight in layer.plan(*bottoms).weights]

    assert planned("LSTM", (4, 2, 3), (4, 2), (2, 7)) == [
        ("W_xc", (20, 3)), ("b_c", (20,)), ("W_xc_static", (20, 7)), ("W_hc", (20, 5)),
    ]  # fmt: skip
    assert planned("RNN", (4, 2, 3), (4, 2), (2, 7)) == [
        ("W_xh", (5, 3)), ("b_h", (5,)), ("W_xh_static", (5, 7)), ("W_hh", (5, 5)), ("W_ho", (5, 5)), ("b_o", (5,)),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(0, 2), (4, 0)])
def test_without_steps_or_sequences_there_is_nothing_to_learn(kind, shape):
    static = [np.zeros((shape[1], 2))]
    case = Case(
        kind, "empty", [np.zeros((*shape, 3)), np.zeros(shape), *static], {"num_output": 5}, no_formula="no values"
    )
    lone = prepare(case)
    assert lone.forward()["top 0"].shape == (*shape, 5)
    assert not any(diff.any() for diff in lone.backward(lone.requests).values())


def test_extreme_gates_saturate_without_overflow():
    before, gates = np.array([[2.0]]), np.array([[-1e4, 1e4, 1e4, 0.0]])
    lone = prepare(Case("LSTMUnit", "extreme", [before, gates, np.ones(1)], num_tops=2, no_formula="values below"))
    assert lone.forward() == {"top 0": 2.0, "top 1": np.tanh(2.0)}


# -- whole nets ------------------------------------------------------------------------------------------------------


def net(kind, *, steps=6, streams=3, **options):
    return make(
        f"""
- {{name: data, type: Input, top: [x, cont, target], shape: [[{steps}, {streams}, 2], [{steps}, {streams}],
   [{steps}, {streams}, 5]]}}
- {{name: r, type: {kind}, bottom: [x, cont], num_output: 5, {UNIFORM}}}
- {{name: loss, type: EuclideanLoss, bottom: [r, target]}}
""",
        **options,
    )


def sequence(steps=6, streams=3, seed=0):
    rng = np.random.default_rng(seed)
    x, target = rng.uniform(-1, 1, (steps, streams, 2)), rng.uniform(-1, 1, (steps, streams, 5))
    cont = rng.uniform(size=(steps, streams)) < 0.8
    return {"x": x, "cont": cont, "target": target}


def part(given, steps=slice(None), streams=slice(None)):
    return {name: array[steps, streams] for name, array in given.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_two_batches_are_one_long_one(kind):
    whole, halves, given = net(kind), net(kind, steps=3), sequence()
    given["cont"][3] = 1, 0, 1
    whole.forward(**given)
    found = []
    for steps in (slice(3), slice(3, 6)):
        halves.forward(**part(given, steps))
        found.append(halves.blobs["r"].data.copy())
    np.testing.assert_allclose(np.concatenate(found), whole.blobs["r"].data, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_no_gradient_goes_into_the_batch_before(kind):
    """With the state that it begins with held fast, the gradient of a batch is that of finite differences."""
    n, given = net(kind), sequence()
    given["cont"][0] = 1
    n.forward(**sequence(seed=1))
    state = {name: array.copy() for name, array in vars(n.layers["r"].state).items()}
    assert all(array.any() for array in state.values())

    def loss():
        for name, array in state.items():
            getattr(n.layers["r"].state, name)[...] = array
        n.forward(**given)
        return n.loss

    loss()
    n.backward()
    for weight in n.params["r"]:
        diff, place = weight.diff.copy(), tuple(0 for _ in weight.shape)
        before, values = weight.data[place], []
        for step in (1e-6, -1e-6):
            weight.data[place] = before + step
            values.append(loss())
        weight.data[place] = before
        assert diff[place] == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_exposed_states_pass_gradients_from_one_layer_to_another(kind):
    states = [f"s{i}" for i in range(KINDS[kind])]
    listed, then = ", ".join(states), ", ".join(f"{name}_T" for name in states)
    last = ", ".join(f"{name}_end" for name in states)
    shapes = ", ".join(["[4, 2, 3]", "[4, 2]", "[4, 2, 3]", "[4, 2]", *["[1, 2, 5]"] * len(states)])
    n = make(
        f"""
- {{name: data, type: Input, top: [x, cont, x2, cont2, {listed}], shape: [{shapes}]}}
- {{name: a, type: {kind}, bottom: [x, cont, {listed}], top: [ya, {then}], num_output: 5, expose_hidden: true,
   {UNIFORM}}}
- {{name: b, type: {kind}, bottom: [x2, cont2, {then}], top: [yb, {last}], num_output: 5, expose_hidden: true,
   {UNIFORM}}}
- {{name: both, type: Eltwise, bottom: [ya, yb]}}
- {{name: zero, type: Power, bottom: both, scale: 0}}
- {{name: loss, type: EuclideanLoss, bottom: [both, zero]}}
"""
        + "".join(
            f"""
- {{name: half{name}, type: Power, bottom: {name}_end, scale: 0.5}}
- {{name: loss{name}, type: EuclideanLoss, bottom: [half{name}, {name}_end]}}
"""
            for name in states
        )
        + "force_backward: true"
    )
    fill(n)
    n.blobs["cont"].data[...] = [[1, 0], [1, 1], [0, 1], [1, 1]]
    n.blobs["cont2"].data[...] = [[1, 1], [1, 1], [1, 0], [1, 1]]
    assert not vars(n.layers["a"].state)
    check_gradients(n, "x", "x2", *states)


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_sequences_leave_the_others_states_and_more_begin_at_zero(kind):
    n, alone, given, more = net(kind), net(kind), sequence(), sequence(streams=4, seed=3)
    given["cont"][0], more["cont"][0] = 1, 1
    alone.load_weights(n.flat.arrays())
    n.forward(**given)
    n.forward(**part(given, streams=slice(2)))
    n.forward(**more)

    want = np.zeros((6, 4, 5))
    for stream in range(4):
        for array in vars(alone.layers["r"].state).values():
            array[...] = 0
        one = slice(stream, stream + 1)
        for batch in [*[part(given, streams=one)] * (2, 2, 1, 0)[stream], part(more, streams=one)]:
            alone.forward(**batch)
        want[:, stream] = alone.blobs["r"].data[:, 0]
    np.testing.assert_allclose(n.blobs["r"].data, want, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_longer_sequences_need_no_other_net(kind):
    n, given = net(kind), sequence(steps=9)
    n.forward(**given)
    assert n.blobs["r"].shape == (9, 3, 5)
    n.backward()
    assert all(weight.diff.any() for weight in n.params["r"])


@pytest.mark.parametrize("kind", KINDS)
def test_recomputed_states_go_on_from_where_they_were(kind):
    text = f"""
layers:
  - {{name: data, type: Input, top: [x, cont, target], shape: [[6, 3, 2], [6, 3], [6, 3, 5]]}}
  - {{name: r1, type: {kind}, bottom: [x, cont], num_output: 4, {UNIFORM}}}
  - {{name: drop, type: Dropout}}
  - {{name: r2, type: {kind}, bottom: [drop, cont], num_output: 5, {UNIFORM}}}
  - {{name: loss, type: EuclideanLoss, bottom: [r2, target]}}
"""
    nets = [lk.Net(source, dtype="float64", keep=keep) for source, keep in
            ((text, "all"), (text, ()), (f"recompute: true{text}", ()))]  # fmt: skip
    for other in nets[1:]:
        other.load_weights(nets[0].flat.arrays())
    for seed in range(3):
        diffs, states = [], []
        for n in nets:
            given = sequence(seed=seed)
            given["cont"][0] = 1
            n.forward(**given)
            n.backward()
            diffs.append(n.flat.diff.copy())
            states.append([a.copy() for name in ("r1", "r2") for a in vars(n.layers[name].state).values()])
        for diff, state in zip(diffs[1:], states[1:], strict=True):
            np.testing.assert_array_equal(diff, diffs[0])
            for a, b in zip(state, states[0], strict=True):
                np.testing.assert_array_equal(a, b)


RUN = """
name: run
net:
  layers:
    - {{name: steps, type: Data, top: [x, label, cont], dataset: test-steps, batch_size: {{train: 5, test: 4}}}}
    - {{name: r, type: {kind}, bottom: [x, cont], num_output: 4, {uniform}}}
    - {{name: fc, type: InnerProduct, num_output: 2, axis: 2, weight_filler: xavier}}
    - {{name: loss, type: SoftmaxWithLoss, bottom: [fc, label], axis: 2}}
solver: {{base_lr: 0.1, momentum: 0.9, max_iter: 14, test_interval: 3, snapshot: 4}}
"""


@pytest.mark.parametrize("kind", KINDS)
def test_resumed_equals_uninterrupted(kind, tmp_path):
    """Both nets carry states over batches of steps, the test net over a shorter last one, too."""
    rng = np.random.default_rng(0)
    parts = {
        name: {
            "data": rng.uniform(-1, 1, (length, 3, 2)),
            "label": rng.integers(0, 2, (length, 3)),
            "cont": rng.integers(0, 5, (length, 3)) > 0,
        }
        for name, length in (("train", 23), ("test", 11))
    }
    lk.add_dataset("test-steps", **parts)
    text = RUN.format(kind=kind, uniform=UNIFORM)
    whole = lk.Solver(text, folder=tmp_path / "whole")
    outputs = whole.solve()
    for iteration in (4, 8, 12):
        solver = lk.Solver(text, folder=tmp_path / f"from{iteration}")
        assert solver.restore(tmp_path / "whole" / f"iter_{iteration}.state.safetensors") == []
        for phase in (solver.net, solver.test_net):
            assert all(array.any() for array in vars(phase.layers["r"].state).values())
        assert solver.solve() == outputs
        np.testing.assert_array_equal(solver.net.flat.data, whole.net.flat.data)
        for one, other in ((solver.net, whole.net), (solver.test_net, whole.test_net)):
            for name, array in vars(one.layers["r"].state).items():
                np.testing.assert_array_equal(array, getattr(other.layers["r"].state, name))


def test_a_state_for_another_number_of_sequences_is_refused(tmp_path):
    data = np.ones((6, 3, 2)), np.ones((6, 2, 2))
    text = RUN.format(kind="GRU", uniform=UNIFORM)
    for x, check in zip(data, (False, True), strict=True):
        part = {"data": x, "label": np.zeros(x.shape[:2]), "cont": np.ones(x.shape[:2])}
        lk.add_dataset("test-steps", train=part, test=part)
        solver = lk.Solver(text, folder=tmp_path / str(check))
        if check:
            with pytest.raises(SnapshotError, match=r"state.train.r.h.* was float32 \[3, 4\] and is float32 \[2, 4\]"):
                solver.restore(tmp_path / "False" / "iter_1.state.safetensors")
        else:
            solver.step()
            solver.snapshot()


PARITY = """
name: parity
net:
  layers:
    - {{name: rows, type: Data, top: [data, label, cont], dataset: parity, batch_size: {{train: 20, test: 180}}}}
    - {{name: steps, type: Permute, bottom: data, order: [1, 0, 2]}}
    - {{name: goes_on, type: Permute, bottom: cont, order: [1, 0]}}
    - {{name: answer, type: Permute, bottom: label, order: [1, 0]}}
    - {{name: r, type: {kind}, bottom: [steps, goes_on], num_output: 4, {uniform}}}
    - {{name: fc, type: InnerProduct, num_output: 2, axis: 2, weight_filler: xavier}}
    - {{name: loss, type: SoftmaxWithLoss, bottom: [fc, answer], axis: 2}}
solver: {{base_lr: 0.1, max_iter: 4, test_interval: 1, snapshot: 2}}
"""


@pytest.mark.parametrize("kind", KINDS)
def test_resumed_after_a_test_whose_last_batch_has_fewer_sequences(kind, tmp_path):
    """500 rows in batches of 180 leave 140; the state in the snapshot is still that of 180 sequences."""
    text = PARITY.format(kind=kind, uniform=UNIFORM)
    whole = lk.Solver(text, folder=tmp_path / "whole")
    outputs = whole.solve()
    assert whole.test_net.blobs["r"].shape == (32, 140, 4)
    solver = lk.Solver(text, folder=tmp_path / "resumed")
    assert solver.restore(tmp_path / "whole" / "iter_2.state.safetensors") == []
    assert solver.test_net.layers["r"].state.h.shape == (180, 4)
    assert solver.solve() == outputs
    for name, array in vars(solver.test_net.layers["r"].state).items():
        np.testing.assert_array_equal(array, getattr(whole.test_net.layers["r"].state, name))
