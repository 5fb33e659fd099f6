"""Expression in nets: its names, its errors with their places, what it keeps, and that it does only arithmetic."""

from __future__ import annotations

import random
import time
import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import layerkit as lk
from layerkit.checks import Case, prepare
from layerkit.errors import ConfigError, ExpressionError
from layerkit.layers.expression.building import FUNCTIONS, build
from layerkit.layers.expression.derivatives import gradients
from layerkit.layers.expression.nodes import F, Graph, ancestors, evaluate
from layerkit.layers.expression.primitives import PRIMITIVES
from layerkit.layers.expression.reading import Formula

LECTURE = """
layers:
  - {name: in, type: Input, top: [x, y, z], shape: [[], [], []]}
  - {name: f, type: Expression, bottom: [x, y, z], top: [q, f], results: {q: "x + y", f: "q * z"}}
"""
TWO = """
layers:
  - {{name: in, type: Input, top: [a, b], shape: [[2, 3], [2, 3]]}}
  - {{name: f, type: Expression, bottom: [a, b], {}}}
"""


def said_of(fields: str) -> str:
    with pytest.raises(ConfigError) as caught:
        lk.Net(TWO.format(fields))
    return str(caught.value)


def test_the_lectures_first_graph() -> None:
    net = lk.Net(LECTURE, dtype="float64")
    assert net.forward(x=-2, y=5, z=-4) == {"q": 3, "f": -12}
    assert net.backward(f=1) == {"x": -4, "y": -4, "z": 3}


def test_paths_that_meet_add_their_gradients() -> None:
    net = lk.Net(TWO.format('expr: "a * b + sin(b)"'), dtype="float64")
    a, b = np.full((2, 3), 2.0), np.full((2, 3), 5.0)
    net.forward(a=a, b=b)
    diffs = net.backward(f=np.ones((2, 3)))
    np.testing.assert_allclose(diffs["a"], b)
    np.testing.assert_allclose(diffs["b"], a + np.cos(b))


def test_a_tied_maximum_gives_its_gradient_once() -> None:
    same = np.ones((2, 3))
    for expr, counts in (
        ("max(a, b)", ([0, 0, 0], [1, 1, 1])),
        ("min(a, b)", ([0, 0, 0], [1, 1, 1])),
        ("max(a, b, a)", ([0, 0, 0], [1, 1, 1])),
        ("max(a, axis=1) + 0 * max(b)", ([1, 0, 0], [0, 0, 0])),
        ("relu(a - b) + abs(a - b)", ([0, 0, 0], [0, 0, 0])),
    ):
        net = lk.Net(TWO.format(f'expr: "{expr}"'), dtype="float64")
        net.forward(a=same, b=same)
        diffs = net.backward(f=np.ones(net.blobs["f"].shape))
        assert (diffs["a"][1].tolist(), diffs["b"][1].tolist()) == counts, expr


def test_to_the_power_0_nothing_changes_even_at_0() -> None:
    a, b = np.array([[2, 0, 0], [0, 3, 1]], float), np.array([[0, 0, 2], [3, 0, 3]], float)
    for expr, da in (("a ** 0 + b", 0 * a), ("a ** b", [[0, 0, 0], [0, 0, 3]]), ("a ** (0 * b)", 0 * a)):
        net = lk.Net(TWO.format(f'expr: "{expr}"'), dtype="float64")
        value = net.forward(a=a, b=b)["f"]
        np.testing.assert_array_equal(value, eval(expr, {"a": a, "b": b}))
        net.backward(f=np.ones((2, 3)))
        np.testing.assert_array_equal(net.blobs["a"].diff, da, err_msg=expr)
        np.testing.assert_array_equal(net.jvp(a=np.ones((2, 3)))["f"], da, err_msg=expr)


def test_a_sum_may_have_as_many_terms_as_there_is_room_for() -> None:
    net = lk.Net(TWO.format('expr: "' + "+".join(["b", *["a"] * 1998]) + '"'), dtype="float64")
    assert net.forward(a=np.ones((2, 3)), b=np.zeros((2, 3)))["f"].tolist() == [[1998] * 3] * 2
    assert net.backward(f=np.ones((2, 3)))["a"].tolist() == [[1998] * 3] * 2


