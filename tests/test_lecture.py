"""The lecture's configs: the numbers that each file states, and the rules that it is an example of."""

import re
from fractions import Fraction

import numpy as np
import pytest
from config_tools import FOLDER, config, told_in_python

import layerkit as lk
from layerkit.graph import load

README = (FOLDER / "lecture" / "README.md").read_text(encoding="utf-8")
IN_ORDER = (
    *("linear_classifier", "gradient_descent", "mini_batches", "least_squares", "sigmoid_perceptron", "two_layers"),
    *("three_layers", "sum_times", "two_paths", "many_inputs", "gates", "branch", "sigmoid_layer"),
    "recurrent_cell",
)


def lecture(name):
    return config(f"lecture/{name}")


def told(name, capsys):
    """What the Python in a config's comments leaves behind, and what it prints."""
    space = {}
    exec(told_in_python(f"lecture/{name}"), space)
    return space, capsys.readouterr().out


def solve(name, *overrides):
    """The last test of a training, and its solver."""
    solver = lk.Solver(lecture(name), overrides=overrides)
    outputs = solver.solve()
    solver.close()
    return outputs, solver


def numbers(blobs, field="data"):
    return {name: getattr(blob, field).item() for name, blob in blobs.items()}


# -- the guide through them ----------------------------------------------------------------------------------------


def test_the_readme_leads_through_all_of_them_in_order():
    linked = re.findall(r"^\d+\. .*\]\((?:\.\./)?(\w+)\.yaml\)", README, re.MULTILINE)
    assert sorted(path.stem for path in (FOLDER / "lecture").glob("*.yaml")) == sorted(IN_ORDER)
    assert linked == [*IN_ORDER, "alexnet", "ntm_copy"]
    assert max(map(len, README.splitlines())) <= 120


def test_the_commands_of_the_readme_run(command):
    commands = re.findall(r"^ +layerkit (.+)$", README, re.MULTILINE)
    assert len(commands) == len(IN_ORDER) + 2
    for line in commands:
        verb, file, *_ = line.split()
        if verb == "train":  # such a line of a file's own comments is tried with all others
            assert f"#     layerkit {line}\n" in (FOLDER.parent / file).read_text()
        else:
            assert command(*line.split()).status == 0, line


# -- linear_classifier ---------------------------------------------------------------------------------------------

PIXELS = (56, 231, 24, 2)
W = (("0.2", "-0.5", "0.1", "2.0"), ("1.5", "1.3", "2.1", "0.0"), ("0", "0.25", "0.2", "-0.3"))
B = ("1.1", "3.2", "-1.2")


def test_the_linear_classifiers_scores_are_exact_arithmetic():
    exact = [
        sum(Fraction(w) * x for w, x in zip(row, PIXELS, strict=True)) + Fraction(b)
        for row, b in zip(W, B, strict=True)
    ]
    assert exact == [Fraction("-96.8"), Fraction("437.9"), Fraction("60.75")]
    net = lk.Net(lecture("linear_classifier"), phase="predict", dtype="float64")
    net.params["scores"].weight.data[...] = np.array(W, float)
    net.params["scores"].bias.data[...] = np.array(B, float)
    net.forward(image=[PIXELS])
    assert net.blobs["scores"].data[0] == pytest.approx([-96.8, 437.9, 60.75], rel=1e-14)


def test_the_linear_classifiers_comments(folder, capsys):
    space = {}
    exec(told_in_python("lecture/linear_classifier"), space)
    assert capsys.readouterr().out == "[[-96.8  437.9   60.75]]\n"
    net = space["net"]
    assert net.forward(image=[PIXELS], label=[1])["loss"] == pytest.approx(0)
    smallest = np.finfo(np.float32).tiny  # Caffe takes the logarithm of nothing smaller
    assert net.forward(image=[PIXELS], label=[2])["loss"] == pytest.approx(-np.log(smallest), rel=1e-6)
    net.backward()
    assert net.params["scores"].weight.diff == pytest.approx(np.array([[0] * 4, PIXELS, [-x for x in PIXELS]]))


# -- sigmoid_perceptron --------------------------------------------------------------------------------------------


def test_a_step_of_the_perceptron_is_the_delta_rule():
    solver = lk.Solver(lecture("sigmoid_perceptron"), dtype="float64")
    eta, (weight, bias) = solver.spec.base_lr, solver.net.params["sum"]
    for _ in range(3):
        w, b = weight.data.copy(), bias.data.copy()
        solver.step()
        x = solver.net.blobs["data"].data.reshape(64, 64)
        s = 1 / (1 + np.exp(-(x @ w.T + b)))
        target = (solver.net.blobs["label"].data == 0)[:, None]
        delta = target - s
        assert weight.data == pytest.approx(w + 2 * eta * (delta * s * (1 - s) * x).sum(0), rel=1e-9)
        assert bias.data == pytest.approx(b + 2 * eta * (delta * s * (1 - s)).sum(0), rel=1e-9)
    solver.close()


