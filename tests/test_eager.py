"""Define by run: calls that compute at once, their gradients, and the net that a tape writes down."""

import numpy as np
import pytest

import layerkit as lk
import layerkit.eager as F  # noqa: N812 - as in the guide
from layerkit.registry import layer_types

RNG = np.random.default_rng(7)
X = RNG.normal(size=(4, 5))
LABELS = np.array([0, 2, 1, 2])


def differences(tape, compute, array, step=1e-6):
    """The gradient of what `compute` returns by central differences, of an array that it reads."""
    found = np.empty_like(array)
    for index in np.ndindex(array.shape):
        before = array[index]
        values = []
        for moved in (before + step, before - step):
            array[index] = moved
            with tape:
                values.append(float(compute()))
        array[index] = before
        found[index] = (values[0] - values[1]) / (2 * step)
    return found


def expect_same_net(tape):
    """The net that the tape writes down computes what the tape did, to the bit, forward and backward."""
    tape.zero()
    tape.backward()
    net = tape.to_net()
    net.forward()
    net.backward()
    slots = net.flat.slots.values()
    diffs = {slot.uses[0].key: slot.blob.diff for slot in slots if slot.trained}
    assert {key: diff.tolist() for key, diff in diffs.items()} == {
        key: blob.diff.tolist() for key, blob in tape.params.items() if blob.diff.any() or key in diffs
    }
    variables = [each for step in tape.steps for each in ((step,) if isinstance(step, F.Variable) else step.tops)]
    net.backward(**{each.name: np.full(each.shape, each.loss_weight) for each in variables if each.loss_weight})
    for variable in variables:  # this pass goes to the inputs, as a tape's does
        np.testing.assert_array_equal(net.blobs[variable.name].data, variable.data, strict=True)
        np.testing.assert_array_equal(net.blobs[variable.name].diff, variable.diff, strict=True)
    assert lk.Net(tape.to_yaml()).graph.shapes == net.graph.shapes
    return net


# -- one call --------------------------------------------------------------------------------------------------------


def test_calls_compute_at_once_and_gradients_come_back():
    tape = F.Tape(dtype="float64")

    def compute():
        h = F.tanh(F.inner_product(X, num_output=3, weight_filler="xavier", name="fc"))
        return F.softmax_with_loss(h, LABELS)

    with tape:
        loss = compute()
    loss.backward()
    weight, bias = (tape.params[f"fc.{name}"] for name in ("weight", "bias"))
    got = {blob: blob.diff.copy() for blob in (weight, bias)}
    scores = np.tanh(X @ weight.data.T + bias.data)
    picked = np.exp(scores)[range(4), LABELS] / np.exp(scores).sum(axis=1)
    assert float(loss) == pytest.approx(-np.log(picked).mean(), rel=1e-12)
    for blob, gradient in got.items():
        np.testing.assert_allclose(gradient, differences(tape, compute, blob.data), rtol=1e-6, atol=1e-9)


def test_variables_combine_by_operators():
    with F.Tape(dtype="float64") as tape:
        a, b = tape.input([[2.0, -3.0]], "a"), tape.input([[5.0, 0.5]], "b")
        made = {
            "add": (a + b, 1, 1),
            "sub": (a - b, 1, -1),
            "mul": (a * b, b.data, a.data),
            "div": (a / b, 1 / b.data, -a.data / b.data**2),
            "pow": (a**2, 2 * a.data, 0),
            "left": (1 - 2 * a + [[1, 1]], -2, 0),
            "over": (1 / b, 0, -1 / b.data**2),
            "twice": (b * b, 0, 2 * b.data),
            "power": (2**b, 0, 2**b.data * np.log(2)),
            "negative": (-a, -1, 0),
            "array": (np.array([[3.0, 4.0]]) * a, [[3, 4]], 0),
        }
    for y, da, db in made.values():
        tape.zero()
        y.backward(np.ones(y.shape))
        np.testing.assert_allclose(a.grad, np.broadcast_to(da, a.shape))
        np.testing.assert_allclose(b.diff, np.broadcast_to(db, b.shape))
    with tape:
        m, n = tape.input(X), tape.input(X.T[:, :3])
        product, other = m @ n, X.T @ m
    np.testing.assert_allclose(product.data, X @ X.T[:, :3])
    np.testing.assert_allclose(other.data, X.T @ X)
    assert np.asarray(product, "float32").dtype == np.float32
    assert len(product) == 4


