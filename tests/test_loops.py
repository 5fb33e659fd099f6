"""Recurrent: bodies equal the built-in layers, a loop written by hand, and central differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from loop_tools import ROWS, SPREAD, STEPS, UNITS, WIDTH, cell, check_gradients, lent, net_of, product, simple

import layerkit as lk
from layerkit.engines import missing

GATES = [
    product("i2h", "x", 4 * UNITS),
    product("h2h", "h", 4 * UNITS, bias_term=False),
    {"name": "gates", "type": "Eltwise", "bottom": ["i2h", "h2h"]},
]
LSTM = {
    "c_new": "sigmoid(f) * c + sigmoid(i) * tanh(g)",
    "h_new": "sigmoid(o) * tanh(c_new)",
}
GRU = {"r": "sigmoid(ar + pr)", "z": "sigmoid(az + pz)", "n": "tanh(an + r * pn)", "h_new": "(1 - z) * n + z * h"}
BUILT_IN: dict[str, tuple[list[dict[str, Any]], list[str], str, dict[str, str]]] = {
    "RNN": (
        [*cell(), product("ho", "h_new", UNITS), {"name": "y", "type": "TanH"}],
        ["h"],
        "y",
        {
            "W_xh": "i2h.weight",
            "b_h": "i2h.bias",
            "W_hh": "h2h.weight",
            "W_ho": "ho.weight",
            "b_o": "ho.bias",
        },
    ),
    "LSTM": (
        [
            *GATES,
            {"name": "cut", "type": "Slice", "bottom": "gates", "top": ["i", "f", "o", "g"]},
            {
                "name": "cell",
                "type": "Expression",
                "bottom": ["i", "f", "o", "g", "c"],
                "top": ["c_new", "h_new"],
                "results": LSTM,
            },
        ],
        ["h", "c"],
        "h_new",
        {"W_xc": "i2h.weight", "b_c": "i2h.bias", "W_hc": "h2h.weight"},
    ),
    "GRU": (
        [
            product("i2h", "x", 3 * UNITS),
            product("h2h", "h", 3 * UNITS, bias_term=False),
            {"name": "a", "type": "Slice", "bottom": "i2h", "top": ["ar", "az", "an"]},
            {"name": "p", "type": "Slice", "bottom": "h2h", "top": ["pr", "pz", "p_n"]},
            {"name": "pn", "type": "Bias", "bottom": "p_n", "filler": {"value": 0.3}},
            {
                "name": "h_new",
                "type": "Expression",
                "bottom": ["ar", "az", "an", "pr", "pz", "pn", "h"],
                "results": GRU,
            },
        ],
        ["h"],
        "h_new",
        {"W_xh": "i2h.weight", "b_h": "i2h.bias", "W_hh": "h2h.weight", "b_hn": "pn.bias"},
    ),
}


@pytest.mark.parametrize("engine", ["numpy", "float32", "onednn"])
@pytest.mark.parametrize("kind", BUILT_IN)
def test_bodies_equal_the_built_in_layers(kind: str, engine: str) -> None:
    body, states, output, names = BUILT_IN[kind]
    if engine == "onednn" and missing("onednn"):
        pytest.skip(str(missing("onednn")))
    settings = (
        {"dtype": "float64"}
        if engine == "numpy"
        else {"dtype": "float32", "engine": engine.replace("float32", "numpy")}
    )
    inputs = {"x": (STEPS, ROWS, WIDTH), "cont": (STEPS, ROWS)}
    layer = simple(
        body,
        bottom=["x", "cont"],
        cont="cont",
        carry=True,
        states={state: {"next": f"{state}_new"} for state in states},
        outputs=[output],
    )
    ours = net_of(layer, inputs, **settings)
    theirs = net_of({"type": kind, "bottom": ["x", "cont"], "num_output": UNITS}, inputs, **settings)
    lent(ours, theirs, {name: f"body/{own}" for name, own in names.items()})
    allowed = 1e-10 if engine == "numpy" else 5e-6
    rng = np.random.default_rng(0)
    for _ in range(2):  # the second batch goes on where the first ended
        x, cont = rng.normal(size=inputs["x"]), rng.uniform(size=inputs["cont"]) > 0.3
        dy = rng.normal(size=(STEPS, ROWS, UNITS))
        got, want = (net.forward(x=x, cont=cont)["rnn"] for net in (ours, theirs))
        np.testing.assert_allclose(got, want, atol=allowed)
        got, want = (net.backward(rnn=dy)["x"] for net in (ours, theirs))
        np.testing.assert_allclose(got, want, atol=allowed)
        for name, own in names.items():
            got, want = ours.params["rnn"][f"body/{own}"].diff, theirs.params["rnn"][name].diff
            np.testing.assert_allclose(got, want, atol=allowed * 10, err_msg=name)


# -- against a loop by hand -------------------------------------------------------------------------------------------


def by_hand(net: lk.Net, x: np.ndarray, lengths: np.ndarray, way: str, reverse: bool) -> np.ndarray:
    """The simple cell's outputs, one sequence after the other."""
    w, b, u = (net.params["rnn"][f"{way}/{name}"].data for name in ("i2h.weight", "i2h.bias", "h2h.weight"))
    y = np.zeros((*x.shape[:2], len(b)))
    for n, length in enumerate(lengths):
        h = np.zeros(len(b))
        for t in reversed(range(int(length))) if reverse else range(int(length)):
            h = y[t, n] = np.tanh(w @ x[t, n] + b + u @ h)
    return y