def test_an_axis_of_max_may_be_given_by_its_place() -> None:
    a = np.array([[1.0, 5, 3], [2, 0, 7]])
    for expr, want in (
        ("max(a, (0,))", [2, 5, 7]), ("min(a, (-1,), True)", [[1], [0]]), ("max(a, None)", 7), ("max(a, 1)", a.clip(1)),
    ):  # fmt: skip
        net = lk.Net(TWO.format(f'expr: "{expr}"'))
        assert net.forward(a=a, b=a)["f"].tolist() == np.asarray(want).tolist(), expr


def test_names_inside_blocks_and_given_ones() -> None:
    net = lk.Net("""
    blocks:
      half:
        args: {k: 0.5}
        layers:
          - {name: s, type: Expression, bottom: $bottom, top: y, names: x, expr: "k * x", constants: {k: $k}}
          - {name: t, type: Expression, bottom: y, results: {u: "y + 1", t: "u + u"}}
    layers:
      - {name: in, type: Input, top: data-0, shape: [3]}
      - {block: half, name: h, bottom: data-0, k: 0.25}
    """)
    assert net.forward(**{"data-0": [4, 8, 12]})["h/t"].tolist() == [4, 6, 8]


def test_learned_weights_train_and_survive_a_snapshot(tmp_path: Path) -> None:
    net = """
    net:
      layers:
        - {name: in, type: DummyData, top: [x, t], shape: [[8, 3], [8, 2]], data_filler: [{type: gaussian}, {value: 1}]}
        - name: fit
          type: Expression
          bottom: x
          results: {scaled: "x @ w", y: "scaled + b"}
          weights: {w: {shape: [3, 2], filler: xavier}, b: {shape: 2}}
        - {name: loss, type: EuclideanLoss, bottom: [fit, t]}
    solver: {base_lr: 0.1, max_iter: 40, snapshot: 40, display: 0}
    """
    solver = lk.Solver(net, folder=tmp_path)
    first = solver.net.forward()["loss"].item()
    solver.solve()
    assert solver.net.loss < 0.1 * first
    again = lk.load(next(tmp_path.glob("*_40.safetensors")))
    x = np.arange(6.0).reshape(2, 3)
    w, b = (solver.net.params["fit"][name].data for name in "wb")
    np.testing.assert_allclose(again.forward(x=x)["fit"], x @ w + b, rtol=1e-5)