def test_every_type_is_a_function_and_an_object():
    names = set(dir(F))
    for type in layer_types():
        function = getattr(F, F.snake_case(type)) if type != "Input" else None
        assert {type, F.snake_case(type)} <= names
        if function is not None:
            assert function.__doc__ == lk.layer_class(type).__doc__
            assert function.__name__ == F.snake_case(type)
        reserved = {"name", "top", "weights_of", "type", "bottom", "include", "exclude"}
        assert reserved.isdisjoint(lk.layer_class(type).Params.model_fields)
    assert [F.snake_case(each) for each in ("ReLU6", "PReLU", "MeanIoU", "HDF5Data", "SmoothL1Loss", "TanH")] == [
        *("relu6", "prelu", "mean_iou", "hdf5_data", "smooth_l1_loss", "tanh")
    ]
    assert len({F.snake_case(type) for type in layer_types()}) == len(layer_types())
    with pytest.raises(AttributeError, match="no attribute 'inner_prodct'; did you mean 'inner_product'"):
        F.inner_prodct  # noqa: B018 - it is looked up


def test_a_layer_registered_later_is_there_too(monkeypatch):
    from layerkit import registry

    class Doubled(lk.Layer):
        def plan(self, x):
            return lk.Plan(tops=[x])

        def forward(self, bottom, top):
            top[0].data[...] = 2 * bottom[0].data

    monkeypatch.setitem(registry._types, "Doubled", Doubled)
    with F.Tape():
        assert F.doubled(X[:1, :2]).data.tolist() == (2 * X[:1, :2].astype("float32")).tolist()
        with pytest.raises(lk.LayerkitError, match=r"layer 'doubled2' \(Doubled\): Doubled has no backward pass"):
            F.doubled(X).backward(np.ones(X.shape))


def test_several_tops_are_a_tuple_and_none_is_none():
    with F.Tape(dtype="float64") as tape:
        left, right = F.slice(X, slice_point=[2], axis=1, top=2)
        q, f = F.expression(left, names=["x"], results={"q": "x + 1", "f": "q * q"}, top=["q", "f"])
        assert F.silence(right) == ()
    assert (left.shape, right.shape, q.name, f.name) == ((4, 2), (4, 3), "q", "f")
    f.backward(np.ones((4, 2)))
    np.testing.assert_allclose(left.diff, 2 * (X[:, :2] + 1))
    assert not right.diff.any()
    assert "top: [q, f]" in tape.to_yaml()


# -- weights ---------------------------------------------------------------------------------------------------------


def test_an_object_shares_its_weights_over_calls():
    tape = F.Tape(dtype="float64")
    cell = F.InnerProduct(num_output=5, weight_filler="xavier")

    def compute():
        h = F.sigmoid(cell(F.sigmoid(cell(F.sigmoid(cell(X))))))
        return F.reduction(h, loss_weight=1)

    with tape:
        compute()
    assert list(tape.params) == ["inner_product1.weight", "inner_product1.bias"]
    tape.backward()
    weight = tape.params["inner_product1.weight"]
    got = weight.diff.copy()
    np.testing.assert_allclose(got, differences(tape, compute, weight.data), rtol=1e-6, atol=1e-9)
    with tape:
        compute()
    net = expect_same_net(tape)
    assert net.params["inner_product1_3"].weight.data.base is net.params["inner_product1"].weight.data.base
    assert len(net.flat.slots) == 2