LENGTHS = np.array([7, 0, 4])
X = np.random.default_rng(3).normal(size=(STEPS, ROWS, WIDTH))


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("ways", ["forward", "reverse", "bidirectional"])
def test_ways_and_lengths_equal_a_loop_by_hand(ways: str, lengths: np.ndarray | None) -> None:
    more = {} if ways == "forward" else {ways: True}
    given = {"x": X.copy()} if lengths is None else {"x": X.copy(), "n": lengths}
    layer = simple(
        bottom=list(given), outputs=["h_new", {"blob": "h_new", "take": "last"}], top=["all", "last"], **more
    )
    if lengths is not None:
        layer["lengths"] = "n"
    net = net_of(layer, {name: value.shape for name, value in given.items()})
    got = net.forward(**given)
    until = np.full(ROWS, STEPS) if lengths is None else lengths
    parts = [by_hand(net, X, until, "body", ways == "reverse")]
    lasts = [np.array([parts[0][0 if ways == "reverse" else max(0, length - 1), n] for n, length in enumerate(until)])]
    if ways == "bidirectional":
        parts.append(by_hand(net, X, until, "reverse", True))
        lasts.append(parts[1][0])
    np.testing.assert_allclose(got["all"], np.concatenate(parts, -1), atol=1e-12)
    np.testing.assert_allclose(got["last"], np.concatenate(lasts, -1), atol=1e-12)
    check_gradients(net, given, ("n",))


def test_padding_is_never_looked_at() -> None:
    layer = simple(bottom=["x", "n"], lengths="n", outputs=["h_new"])
    net = net_of(layer, {"x": X.shape, "n": (ROWS,)})
    x = X.copy()
    x[4:, 2] = 1e6
    x[:, 1] = -1e6
    kept = net.forward(x=X, n=LENGTHS)["rnn"].copy()
    np.testing.assert_array_equal(net.forward(x=x, n=LENGTHS)["rnn"], kept)
    diff = net.backward(rnn=np.ones_like(kept))["x"]
    assert not diff[4:, 2].any()
    assert not diff[:, 1].any()