@pytest.mark.parametrize(
    ("fields", "place", "message"),
    [
        ('expr: "a * + b +"', "4:", "this is no formula: invalid syntax"),
        ('expr: "a * foo(b)"', "4:60: ", "there is no function 'foo'"),
        ("expr: 'a * foo(b)'", "4:60: ", "there is no function 'foo'"),
        ("expr: a * foo(b)", "4:59: ", "there is no function 'foo'"),
        ('expr: "a + aa"', "4:60: ", "there is nothing named 'aa'; did you mean 'a'?"),
        ('expr: "a + sinn(a)"', "4:60: ", "no function 'sinn'; did you mean 'sin'?"),
        ('expr: "a + sin"', "4:60: ", "the function is called as sin(x)"),
        ('expr: "a @ b"', "4:56: ", "2x3 and 2x3 have no product: 3 is not 2"),
        ('expr: "1 + (a @ b)"', "4:61: ", "have no product"),
        ('expr: "a + sum(b, axis=(0, 7))"', "4:60: ", "no axis 7 in a shape 2x3"),
        ('expr: "sum(b, axes=1)"', "4:63: ", "has no setting 'axes'; did you mean 'axis'?"),
        ('expr: "sum(b, 0, axis=1)"', "4:66: ", "'axis' is given twice"),
        ('expr: "sum(b, axis=a)"', "4:68: ", "a setting is written out"),
        ('expr: "sum(b, keepdims=1)"', "4:72: ", "keepdims is True or False"),
        ('expr: "sum()"', "4:56: ", "called as sum(x, axis, keepdims)"),
        ('expr: "sin(a, b)"', "4:56: ", "called as sin(x)"),
        ('expr: "reshape(a, (4, 2))"', "4:56: ", "a shape 2x3 of 6 values does not fit (4, 2)"),
        ('expr: "reshape(a, (5, -1))"', "4:56: ", "does not fit (5, -1)"),
        ('expr: "reshape(a)"', "4:56: ", "reshape needs a shape"),
        ('expr: "transpose(a, (0, 0))"', "4:56: ", "an axis is named twice"),
        ('expr: "transpose(a, 0)"', "4:56: ", "has 2 axes, but 1 named"),
        ('expr: "dot(reshape(a, (1, 2, 3)), b)"', "4:56: ", "dot is of vectors and matrices"),
        ('expr: "3 @ a"', "4:56: ", "needs arguments with axes"),
        ('expr: "max(a, b, axis=1)"', "4:56: ", "one argument and axis, or several"),
        ('expr: "max(a, b, (0,))"', "4:63: ", "a setting is written out, in whole numbers"),
        ('expr: "sin(x=a)"', "4:60: ", "'x' of sin is given by its place; it is called sin(x)"),
        ('expr: "sum(**a)"', "4:60: ", "a setting has a name, as in axis=1"),
        ('expr: "sum(*a)"', "4:60: ", "each argument is written out"),
        ('expr: "a + reshape(b, 6)"', "4:56: ", "shapes 2x3 and 6 do not stretch to a common one"),
        ('expr: "a.T"', "4:56: ", "a name has no parts"),
        ('expr: "a[0]"', "4:56: ", "a blob has no index"),
        ('expr: "a ^ 2"', "4:56: ", "a power is written **"),
        ('expr: "a // b"', "4:56: ", "a formula cannot hold this"),
        ('expr: "a is b"', "4:56: ", "only the comparisons"),
        ('expr: "(lambda: a)()"', "4:", "a function is called by its name"),
        ('expr: "a if b else a"', "4:56: ", "where(condition, a, b)"),
        ('expr: "[x for x in a]"', "4:56: ", "a formula cannot hold this"),
        ('expr: "a + True"', "4:60: ", "a number or a name is wanted here"),
        ('expr: "a + 2j"', "4:60: ", "only numbers"),
        ('expr: "a + 1e39"', "4:60: ", "no finite number in float32"),
        ('expr: "a * (1 / 0)"', "4:61: ", "this constant is inf"),
        ('expr: "a # b"', "4:58: ", "holds no comments"),
        ('expr: "a; b"', "4:57: ", "this is no formula"),
        ('expr: " "', "4:", "there is no formula"),
        ("expr: 3", "4:", "expr must be text, not 3"),
        ('results: {q: "a +* b"}', "4:", "results.q: this is no formula"),
        ('results: {q: "a", f: "q + r"}', "4:75: ", "there is nothing named 'r'"),
        ('results: {q: "f", f: "a"}', "4:63: ", "there is nothing named 'f'"),
        ('results: {lambda: "a"}', "4:", "'lambda' is no name for a formula"),
        ('expr: "a", results: {q: "a"}', "4:", "either expr, a formula, or results"),
        ("names: [a, b]", "4:", "either expr, a formula, or results"),
        ('expr: "a", names: [a]', "4:", "there must be as many names as bottoms: 2, not 1"),
        ('expr: "a", names: [a, \ufb01]', "4:", "'\ufb01' is no name for a formula"),  # which Python reads as fi
        ('expr: "a", names: [a, a]', "4:", "the name 'a' is given twice"),
        ('expr: "a", constants: {b: 1}', "4:", "'b' is the name of a bottom already"),
        ('expr: "a", constants: {c: 1}, weights: {c: {}}', "4:", "the name 'c' is given to two things"),
        ('expr: "a", weights: {w: {shap: 3}}', "4:", "unknown field 'shap'; did you mean 'shape'?"),
        ('expr: "a", weights: {w: {shape: 0}}', "4:", "greater than 0"),
        ('results: {q: "a", r: "b"}, top: [q, s]', "4:", "no result is named like the top 's'"),
        ('expr: "a", top: [q, s]', "4:", "2 tops need as many results, not 1"),
    ],
)  # fmt: skip
def test_an_error_says_where_in_the_formula(fields: str, place: str, message: str) -> None:
    said = said_of(fields)
    assert "\n" not in said
    assert said.startswith(place), said
    assert message in said