def test_the_perceptron_tells_zeros():
    solver = lk.Solver(lecture("sigmoid_perceptron"))
    outputs = solver.solve()
    solver.close()
    assert outputs["accuracy"] >= 0.98


# -- branch --------------------------------------------------------------------------------------------------------


def test_the_gates_gradients_are_those_of_the_comments(folder, capsys):
    space = {}
    exec(told_in_python("lecture/branch"), space)
    net = space["net"]
    shown = capsys.readouterr().out
    assert "-9." in shown
    value = {name: blob.data.item() for name, blob in net.blobs.items()}
    assert value == {"x": 3, "y": -4, "z": 2, "product": -12, "largest": 3, "f": -9}
    gradient = {name: blob.diff.item() for name, blob in net.blobs.items()}
    assert gradient == {"x": -3, "y": 3, "z": 0, "product": 1, "largest": 1, "f": 1}


def test_the_max_gate_chooses_the_other_way():
    net = lk.Net(lecture("branch"))
    assert net.forward(x=[3], y=[-4], z=[5])["f"].item() == -7
    gradient = {name: diff.item() for name, diff in net.backward(f=[1]).items()}
    assert gradient == {"x": -4, "y": 3, "z": 1}


def test_longer_blobs_go_through_the_gates_element_by_element():
    net = lk.Net(lecture("branch"))
    assert net.forward(x=[3, 1], y=[-4, 2], z=[2, 7])["f"].tolist() == [-9, 9]
    assert net.backward(f=[1, 1])["x"].tolist() == [-3, 2]


# -- gradient_descent, mini_batches ----------------------------------------------------------------------------------


def softmax_gradient(weight, bias, x, label):
    """Of the mean cross entropy of a linear classifier, by its formula."""
    scores = x @ weight.T + bias
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(label)), label.astype(int)] -= 1
    return p.T @ x / len(label), p.mean(axis=0)


@pytest.mark.parametrize(("name", "batch"), [("gradient_descent", 200), ("mini_batches", 20)])
def test_a_step_goes_down_the_mean_gradient_of_its_batch(name, batch):
    solver = lk.Solver(lecture(name), dtype="float64")
    weight, bias = solver.net.params["scores"]
    for _ in range(3):
        w, b = weight.data.copy(), bias.data.copy()
        solver.step()
        x, label = (solver.net.blobs[each].data for each in ("data", "label"))
        dw, db = softmax_gradient(w, b, x, label)
        assert len(x) == batch
        np.testing.assert_allclose(weight.data, w - solver.spec.base_lr * dw, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(bias.data, b - solver.spec.base_lr * db, rtol=1e-9, atol=1e-12)
    solver.close()


def test_the_mean_of_the_mini_batches_gradients_is_the_whole_gradient():
    whole, mini = (lk.Net(lecture(name), dtype="float64") for name in ("gradient_descent", "mini_batches"))
    whole.forward()
    whole.backward()
    diffs, seen = [], []
    for _ in range(10):
        mini.forward()
        mini.backward()
        diffs.append(mini.params["scores"].weight.diff.copy())
        seen.append(mini.blobs["data"].data.copy())
    np.testing.assert_allclose(np.mean(diffs, axis=0), whole.params["scores"].weight.diff, rtol=1e-12)
    order = np.concatenate(seen)
    assert sorted(map(tuple, order)) == sorted(map(tuple, whole.blobs["data"].data))  # the same samples
    assert np.std(diffs, axis=0).min() > 0.01  # each batch's is another
    whole.close()
    mini.close()


def test_gradient_descent_falls_in_every_step_and_mini_batches_end_lower():
    solver = lk.Solver(lecture("gradient_descent"))
    losses = []
    for _ in range(100):
        solver.step()
        losses.append(solver.net.loss)
    assert losses[0] == pytest.approx(np.log(2))
    assert all(np.diff(losses) < 0)
    exact = solver.test()
    solver.close()
    mini, _ = solve("mini_batches")
    assert mini["loss"] < exact["loss"] - 0.03
    assert min(mini["accuracy"], exact["accuracy"]) > 0.95
    for lr, end in ((2, 0.03), (20, 0.18)):
        _, other = solve("gradient_descent", f"solver.base_lr={lr}", "solver.test_interval=0")
        assert other.net.loss == pytest.approx(end, abs=0.006)


# -- least_squares ---------------------------------------------------------------------------------------------------


def test_least_squares_is_the_delta_rule_and_comes_to_the_normal_equations():
    solver = lk.Solver(lecture("least_squares"), dtype="float64")
    weight, bias = solver.net.params["y"]
    for _ in range(3):
        w, b, eta = weight.data.copy(), bias.data.copy(), solver.spec.base_lr
        solver.step()
        x, t = solver.net.blobs["x"].data, solver.net.blobs["t"].data[:, None]
        delta = t - (x @ w.T + b)
        np.testing.assert_allclose(weight.data, w + eta * (delta * x).mean(axis=0), rtol=1e-9)
        np.testing.assert_allclose(bias.data, b + eta * delta.mean(axis=0), rtol=1e-9)
    solver.step(300)
    best = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), t[:, 0], rcond=None)[0]
    np.testing.assert_allclose([*weight.data[0], *bias.data], best, atol=1e-6)
    np.testing.assert_allclose(best, [0.1, 0.1, 0], atol=0.005)
    solver.close()