def test_weights_are_shared_by_name_by_call_and_by_param():
    with F.Tape() as tape:
        a = F.inner_product(X, num_output=5, name="fc")
        b = F.inner_product(a, num_output=5, name="fc")
        c = F.inner_product(b, num_output=5, weights_of=a)
        d = F.inner_product(c, num_output=5, weights_of="fc", bias_term=False)
        e = F.inner_product(d, num_output=5, param=[{"name": "fc.weight"}])
        F.euclidean_loss(e, X)
    assert list(tape.params) == ["fc.weight", "fc.bias", "inner_product3.bias"]
    expect_same_net(tape)


def test_runs_that_do_the_same_have_the_same_weights():
    tape = F.Tape(seed=4)
    seen = []
    for size in (4, 2, 3):
        with tape:
            y = F.inner_product(F.relu(F.inner_product(X[:size], num_output=6)), num_output=3)
        seen.append(list(tape.params))
    assert y.shape == (3, 3)
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) == 4


def test_a_test_tape_uses_the_weights_of_another():
    train = F.Tape()
    test = F.Tape("test", share=train)
    for tape in (train, train, test):
        with tape:
            y = F.batch_norm(F.inner_product(X, num_output=3, name="fc", weight_filler="xavier"), name="norm")
    statistics = {name: test.parameters.blobs[f"norm.{name}"].data for name in ("mean", "variance", "scale_factor")}
    x = X @ train.params["fc.weight"].data.T
    mean = statistics["mean"] / statistics["scale_factor"]
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-5)
    assert abs(y.data.mean(axis=0)).max() < 1e-5
    assert test.to_net().graph.state.phase == "test"


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
        assert tape.params["step.weight"].diff.sum() == pytest.approx(slope) if "step.weight" in tape.params else True
        tape.zero()
    assert lengths == [4, 11, 0, 4]
    assert tape.to_yaml().count("type: InnerProduct") == 4


def test_a_branch_runs_what_python_chooses():
    tape = F.Tape()
    for sign, kind in ((1, "ReLU"), (-1, "TanH")):
        with tape:
            x = tape.input([[sign * 2.0]], "x")
            F.relu(x) if float(x) > 0 else F.tanh(x)
        assert [each["type"] for each in tape.to_dict()["layers"]] == ["Input", kind]


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


@pytest.mark.parametrize("settings", [{}, {"type": "Adam", "momentum": 0.9}, {"momentum": 0.9, "weight_decay": 0.01}])
def test_a_net_trains_as_a_solver_trains_it(settings):
    tape = F.Tape()
    updater = F.Updater(tape, base_lr=0.05, **settings)
    for _ in range(8):
        with tape:
            h = F.tanh(F.inner_product(tape.input(X, "x"), num_output=6, weight_filler="xavier", name="fc1"))
            y = F.inner_product(h, num_output=3, weight_filler="xavier", name="fc2")
            loss = F.softmax_with_loss(y, tape.input(LABELS, "label"))
        loss.backward()
        updater.update()
    assert not any(blob.diff.any() for blob in tape.params.values())
    run = {"net": tape.to_dict(), "engine": "numpy", "solver": {"base_lr": 0.05, "max_iter": 8, **settings}}
    solver = lk.Solver(run)
    for name, data in (("x", X), ("label", LABELS)):
        solver.net.blobs[name].data[...] = data
    first = float(solver.net.forward()[loss.name])
    solver.step(8)
    for key, blob in tape.params.items():
        np.testing.assert_allclose(solver.net.flat.slots[key].blob.data, blob.data, rtol=1e-6, atol=1e-7)
    assert float(loss) < 0.9 * first


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


# -- what is wrong ---------------------------------------------------------------------------------------------------