def test_a_place_in_text_of_several_lines_is_told_by_its_character() -> None:
    said = said_of('expr: "a\n      + foo(b)"')
    assert said.startswith("4:55: ")
    assert "(at character 5)" in said  # YAML folds the line break to a space
    with pytest.raises(ConfigError, match=r"bottom 'my-blob' by its name; say in names"):
        lk.Net("layers: [{type: Input, top: my-blob, shape: [2]}, {type: Expression, bottom: my-blob, expr: '2'}]")
    with pytest.raises(ConfigError, match="two bottoms are called 'x'"):
        lk.Net(LECTURE.replace("[x, y, z], top", "[x, x, z], top"))


def compiled(fields: str) -> tuple[lk.Net, lk.Layer]:
    net = lk.Net(TWO.format(fields))
    return net, net.layers["f"]


def test_what_two_formulas_have_in_common_is_one_node() -> None:
    graph = Graph(PRIMITIVES)
    x, y = graph.leaf("x", (3,)), graph.leaf("y", (3,))
    f = build(Formula("exp(x * y) + exp(y * x) * exp(x * y)"), {"x": x, "y": y}, graph)
    assert [node.kind for node in ancestors([f])] == ["leaf", "leaf", "multiply", "exp", "multiply", "add"]


def test_only_what_backward_reads_is_kept() -> None:
    for expr, kept, bottoms, tops in (
        ("a + b * 2", 0, [], []),
        ("tanh(a + b)", 0, [], [0]),
        ("sin(a + b)", 1, [], []),
        ("exp(sin(a)) + b", 1, [0], []),  # exp(sin(a)), and cos(a) is made of a
        ("a * b", 0, [0, 1], []),
        ("relu(a) * 1 + sum(b)", 1, [], []),
    ):
        _, layer = compiled(f'expr: "{expr}"')
        plan = layer.plan((2, 3), (2, 3))
        assert sum(each.keep for each in plan.scratch) == kept, expr
        assert (list(plan.reads_bottoms), list(plan.reads_tops)) == (bottoms, tops), expr


def test_values_take_turns_in_few_arrays() -> None:
    _, layer = compiled('expr: "' + "sin(" * 20 + "a" + ")" * 20 + ' + b"')
    plan = layer.plan((2, 3), (2, 3))
    assert sum(not each.keep for each in plan.scratch) <= 4


def test_a_pass_takes_no_memory() -> None:
    net = lk.Net("""
    layers:
      - {name: in, type: Input, top: [a, b], shape: [[64, 300], [300, 200]]}
      - {name: f, type: Expression, bottom: [a, b], expr: "softmax(relu(a @ b) - max(a, axis=1, keepdims=True)) ** 3"}
    """)
    net.forward(a=np.ones((64, 300)), b=np.ones((300, 200)))
    seed = np.ones((64, 200), np.float32)
    before = np.setbufsize(64)  # the fixed buffers through which numpy converts types
    for run in (net.forward, partial(net.backward, f=seed)):
        run()
        tracemalloc.start()
        run()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20_000, run
    np.setbufsize(before)


def test_derivatives_have_derivatives() -> None:
    graph = Graph(PRIMITIVES)
    x = graph.leaf("x", ())
    one = graph.constant(1)
    derivatives = [F.sin(x) * x * x]
    for _ in range(3):
        derivatives += [each for each in gradients([(derivatives[-1], one)], [x]) if each is not None]
    at = np.array(0.7)
    third = -at * at * np.cos(at) - 6 * at * np.sin(at) + 6 * np.cos(at)
    assert evaluate(derivatives, {"x": at}, np.dtype("float64"))[-1] == pytest.approx(third, abs=1e-12)


def test_the_table_and_the_functions_are_whole() -> None:
    for name, primitive in PRIMITIVES.items():
        assert len(primitive.vjp) == len(primitive.jvp), name
        assert [rule is None for rule in primitive.vjp] == [rule is None for rule in primitive.jvp], name
    text = Path(lk.__file__).with_name("layers") / "expression" / "expression.py"
    assert [name for name in FUNCTIONS if name not in (lk.layer_class("Expression").__doc__ or "")] == [], text