def test_too_long_a_step_of_least_squares_ends_with_a_sentence():
    with pytest.raises(lk.LayerkitError, match="the loss is inf at iteration"):
        solve("least_squares", "solver.base_lr=0.2", "solver.display=0")


# -- two_layers, three_layers ----------------------------------------------------------------------------------------


def test_two_layers_tell_a_disc_from_a_ring_and_their_formula_is_the_stated_one():
    outputs, solver = solve("two_layers")
    assert outputs["accuracy"] > 0.96
    x, (w1, b1), (w2, b2) = solver.net.blobs["data"].data, solver.net.params["fc1"], solver.net.params["scores"]
    solver.net.forward(data=x, label=np.zeros(len(x)))
    hidden = np.maximum(0, x @ w1.data.T + b1.data)
    np.testing.assert_allclose(solver.net.blobs["scores"].data, hidden @ w2.data.T + b2.data, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "most"), [("net.layers.fc1.num_output=2", 0.85), ("net.layers.relu1.negative_slope=1", 0.6)]
)
def test_two_cuts_or_nothing_bent_are_not_enough(change, most):
    outputs, _ = solve("two_layers", change)
    assert outputs["accuracy"] < most


def test_three_layers_learn_heights():
    outputs, solver = solve("three_layers", "solver.max_iter=1000", "solver.stepsize=800")
    assert outputs["loss"] < 0.006  # of the best plane: 0.05
    assert [type(layer).__name__ for layer in solver.net.layers.values()] == [
        *("Data", "InnerProduct", "ReLU", "InnerProduct", "ReLU", "InnerProduct", "EuclideanLoss")
    ]


# -- graphs of a few numbers -----------------------------------------------------------------------------------------


def test_sum_times(capsys):
    space, shown = told("sum_times", capsys)
    net = space["net"]
    assert numbers(net.blobs) == {"x": -2, "y": 5, "z": -4, "q": 3, "f": -12}
    assert numbers(net.blobs, "diff") == {"x": -4, "y": -4, "z": 3, "q": -4, "f": 1}
    assert shown.startswith("-12.0\n")
    assert shown.endswith("3.0 -4.0\n")
    assert net.forward(x=-1.999, y=5, z=-4)["f"] == pytest.approx(-12 - 4 * 0.001)


def test_two_paths_are_added_in_both_modes(capsys):
    space, shown = told("two_paths", capsys)
    net = space["net"]
    assert "6.14112" in shown
    assert numbers(net.blobs) == pytest.approx({"x1": 2, "x2": 3, "a": 6, "b": np.sin(3), "f": 6 + np.sin(3)})
    reverse = {name: float(diff) for name, diff in net.vjp(f=1).items()}
    forward = {name: float(net.jvp({name: 1})["f"]) for name in ("x1", "x2")}
    assert reverse == pytest.approx({"x1": 3, "x2": 2 + np.cos(3)})
    assert forward == pytest.approx(reverse)
    assert reverse["x2"] == pytest.approx(1.01001, abs=1e-5)
    assert net.jvp(x1=1, x2=1)["f"] == pytest.approx(4.01001, abs=1e-5)
    second = {name: float(value) for name, value in net.hvp({"x2": 1}, {"f": 1}).items()}
    assert second == pytest.approx({"x1": 1, "x2": -np.sin(3)})


def test_many_inputs_cost_as_stated_in_either_mode(capsys, monkeypatch):
    counted = {"jvp": 0, "backward": 0}
    kind = lk.layer_class("InnerProduct")

    def counting(method):
        own = getattr(kind, method)

        def counted_method(self, *arguments):
            counted[method] += self.name == "y"
            return own(self, *arguments)

        return counted_method

    for method in counted:
        monkeypatch.setattr(kind, method, counting(method))
    space, shown = told("many_inputs", capsys)
    assert shown == "2 100 True\n"
    assert counted == {"jvp": 100, "backward": 2}
    products = sum(net.weight.data.size for net in space["net"].params.values() if len(net))
    assert products == 100 * 30 + 30 * 2 == 3060
    text = lecture("many_inputs").read_text()
    assert "2 x 3,060 =   6,120" in text
    assert "100 x 3,060 = 306,000" in text
    np.testing.assert_allclose(space["net"].jacobian("y", "x").reshape(2, 100), space["rows"], rtol=1e-5)


