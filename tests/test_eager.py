"""Define by run: calls that compute at once, their gradients and weights, and what is wrong with them."""

import numpy as np
import pytest
from eager_tools import LABELS, X, differences, expect_same_net, wrong

import layerkit as lk
import layerkit.eager as F  # noqa: N812 - as in the guide
from layerkit.registry import layer_types
from layerkit.spec import SolverSpec

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


def test_an_object_has_weights_of_its_own_on_each_tape():
    """Whatever it was called before elsewhere: two objects never come to share weights by a number they both got."""
    first, second = (F.InnerProduct(num_output=5, weight_filler="xavier") for _ in range(2))
    one, other = F.Tape(), F.Tape()
    with one:
        first(X)
    with other:
        second(X)
        first(X)
        first(X)
    test = F.Tape("test", share=other)
    with test:
        F.InnerProduct(num_output=5, name=None)(X)
        y = first(X)
    assert len(other.params) == 6
    assert [*one.params] == ["inner_product1.weight", "inner_product1.bias"]
    np.testing.assert_allclose(y.data, X @ other.params["inner_product2.weight"].data.T, rtol=1e-5, atol=1e-6)


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


# -- what is wrong ---------------------------------------------------------------------------------------------------


def test_a_wrong_call_is_named_with_its_place():
    tape, other = F.Tape(), F.Tape()
    with other:
        foreign = other.input(1.0, "foreign")
    with tape:
        x = tape.input(X, "x")
        fc = F.inner_product(x, num_output=3, name="fc")
        place = r"test_eager\.py:\d+:\d+: "
        wrong(lambda: F.relu(x, slop=1), lk.ConfigError, place + r"layer 'relu1' \(ReLU\): unknown field 'slop'")
        wrong(lambda: F.eltwise(x, fc), lk.ConfigError, place + r"layer 'eltwise1' \(Eltwise\): .*4x5 and .* 4x3")
        wrong(lambda: x + fc, lk.ConfigError, place + r"layer 'add1' \(Expression\): .*4x5 and 4x3")
        wrong(lambda: F.eltwise(x), lk.ConfigError, r"\(Eltwise\): needs at least 2 bottoms, not 1")
        wrong(lambda: F.relu(x, bottom="x"), lk.UsageError, "a call of ReLU cannot set 'bottom'")
        wrong(lambda: F.inner_product(fc, num_output=3, name="fc"), lk.ShapeError, "'fc_2'.*'fc.weight' would be 3x3")
        wrong(lambda: F.relu(foreign), lk.UsageError, "'foreign' is on another tape")
        wrong(lambda: F.inner_product(x, num_output=3, weights_of="fd"), lk.UsageError, r"'fd.weight'; did you mean")
        wrong(lambda: fc.backward(), lk.UsageError, "'fc' is 4x3, not one number; give its gradient")
        wrong(lambda: fc.backward([1]), lk.ShapeError, "the diff of 'fc' is 4x3, not 1")
        wrong(tape.backward, lk.UsageError, "the run has no loss")
        wrong(lambda: tape.input([1], "start"), lk.UsageError, "the name of an input cannot be 'start'")
        wrong(lambda: F.relu(x, name=3), lk.UsageError, "the name of a layer is text, not 3")
        wrong(lambda: bool(x), lk.UsageError, "'x' is 4x5, not one number, so it is neither true nor false")
        wrong(lambda: F.relu("x"), lk.UsageError, "'input' must be an array of numbers")
        assert [step.name for step in tape.steps if isinstance(step, F.Variable)] == ["x"]
    with tape:
        wrong(lambda: F.relu(x), lk.UsageError, "'x' is of an earlier run of the tape; give its data")
        wrong(lambda: F.inner_product(np.ones((2, 7)), num_output=3, name="fc"), lk.ShapeError, "fc.weight|weight of")
    wrong(lambda: F.relu(X), lk.UsageError, "no tape is open")
    wrong(lambda: F.Tape("predict"), lk.UnknownNameError, "phase of a tape")
    wrong(lambda: F.Tape(dtype="int8"), lk.UnknownNameError, "float32")
    wrong(lambda: F.Updater(tape, test_iter=3), lk.UnknownNameError, "setting of an updater")
    wrong(
        lambda: F.Updater(tape, lr_policy="poly", power=1), lk.UsageError, "falls over max_iter updates; say how many"
    )
    wrong(lambda: F.Updater(tape, lr_policy="step", gamma=0.1), lk.ConfigError, "updater: .*stepsize")
    wrong(lambda: F.Updater(tape, lr_policy="plateau"), lk.UsageError, "'plateau' goes by tests, which a tape has not")
    wrong(lambda: F.Updater(tape, momentum=2), lk.ConfigError, "updater: momentum must be less than 1")


def test_every_setting_of_a_solver_is_an_updater_s_or_of_a_run_alone():
    of_a_run = {"average", "average_loss", "debug_info", "display", "early_stopping", "keep_best", "keep_last"}
    of_a_run |= {"max_epochs", "max_time", "plateau", "random_seed", "snapshot", "snapshot_after_train", "test_state"}
    of_a_run |= {"test_initialization", "test_interval", "test_iter", "train_state"}
    assert {*F.Updater.settings} == {*SolverSpec.model_fields} - of_a_run


def test_weights_inside_a_body_that_yaml_does_not_hold_are_shared_but_not_written_down(monkeypatch):
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
    wrong(
        tape.to_yaml, lk.UsageError, r"layer 'once' \(Within\) shares a weight inside its body .*: 'f' is not written"
    )