# -- hostile formulas --------------------------------------------------------------------------------------------------

TOKENS = r"""
a b x pi 1 2.5 1e308 0x7f True None 's' f'{a}' b'x' ... _ __class__ __import__ eval lambda if else for in not and or is
await yield := = == < > + - * ** / // % @ & | ^ ~ ( ) [ ] { } , . : ; \ # é sum( max( where( reshape( softmax(
transpose( matmul( axis= shape= -1 keepdims=True
"""
WORDS = [
    *TOKENS.split(),
    *("9" * 400, "\0", "\n", "\t", "\u2028", "a+" * 60, "-" * 150, "(" * 150, "sin(" * 150, "a**" * 90, "[" * 300),
]


@pytest.mark.parametrize("seed", range(8))
def test_no_text_does_more_than_arithmetic(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    draw = random.Random(seed)
    start, read = time.process_time(), 0
    for _ in range(400):
        text = "".join(draw.choice(WORDS) + draw.choice(("", "", " ")) for _ in range(draw.randrange(1, 12)))
        graph = Graph(PRIMITIVES)
        names = {"a": graph.leaf("a", (2, 3)), "b": graph.leaf("b", (3,))}
        node = None
        try:
            node = build(Formula(text), names, graph)
        except ExpressionError as error:
            fault = error
        if node is None:
            assert "\n" not in str(fault)
            assert fault.offset is None or 0 <= fault.offset <= len(text)
            continue
        read += 1
        assert len(graph.nodes) < 2000
        assert np.prod(node.shape) < 1e4
    assert read
    assert time.process_time() - start < 30  # it hangs on none
    assert capsys.readouterr().out == ""


def test_a_formula_has_bounds() -> None:
    graph = Graph(PRIMITIVES)
    names = {"a": graph.leaf("a", (2,))}
    for text, message in (
        ("sin(" * 101 + "a" + ")" * 101, "nested at most 100 deep"),
        ("-" * 3000 + "a", "nested at most|no formula"),
        ("a" + "+a" * 5000, "at most 4000 characters"),
        ("(" * 3999 + "a", "no formula"),
        ("a" * 4001, "at most 4000 characters"),
        ("9 ** 9 ** 9 ** 9", "no finite number"),
        ("1" * 3999, "no finite number"),
        ("reshape(a, (" + "1, " * 40 + "2))", "at most 32 axes"),
        (f"reshape(a, ({'9' * 900}, -1))", "does not fit"),
    ):
        with pytest.raises(ExpressionError, match=message):
            build(Formula(text), names, graph)
    doubling = {f"r{i}": f"r{i - 1} * r{i - 1} + sin(r{i - 1})" if i else "a" for i in range(60)}
    for name, text in doubling.items():  # as a tree it would have 3^60 nodes
        names[name] = build(Formula(text), names, graph)
    assert len(graph.nodes) < 200


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("Expression", {"expr": "tanh(x @ w) * 2", "names": ["x"], "weights": {"w": {"shape": [4, 2]}}}),
        ("InnerProduct", {"num_output": 2, "bias_term": False}),  # which does as every layer does
    ],
)
def test_bound_passes_read_what_the_blobs_hold_when_they_run(kind: str, params: dict[str, object]) -> None:
    case = Case(kind, "bound", [(3, 4)], params, no_formula="what is bound is compared with what is not")
    with prepare(case) as lone:
        layer, (x,), (y,) = lone.layer, lone.bottom, lone.top
        (weight,) = layer.weights.names
        forward = layer.bound_forward([x], [y])
        layer.asked = frozenset([weight])
        backward = layer.bound_backward([y], [True], [x])
        layer.asked = frozenset()
        x.data[...] += 1
        forward()
        got = y.data.copy()
        backward()
        diffs = [x.diff.copy(), layer.weights[weight].diff.copy()]
        np.testing.assert_array_equal(got, lone.forward()["top 0"])
        for diff, want in zip(diffs, lone.backward([0, weight]).values(), strict=True):
            np.testing.assert_array_equal(diff, want)