def test_gates_distribute_route_and_switch(capsys):
    space, _ = told("gates", capsys)
    net = space["net"]
    assert numbers(net.blobs) == {"x": 3, "y": -4, "z": 2, "w": -1, "product": -12, "largest": 2, "sum": -10, "f": -20}
    given = {"x": -8, "y": 6, "z": 2, "w": 0, "product": 2, "largest": 2, "sum": 2, "f": 1}
    assert numbers(net.blobs, "diff") == given
    net.forward(x=[3], y=[-4], z=[2], w=[5])
    assert {name: diff.item() for name, diff in net.backward(f=[1]).items()} == {"x": -8, "y": 6, "z": 0, "w": 2}


def test_the_sigmoid_layer_is_its_gates(capsys):
    space, _ = told("sigmoid_layer", capsys)
    net, s = space["net"], 1 / (1 + np.exp(-1))
    fast, slow = net.vjp(s=[[1]]), net.vjp(slow=[[1]])
    slope = s * (1 - s)
    exact = {"x": [[2 * slope, -3 * slope]], "a.weight": [[-slope, -2 * slope]], "a.bias": [slope]}
    for found in (fast, slow):
        assert found.keys() == exact.keys()
        for name, value in exact.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-6)
    net.backward(slow=[[1]])
    diffs = numbers({name: net.blobs[name] for name in ("below", "power", "minus", "a")}, "diff")
    assert diffs == pytest.approx({"below": -0.5344, "power": -0.5344, "minus": -0.1966, "a": 0.1966}, abs=1e-4)


def test_a_recurrent_cell_remembers_less_in_each_step(capsys):
    space, shown = told("recurrent_cell", capsys)
    h = [np.tanh(0.5)]
    h += [np.tanh(0.8 * h[0]), np.tanh(0.8 * np.tanh(0.8 * h[0]))]
    back = [1 - h[2] ** 2]  # of h[2] by what its tanh is taken of, then by that of the step before, and so on
    back += [back[0] * 0.8 * (1 - h[1] ** 2)]
    back += [back[1] * 0.8 * (1 - h[0] ** 2)]
    np.testing.assert_allclose(space["net"].blobs["h"].data.ravel(), h, rtol=1e-6)
    np.testing.assert_allclose(space["net"].blobs["x"].diff.ravel(), np.multiply(0.5, back[::-1]), rtol=1e-5)
    weights = space["net"].params["h"]
    assert weights["body/i2h.weight"].diff.item() == pytest.approx(back[2], rel=1e-5)  # x is 1 in the first step only
    assert weights["body/h2h.weight"].diff.item() == pytest.approx(back[1] * h[0] + back[0] * h[1], rel=1e-5)
    printed = [float(number) for number in re.findall(r"\d\.\d+", shown)]
    assert printed == pytest.approx([0.4621, 0.3537, 0.2757, 0.2034, 0.3234, 0.4620], abs=5e-5)


GIVEN = {
    "linear_classifier": "image=[[56,231,24,2]],label=1",
    "sum_times": "x=-2,y=5,z=-4",
    "two_paths": "x1=2,x2=3",
    "many_inputs": "x=0.1",
    "gates": "x=3,y=-4,z=2,w=-1",
    "branch": "x=3,y=-4,z=2",
    "sigmoid_layer": "x=[[-1,-2]]",
    "recurrent_cell": "x=[[[1]],[[0]],[[0]]]",
}


@pytest.mark.parametrize("name", IN_ORDER)
def test_each_can_be_drawn_and_stepped_through(command, name):
    given = ["--input", GIVEN[name]] if name in GIVEN else []
    outputs = ["--output", "slow"] if name == "sigmoid_layer" else []
    answer = command("trace", f"configs/lecture/{name}.yaml", *given, *outputs)
    assert answer.status == 0, answer.err
    assert "upstream x local = product" in answer.out
    assert command("draw", f"configs/lecture/{name}.yaml", "-o", f"{name}.svg").status == 0


# -- alexnet ---------------------------------------------------------------------------------------------------------


def test_alexnets_graph_is_as_large_as_stated():
    graph = load(config("alexnet"), ["predict"]).graphs["predict"]
    weights = {
        node.name: sum(int(np.prod(weight.shape)) for weight in node.plan.weights)
        for node in graph.nodes
        if node.plan.weights
    }
    assert list(weights) == ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
    assert sum(weights.values()) == 60_965_224
    assert f"{sum(weights.values()):,}" in README
