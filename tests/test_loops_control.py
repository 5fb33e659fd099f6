"""Repeat and Cond: what ran, by hand; and what is wrong with a body, with its place."""

from __future__ import annotations

import numpy as np
import pytest
from loop_tools import check_gradients, net_of, product

import layerkit as lk

ROOT = {
    "type": "Repeat",
    "bottom": ["a"],
    "states": {"x": {"next": "x_new", "start": "a"}},
    "outputs": ["x_new"],
    "body": [
        {"name": "x_new", "type": "Expression", "bottom": "x", "expr": "x - (x * x - 2) / (2 * x)"},
        {"name": "near", "type": "Expression", "bottom": "x_new", "expr": "abs(x_new * x_new - 2) < 0.001"},
    ],
}
START = np.array([[1.0, 3.0], [2.0, 40.0]])


def newton(x: np.ndarray, times: int) -> np.ndarray:
    for _ in range(times):
        x = x - (x * x - 2) / (2 * x)
    return x


@pytest.mark.parametrize("phase", ["train", "test"])  # in test, one step's memory serves all
def test_repeat_until_the_condition_holds_everywhere(phase: str) -> None:
    net = net_of({**ROOT, "until": "near", "max_times": 20}, {"a": (2, 2)}, phase=phase)
    for start in (START, START[:, :1], START[:1, :1]):
        times = next(k for k in range(1, 20) if (abs(newton(start, k) ** 2 - 2) < 0.001).all())
        got = net.forward(a=start)["rnn"]
        assert net.layers["rnn"].ran == times
        np.testing.assert_allclose(got, newton(start, times), rtol=1e-14)
        net.backward(rnn=np.ones_like(got))
        along = 1e-7 * np.ones_like(start)
        slope = (newton(start + along, times) - newton(start - along, times)) / 2e-7
        np.testing.assert_allclose(net.blobs["a"].diff, slope, rtol=1e-5, atol=1e-8)


def test_repeat_ends_at_max_times() -> None:
    net = net_of({**ROOT, "until": "near", "max_times": 4}, {"a": (2, 2)})
    np.testing.assert_allclose(net.forward(a=START)["rnn"], newton(START, 4), rtol=1e-14)
    assert net.layers["rnn"].ran == 4


def test_repeat_is_the_same_to_the_bit_where_it_recomputes() -> None:
    nets = [net_of({**ROOT, "times": 7, "recompute": way}, {"a": (2, 2)}, dtype="float32") for way in (False, True)]
    outputs = [net.forward(a=START)["rnn"].tobytes() for net in nets]
    diffs = [net.backward(rnn=np.ones((2, 2)))["a"].tobytes() for net in nets]
    assert outputs[0] == outputs[1]
    assert diffs[0] == diffs[1]


CHOICE = {
    "type": "Cond",
    "bottom": ["x", "c"],
    "condition": "c",
    "outputs": ["y"],
    "then": [product("fc", "x", 5), {"name": "y", "type": "TanH"}],
    "otherwise": [product("fc", "x", 5), {"name": "y", "type": "Power", "scale": -1}],
}
X = np.random.default_rng(0).normal(size=(4, 3))


def branch(net: lk.Net, name: str, x: np.ndarray) -> np.ndarray:
    w, b = (net.params["rnn"][f"{name}/fc.{what}"].data for what in ("weight", "bias"))
    return np.tanh(x @ w.T + b) if name == "then" else -(x @ w.T + b)


@pytest.mark.parametrize("engine", ["numpy", "auto"])
def test_cond_runs_one_body_for_a_batch(engine: str) -> None:
    net = net_of(CHOICE, {"x": (4, 3), "c": (1,)}, dtype="float32", engine=engine)
    for value, name, other in ((1, "then", "otherwise"), (0, "otherwise", "then"), (-2, "then", "otherwise")):
        np.testing.assert_allclose(net.forward(x=X, c=[value])["rnn"], branch(net, name, X), rtol=1e-5, atol=1e-6)
        net.backward(rnn=np.ones((4, 5)))
        assert net.params["rnn"][f"{name}/fc.weight"].diff.any()
        assert not net.params["rnn"][f"{other}/fc.weight"].diff.any()