def test_a_way_back_begins_at_each_sequence_s_last_step() -> None:
    """With cont, a sequence that begins in step 3 ends the one before it in step 2, from which that one is run back."""
    cont = np.ones((STEPS, ROWS))
    cont[3] = 0
    net = net_of(simple(bottom=["x", "cont"], cont="cont", reverse=True), {"x": X.shape, "cont": cont.shape})
    got = net.forward(x=X, cont=cont)["rnn"]
    full = np.full(ROWS, 3), np.full(ROWS, STEPS - 3)
    want = [by_hand(net, part, n, "body", True) for part, n in zip((X[:3], X[3:]), full, strict=True)]
    np.testing.assert_allclose(got, np.concatenate(want), atol=1e-12)
    check_gradients(net, {"x": X.copy(), "cont": cont}, ("cont",))


# -- starts, static inputs and what else goes in ---------------------------------------------------------------------


@pytest.mark.parametrize("ways", [{}, {"reverse": True}, {"bidirectional": True}, {"recompute": True}])
def test_gradients_of_everything_together(ways: dict[str, Any]) -> None:
    """Two states, one with a learned start and one from a bottom; a static input; cont and lengths; three outputs."""
    body = [
        product("i2h", "x", UNITS),
        product("h2h", "h", UNITS, bias_term=False),
        product("s2h", "s", UNITS),
        product("x2", "s2h", UNITS),
        {"name": "sum", "type": "Eltwise", "bottom": ["i2h", "h2h", "x2"]},
        {"name": "h_new", "type": "TanH"},
        product("g2g", "g", 2),
        product("h2g", "h_new", 2, param=[{"name": "shared"}, {}]),
        {"name": "g_new", "type": "Expression", "bottom": ["g2g", "h2g"], "expr": "tanh(g2g - h2g)"},
        product("y", "h_new", 2, param=[{"name": "shared"}, {}]),
    ]
    layer = simple(
        body,
        bottom=["x", "s", "g0", "cont", "n"],
        static=["s"],
        states={"h": {"next": "h_new", "start": "learned", "filler": SPREAD}, "g": {"next": "g_new", "start": "g0"}},
        outputs=["y", "h_new", {"blob": "g_new", "take": "last"}],
        top=["y", "h", "g"],
        cont="cont",
        lengths="n",
        **ways,
    )
    rng = np.random.default_rng(1)
    cont = (rng.uniform(size=(STEPS, ROWS)) > 0.3).astype(float)
    given = {
        "x": X.copy(),
        "s": rng.normal(size=(ROWS, 6)),
        "g0": rng.normal(size=(ROWS, 2)),
        "cont": cont,
        "n": LENGTHS,
    }
    net = net_of(layer, {name: value.shape for name, value in given.items()})
    assert {"h_start", "body/i2h.weight", "body/y.bias"} <= {*net.params["rnn"].names}
    check_gradients(net, given, ("cont", "n"))


def test_truncated_backpropagation_equals_chunks_by_hand() -> None:
    """truncate: 3 is three nets one after another, each of which begins with the states that the last one left."""
    long, given = net_of(simple(truncate=3), {"x": X.shape}), {"x": X.copy()}
    part = {"h": {"next": "h_new", "start": "h0"}}
    dy = np.random.default_rng(2).normal(size=(STEPS, ROWS, UNITS))
    y = long.forward(**given)["rnn"].copy()
    dx = long.backward(rnn=dy)["x"].copy()
    start, sums = np.zeros((ROWS, UNITS)), {}
    for first in (0, 3, 6):
        here = slice(first, first + 3)
        short = net_of(simple(states=part, bottom=["x", "h0"]), {"x": X[here].shape, "h0": start.shape})
        lent(long, short, {name: name for name in long.params["rnn"].names})
        got = short.forward(x=X[here], h0=start)["rnn"].copy()
        np.testing.assert_allclose(y[here], got, atol=1e-12)
        np.testing.assert_allclose(dx[here], short.backward(rnn=dy[here])["x"], atol=1e-12)
        for name, blob in short.params["rnn"].items():
            sums[name] = sums.get(name, 0) + blob.diff
        start = got[-1]
    for name, total in sums.items():
        np.testing.assert_allclose(long.params["rnn"][name].diff, total, atol=1e-12)