def _wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_wrong_call_is_named_with_its_place():
    tape, other = F.Tape(), F.Tape()
    with other:
        foreign = other.input(1.0, "foreign")
    with tape:
        x = tape.input(X, "x")
        fc = F.inner_product(x, num_output=3, name="fc")
        place = r"test_eager\.py:\d+:\d+: "
        _wrong(lambda: F.relu(x, slop=1), lk.ConfigError, place + r"layer 'relu1' \(ReLU\): unknown field 'slop'")
        _wrong(lambda: F.eltwise(x, fc), lk.ConfigError, place + r"layer 'eltwise1' \(Eltwise\): .*4x5 and .* 4x3")
        _wrong(lambda: x + fc, lk.ConfigError, place + r"layer 'add1' \(Expression\): .*4x5 and 4x3")
        _wrong(lambda: F.eltwise(x), lk.ConfigError, r"\(Eltwise\): needs at least 2 bottoms, not 1")
        _wrong(lambda: F.relu(x, bottom="x"), lk.UsageError, "a call of ReLU cannot set 'bottom'")
        _wrong(lambda: F.inner_product(fc, num_output=3, name="fc"), lk.ShapeError, "'fc_2'.*'fc.weight' would be 3x3")
        _wrong(lambda: F.relu(foreign), lk.UsageError, "'foreign' is on another tape")
        _wrong(lambda: F.inner_product(x, num_output=3, weights_of="fd"), lk.UsageError, r"'fd.weight'; did you mean")
        _wrong(lambda: fc.backward(), lk.UsageError, "'fc' is 4x3, not one number; give its gradient")
        _wrong(lambda: fc.backward([1]), lk.ShapeError, "the diff of 'fc' is 4x3, not 1")
        _wrong(tape.backward, lk.UsageError, "the run has no loss")
        _wrong(lambda: tape.input([1], "start"), lk.UsageError, "the name of an input cannot be 'start'")
        _wrong(lambda: F.relu("x"), lk.UsageError, "'input' must be an array of numbers")
        assert [step.name for step in tape.steps if isinstance(step, F.Variable)] == ["x"]
    with tape:
        _wrong(lambda: F.relu(x), lk.UsageError, "'x' is of an earlier run of the tape; give its data")
        _wrong(lambda: F.inner_product(np.ones((2, 7)), num_output=3, name="fc"), lk.ShapeError, "fc.weight|weight of")
    _wrong(lambda: F.relu(X), lk.UsageError, "no tape is open")
    _wrong(lambda: F.Tape("predict"), lk.UnknownNameError, "phase of a tape")
    _wrong(lambda: F.Tape(dtype="int8"), lk.UnknownNameError, "float32")
    _wrong(lambda: F.Updater(tape, max_iter=3), lk.UnknownNameError, "setting of an updater")
    _wrong(lambda: F.Updater(tape, momentum=2), lk.ConfigError, "updater: momentum must be less than 1")


def test_weights_inside_a_body_are_shared_but_yaml_cannot_say_so(monkeypatch):
    from layerkit import registry

    class Within(lk.Layer):
        def plan(self, x):
            inner = {"name": "y", "type": "InnerProduct", "bottom": "x", "num_output": 5, "weight_filler": "xavier"}
            body = lk.Body("f", [inner], {"x": x}, ["y"])
            return lk.Plan(tops=[self.body_shapes(body)["y"]], bodies=[body])

        def forward(self, bottom, top):
            top[0].data[...] = self.bodies["f"].forward(x=bottom[0].data)["y"]

        def backward(self, top, propagate_down, bottom):
            bottom[0].diff[...] = self.bodies["f"].backward(y=top[0].diff)["x"]

    monkeypatch.setitem(registry._types, "Within", Within)
    with F.Tape(dtype="float64") as tape:
        y = F.within(X, name="once")
    y.backward(np.ones((4, 5)))
    np.testing.assert_allclose(tape.params["once.f/y.weight"].diff, np.tile(X.sum(axis=0), (5, 1)))
    net = tape.to_net()
    np.testing.assert_array_equal(net.forward()["once"], y.data)
    with tape:
        F.within(F.within(X, name="once"), name="once")
    assert len(tape.params) == 2
    _wrong(tape.to_yaml, lk.UsageError, r"layer 'once' \(Within\) shares 'f/y.weight', a weight inside its body")