def test_cond_by_sample_sends_each_row_through_its_body() -> None:
    net = net_of({**CHOICE, "by": "sample"}, {"x": (4, 3), "c": (4,)})
    rng = np.random.default_rng(1)
    for rows in (4, 7, 2, 0, 4):
        x, c = rng.normal(size=(rows, 3)), rng.integers(0, 2, rows)
        want = np.where(c[:, np.newaxis], branch(net, "then", x), branch(net, "otherwise", x))
        np.testing.assert_allclose(net.forward(x=x, c=c)["rnn"], want, atol=1e-12)
    check_gradients(net, {"x": X.copy(), "c": np.array([1.0, 0, 0, 1])}, ("c",))


def test_each_sample_goes_alone_through_a_body_that_mixes_rows() -> None:
    """MVN across all axes of a batch would mix its rows; here each has mean 0 by itself."""
    centred = [{"name": "y", "type": "Expression", "bottom": "x", "expr": "x - mean(x)"}]
    same = [{"name": "y", "type": "Power", "bottom": "x"}]
    net = net_of({**CHOICE, "by": "sample", "then": centred, "otherwise": same}, {"x": (4, 3), "c": (4,)})
    got = net.forward(x=X, c=[1, 0, 1, 1])["rnn"]
    np.testing.assert_allclose(got[[0, 2, 3]].mean(axis=1), 0, atol=1e-12)
    np.testing.assert_array_equal(got[1], X[1])
    check_gradients(net, {"x": X.copy(), "c": np.array([1.0, 0, 1, 1])}, ("c",))


def test_cond_and_repeat_inside_a_recurrent() -> None:
    """In each step half of the state, again and again until it is small, for the rows that the input says."""
    halve = [{"name": "half", "type": "Power", "bottom": "v", "scale": 0.5}]
    small = [{"name": "small", "type": "Expression", "bottom": "half", "expr": "abs(half) < 1"}]
    shrink = {
        "name": "y",
        "type": "Repeat",
        "bottom": "u",
        "states": {"v": {"next": "half", "start": "u"}},
        "outputs": "half",
        "until": "small",
        "max_times": 9,
        "body": [*halve, *small],
    }
    body = [
        {"name": "u", "type": "Eltwise", "bottom": ["x", "h"]},
        {
            "name": "h_new",
            "type": "Cond",
            "bottom": ["u", "c"],
            "condition": "c",
            "by": "sample",
            "outputs": "y",
            "then": [shrink],
            "otherwise": [{"name": "y", "type": "Power", "bottom": "u"}],
        },
    ]
    layer = {"type": "Recurrent", "bottom": ["x", "c"], "states": {"h": {"next": "h_new"}}, "outputs": "h_new"}
    net = net_of({**layer, "body": body}, {"x": (5, 2, 3), "c": (5, 2)})
    rng = np.random.default_rng(2)
    x, c = rng.uniform(1, 4, (5, 2, 3)), rng.integers(0, 2, (5, 2)).astype(float)
    got = net.forward(x=x, c=c)["rnn"]
    h = np.zeros((2, 3))
    for t in range(5):
        h = h + x[t]
        for n in range(2):
            while c[t, n]:
                h[n] *= 0.5
                if (abs(h[n]) < 1).all():
                    break
        np.testing.assert_allclose(got[t], h, atol=1e-12)
    check_gradients(net, {"x": x, "c": c}, ("c",))


def test_to_differentiate_elsewhere_does_not_change_how_often_a_body_ran() -> None:
    net = net_of({**ROOT, "until": "near", "max_times": 20}, {"a": (2, 2)})
    net.forward(a=START)
    want = net.backward(rnn=np.ones((2, 2)))["a"].copy()
    ran = net.layers["rnn"].ran
    net.blobs["a"].data[...] = 1.41
    net.jvp(a=np.ones((2, 2)))
    assert net.layers["rnn"].ran == ran
    np.testing.assert_array_equal(net.backward(rnn=np.ones((2, 2)))["a"], want)