@pytest.mark.parametrize("engine", ["numpy", "auto"])
def test_recompute_is_the_same_to_the_bit(engine: str) -> None:
    body = [*cell(), {"name": "drop", "type": "Dropout", "bottom": "h_new"}]
    inputs, more = {"x": X.shape, "n": (ROWS,)}, {"bottom": ["x", "n"], "lengths": "n", "outputs": ["drop"]}
    nets = [
        net_of(simple(body, **more, recompute=way), inputs, dtype="float32", engine=engine) for way in (False, True)
    ]
    dy = np.random.default_rng(2).normal(size=(STEPS, ROWS, UNITS))
    for _ in range(3):
        outputs = [net.forward(x=X, n=LENGTHS)["rnn"].tobytes() for net in nets]
        diffs = [net.backward(rnn=dy)["x"].tobytes() for net in nets]
        assert outputs[0] == outputs[1]
        assert diffs[0] == diffs[1]
        assert nets[0].flat.diff.tobytes() == nets[1].flat.diff.tobytes()
    assert nets[1].bytes["blobs"] < nets[0].bytes["blobs"]


def test_a_body_may_hold_a_recurrent() -> None:
    """Words of letters: the inner loop reads a word's letters, the outer one the words; against both written out."""
    letters = (STEPS, ROWS, 2, WIDTH)
    starts = {"h": {"next": "h_new", "start": "learned", "filler": SPREAD}}
    last = [{"blob": "h_new", "take": "last"}]
    inner = {"name": "word", **simple(bottom=["letters"], inputs=["x"], outputs=last, states=starts)}
    outer = [
        {"name": "letters", "type": "Permute", "bottom": "x", "order": [1, 0, 2]},
        inner,
        product("w2s", "word", 2),
        product("s2s", "s", 2),
        {"name": "s_new", "type": "Expression", "bottom": ["w2s", "s2s"], "expr": "tanh(w2s + s2s)"},
    ]
    layer = simple(outer, states={"s": {"next": "s_new"}}, outputs=["s_new"])
    net = net_of(layer, {"x": letters})
    x = np.random.default_rng(4).normal(size=letters)
    got = net.forward(x=x)["rnn"]
    p = {name: blob.data for name, blob in net.params["rnn"].items()}
    s = np.zeros((ROWS, 2))
    for t in range(STEPS):
        h = np.tile(p["body/word.h_start"], (ROWS, 1))
        for k in range(2):
            h = np.tanh(
                x[t, :, k] @ p["body/word.body/i2h.weight"].T
                + p["body/word.body/i2h.bias"]
                + h @ p["body/word.body/h2h.weight"].T
            )
        s = np.tanh(h @ p["body/w2s.weight"].T + p["body/w2s.bias"] + s @ p["body/s2s.weight"].T + p["body/s2s.bias"])
        np.testing.assert_allclose(got[t], s, atol=1e-12)
    check_gradients(net, {"x": x})


def test_sequences_of_other_lengths_and_numbers() -> None:
    net = net_of(simple(), {"x": X.shape})
    for steps, rows in ((3, 2), (9, 4), (7, 3), (1, 1), (0, 2), (4, 0), (7, 3)):
        x = np.random.default_rng(steps).normal(size=(steps, rows, WIDTH))
        got = net.forward(x=x)["rnn"]
        np.testing.assert_allclose(got, by_hand(net, x, np.full(rows, steps), "body", False), atol=1e-12)
        assert net.backward(rnn=np.ones_like(got))["x"].shape == x.shape


def test_what_depends_on_no_state_runs_once_for_all_steps() -> None:
    """Of four layers two run in each step: the product with x goes before them, and what reads h_new after them."""
    net = net_of(simple([*cell(), product("y", "h_new", 2)], outputs=["y"]), {"x": X.shape})
    loop = net.layers["rnn"].bodies["body"]
    (piece,) = loop.pieces([STEPS])
    count = [node.name for node in piece.graph.nodes]
    assert (count.count("i2h"), count.count("h2h"), count.count("sum"), count.count("y")) == (1, STEPS, STEPS, 1)


def test_a_frozen_weight_of_a_body_stays_and_yet_has_a_derivative() -> None:
    frozen = [product("i2h", "x", UNITS, param=[{"lr_mult": 0}, {}]), *cell()[1:]]
    net, free = net_of(simple(frozen), {"x": X.shape}), net_of(simple(), {"x": X.shape})
    lent(net, free, {name: name for name in net.params["rnn"].names})
    assert net.flat.data.size == free.flat.data.size - UNITS * WIDTH
    dy = np.random.default_rng(2).normal(size=(STEPS, ROWS, UNITS))
    for each in (net, free):
        each.forward(x=X)
        each.backward(rnn=dy)
    bias, name = "body/i2h.bias", "rnn.body/i2h.weight"
    np.testing.assert_allclose(net.params["rnn"][bias].diff, free.params["rnn"][bias].diff, atol=1e-12)
    np.testing.assert_allclose(net.vjp(rnn=dy)[name], free.params["rnn"]["body/i2h.weight"].diff, atol=1e-12)


def test_both_modes_agree_for_one_draw_of_a_dropout() -> None:
    net = net_of(
        simple([*cell(), {"name": "drop", "type": "Dropout", "bottom": "h_new"}], outputs=["drop"]), {"x": X.shape}
    )
    net.forward(x=X)
    rng = np.random.default_rng(6)
    along = {name: rng.normal(size=blob.shape) for name, blob in net.params["rnn"].items()}
    u, v = rng.normal(size=(STEPS, ROWS, UNITS)), rng.normal(size=X.shape)
    moved = net.jvp({f"rnn.{name}": tangent for name, tangent in along.items()}, x=v)["rnn"]
    back = net.vjp(rnn=u)
    right = np.vdot(back["x"], v) + sum(np.vdot(back[f"rnn.{name}"], tangent) for name, tangent in along.items())
    assert np.vdot(u, moved) == pytest.approx(right, rel=1e-10)


@pytest.mark.parametrize("phase", ["train", "test"])
def test_a_second_backward_pass_gives_the_same(phase: str) -> None:
    """Four steps are two pieces of two, which have one memory: after a backward pass it holds the first piece."""
    net = net_of(simple(recompute=phase == "train"), {"x": (4, ROWS, WIDTH)}, phase=phase)
    net.forward(x=X[:4])
    dy = np.random.default_rng(2).normal(size=(4, ROWS, UNITS))
    first, second = (net.backward(rnn=dy)["x"].tobytes() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("recompute", [False, True])
def test_to_differentiate_between_the_passes_changes_nothing(recompute: bool) -> None:
    """A Dropout in the body has drawn a mask in the forward pass, and backward goes by it whatever was asked since."""
    body = [*cell(), {"name": "drop", "type": "Dropout", "bottom": "h_new"}]
    net = net_of(simple(body, outputs=["drop"], recompute=recompute), {"x": (4, ROWS, WIDTH)})
    y = net.forward(x=X[:4])["rnn"].copy()
    dy, v = np.ones_like(y), np.random.default_rng(2).normal(size=(4, ROWS, WIDTH))
    before = net.backward(rnn=dy)["x"].copy()
    for ask in (lambda: net.jvp(x=v), lambda: net.vjp(rnn=dy)):
        ask()
        np.testing.assert_array_equal(net.blobs["rnn"].data, y)
        np.testing.assert_array_equal(net.backward(rnn=dy)["x"], before)
