"""`layerkit trace` in layers with bodies: by hand, and against the layers' own passes in every case there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases.loops import CASES
from config_tools import config

import layerkit as lk
from layerkit.checks import Case
from layerkit.report.tracing import passes, steps
from layerkit.report.tracing.frames import frames
from layerkit.report.tracing.passes import Trace
from layerkit.report.tracing.picture import Drawn

CELL = [
    {"name": "a", "type": "Expression", "bottom": ["h", "x"], "expr": "u * h + w * x", "weights": {"u": {"shape": []},
     "w": {"shape": []}}},
    {"name": "h_new", "type": "Power", "bottom": "a", "power": 2},
]  # fmt: skip


def traced(net: lk.Net, shown: int = 8, **given: Any) -> Trace:
    net.forward(**given)
    return passes.reverse(steps.read(net, shown))


def edges(trace: Trace) -> dict[str, tuple[float, float, float]]:
    """What enters each edge of single numbers, its local derivative and their product, in the order of the pass."""
    values = trace.steps.values
    return {
        f"{values[edge.result].name} -> {values[edge.source].name}": (
            edge.entering.item(),
            edge.local.array.item(),
            edge.product.item(),
        )
        for edge in trace.edges
        if edge.entering.size == 1 and edge.local.array is not None and edge.local.array.size == 1
    }


def data(trace: Trace, name: str) -> Any:
    return trace.steps.values[trace.steps.names[name]].data


def total(trace: Trace, name: str) -> Any:
    return trace.totals[trace.steps.names[name]]


# -- by hand -------------------------------------------------------------------------------------------------------


def squares(length: int, **more: Any) -> lk.Net:
    """h[t] = (2 h[t-1] + 3 x[t])^2 with h[-1] = 1."""
    layer = {"name": "f", "type": "Recurrent", "bottom": ["x", "s"], "inputs": ["x", "s"], "top": "y", "body": CELL,
             "states": {"h": {"next": "h_new", "start": "s"}},
             "outputs": [{"blob": "h_new", "take": "last"}]}  # fmt: skip
    sources = [{"name": "x", "type": "Input", "shape": [length, 1, 1]}, {"name": "s", "type": "Input", "shape": [1, 1]}]
    net = lk.Net({"layers": [*sources, {**layer, **more}]}, dtype="float64")
    net.params["f"]["body/a.u"].data[...] = 2
    net.params["f"]["body/a.w"].data[...] = 3
    return net


def test_two_steps_by_hand():
    """h0 = (2 + 3)^2 = 25 and h1 = (50 - 3)^2 = 2209: dh1/dh0 = 2 * 47 * 2 = 188, and dh0/dx0 = 2 * 5 * 3 = 30."""
    trace = traced(squares(2), x=[[[1]], [[-1]]], s=[[1]])
    assert [data(trace, name).item() for name in ("f[0]/a", "f[0]/h_new", "f[1]/a", "f[1]/h_new")] == [5, 25, 47, 2209]
    found = edges(trace)
    assert found == {
        "y -> f[1]/h_new": (1, 1, 1),
        "f[1]/h_new -> f[1]/a": (1, 94, 94),
        "f[1]/a -> f[1]/v1": (94, 1, 94),
        "f[1]/a -> f[1]/v2": (94, 1, 94),
        "f[1]/v2 -> f.body/a.w": (94, -1, -94),
        "f[1]/v2 -> f[1]/x": (94, 3, 282),
        "f[1]/v1 -> f.body/a.u": (94, 25, 2350),
        "f[1]/v1 -> f[0]/h_new": (94, 2, 188),  # the state, handed from step to step
        "f[0]/h_new -> f[0]/a": (188, 10, 1880),
        "f[0]/a -> f[0]/v1": (1880, 1, 1880),
        "f[0]/a -> f[0]/v2": (1880, 1, 1880),
        "f[0]/v2 -> f.body/a.w": (1880, 1, 1880),
        "f[0]/v2 -> f[0]/x": (1880, 3, 5640),
        "f[0]/v1 -> f.body/a.u": (1880, 1, 1880),
        "f[0]/v1 -> s": (1880, 2, 3760),
    }
    assert [each[:4] for each in found] == ["y ->", *["f[1]"] * 7, *["f[0]"] * 7]
    assert total(trace, "x").ravel().tolist() == [5640, 282]
    assert total(trace, "f.body/a.u") == 2350 + 1880
    assert total(trace, "f.body/a.w") == -94 + 1880
    assert total(trace, "s") == 3760


def test_the_lectures_cell(command):
    """As its comments say: the state dies away, and so does the gradient on its way back."""
    answer = command("trace", str(config("lecture/recurrent_cell")), "--input", "x=[[[1]],[[0]],[[0]]]")
    h = [np.tanh(0.5), np.tanh(0.8 * np.tanh(0.5)), np.tanh(0.8 * np.tanh(0.8 * np.tanh(0.5)))]
    assert answer.status == 0
    for t, value in enumerate(h):
        assert f"  h[{t}]/after         TanH = {value:.6g}\n" in answer.out
    back = (1 - h[2] ** 2) * 0.8
    lines = [" ".join(line.split()) for line in answer.out.splitlines()]
    assert f"sum at h[1]/after 1 + {back:.6g} = {1 + back:.6g}" in lines
    order = [next(i for i, line in enumerate(lines) if line.startswith(f"h[{t}]/after -> ")) for t in (2, 1, 0)]
    assert order == sorted(order)


def test_what_truncate_cuts_off_is_seen():
    trace = traced(squares(2, truncate=1), x=[[[1]], [[-1]]], s=[[1]])
    assert total(trace, "f.body/a.u") == 2350  # 1880 of them came through the state
    assert "f[1]/h" in trace.steps.names
    assert trace.steps.names["f[0]/h_new"] not in trace.totals


# -- long loops ----------------------------------------------------------------------------------------------------


def test_the_middle_of_a_long_loop_is_one_step(command, folder):
    """h doubles in each of 20 steps."""
    (folder / "net.yaml").write_text("""
layers:
  - {name: h, type: Input, shape: [1]}
  - name: f
    type: Repeat
    bottom: h
    states: {s: {next: twice, start: h}}
    times: 20
    outputs: twice
    body:
      - {name: twice, type: Power, bottom: s, scale: 2}
""")
    out = command("trace", "net.yaml", "--input", "h=3").out
    assert (
        out
        == """\
net (train)

values, in topological order
  h            Input = 3
  f[0]/twice   Power = 6
  f[1]/twice   Power = 12
  f[2]/twice   Power = 24
  f[3]/twice   Power = 48
  f[15]/twice  12 runs, see --steps = 196608
  f[16]/twice  Power = 393216
  f[17]/twice  Power = 786432
  f[18]/twice  Power = 1.57286e+06
  f[19]/twice  Power = 3.14573e+06
  f            Repeat, 20 runs = 3.14573e+06

gradients of f, backward: upstream x local = product
  f -> f[19]/twice            1 x 1 = 1
  f[19]/twice -> f[18]/twice  1 x 2 = 2
  f[18]/twice -> f[17]/twice  2 x 2 = 4
  f[17]/twice -> f[16]/twice  4 x 2 = 8
  f[16]/twice -> f[15]/twice  8 x 2 = 16
  f[15]/twice -> f[3]/twice   16 x 4096 = 65536
  f[3]/twice -> f[2]/twice    65536 x 2 = 131072
  f[2]/twice -> f[1]/twice    131072 x 2 = 262144
  f[1]/twice -> f[0]/twice    262144 x 2 = 524288
  f[0]/twice -> h             524288 x 2 = 1.04858e+06

gradients of what is given
  h  1.04858e+06
"""
    )
    assert "[15]/twice  Power" in command("trace", "net.yaml", "--input", "h=3", "--steps", "20").out
    assert "  f  Repeat = 3.14573e+06\n" in command("trace", "net.yaml", "--input", "h=3", "--steps", "0").out


def test_the_page_goes_through_the_steps_and_back():
    given = Drawn(traced(squares(30), 4, x=np.full((30, 1, 1), 0.01), s=[[0.1]]))
    said = [line for frame in frames(given) for line in (*frame.said, *(row[0] for row in frame.products))]
    boxes = [box.name for box in given.boxes]
    assert [name for name in boxes if name.endswith("/h_new")] == [f"f[{t}]/h_new" for t in (0, 1, 28, 29)]
    assert boxes.count("f[2..27]") == 1
    assert next(line for line in said if line.startswith("f[27]/h_new = 26 runs, see --steps = "))
    ways = [said.index(f"f[{t}]/h_new → f[{t}]/a") for t in (29, 28, 1, 0)]
    assert ways == sorted(ways)
    assert said.index("f[27]/h_new → f[1]/h_new") in range(ways[1], ways[2])


# -- branches ------------------------------------------------------------------------------------------------------

BRANCH = """
layers:
  - {{name: x, type: Input, shape: [{rows}, 1]}}
  - {{name: c, type: Input, shape: [{rows}]}}
  - name: f
    type: Cond
    bottom: [x, c]
    condition: c
    by: {by}
    outputs: y
    then: [{{name: y, type: Power, bottom: x, power: 2}}]
    otherwise: [{{name: y, type: Power, bottom: x, scale: 5}}]
"""


@pytest.mark.parametrize(("condition", "way", "slope"), [(1, "then", 6), (0, "otherwise", 5)])
def test_of_a_branch_the_body_that_ran_is_there(condition, way, slope):
    trace = traced(lk.Net(BRANCH.format(rows=1, by="batch"), dtype="float64"), x=[[3]], c=[condition])
    assert edges(trace) == {f"f -> f/{way}/y": (1, 1, 1), f"f/{way}/y -> x": (1, slope, slope)}
    step = trace.steps.steps[-1]
    assert (step.written, step.arguments[1]) == (f"Cond, {way}", trace.steps.names["c"])


def test_by_sample_each_row_goes_through_its_own_body():
    net = lk.Net(BRANCH.format(rows=4, by="sample"), dtype="float64")
    trace = traced(net, x=[[3], [4], [5], [6]], c=[1, 0, 0, 1])
    assert {name for name in trace.steps.names if name.endswith("/y")} == {
        "f/then[0]/y", "f/otherwise[1]/y", "f/otherwise[2]/y", "f/then[3]/y"
    }  # fmt: skip
    assert data(trace, "f").ravel().tolist() == [9, 20, 25, 36]
    assert total(trace, "x").ravel().tolist() == [6, 5, 5, 12]
    assert trace.steps.steps[-1].written == "Cond, then of 2, otherwise of 2"


# -- against the layers themselves ---------------------------------------------------------------------------------

ALIKE = {"rows of maps", "maps", "shape given", "by sample, maps", "by sample, columns", "by sample, volumes", "blocks"}
"""Cases that differ in what has nothing to do with runs."""


def net_of(case: Case) -> tuple[lk.Net, list[str]]:
    """A net of the layer of a case, at random values, and the names of what can move."""
    rng = np.random.default_rng(8)
    steady = {case.params.get(role) for role in ("cont", "lengths", "condition")}
    names = list(case.params["inputs"])
    shapes = [each if isinstance(each, tuple) else np.shape(each) for each in case.bottoms]
    sources = [{"name": n, "type": "Input", "shape": list(s)} for n, s in zip(names, shapes, strict=True)]
    tops = [f"top{i}" for i in range(case.num_tops)]
    layer = {"name": "rnn", "type": case.type, "bottom": names, "top": tops, **case.params}
    net = lk.Net({"layers": [*sources, layer]}, dtype="float64", engine="numpy")
    for blob in net.params["rnn"]:
        blob.data[...] = rng.uniform(-1, 1, blob.shape)
    given = {n: rng.normal(size=v) if isinstance(v, tuple) else v for n, v in zip(names, case.bottoms, strict=True)}
    net.forward(**given)
    return net, [*(n for n in names if n not in steady), *net.flat.slots]


@pytest.mark.parametrize("case", [each for each in CASES if each.name not in ALIKE], ids=lambda case: case.name)
def test_it_comes_to_what_the_layer_itself_does(case: Case) -> None:
    net, moving = net_of(case)
    whole, short = steps.read(net), steps.read(net, 2)
    assert len(whole.steps) >= len(short.steps) > len(net.graph.nodes)
    for name in net.outputs:
        np.testing.assert_allclose(whole.values[whole.names[name]].data, net.blobs[name].data, rtol=1e-12, atol=1e-14)
        found, wanted = passes.reverse(whole, name), net.vjp({name: np.ones(net.blobs[name].shape)})
        assert {*moving} <= {*whole.names} or case.type == "Cond"  # the body that did not run is not there
        for key in moving:
            own = found.totals.get(whole.names.get(key, -1), 0)
            np.testing.assert_allclose(own, wanted.get(key, 0), rtol=1e-9, atol=1e-12, err_msg=f"{name} by {key}")
    rng = np.random.default_rng(9)
    along = {key: rng.normal(size=whole.values[whole.names[key]].data.shape) for key in moving if key in whole.names}
    moved, ahead = passes.forward(short, along), net.jvp(along)
    for name in net.outputs:
        np.testing.assert_allclose(moved.totals[short.names[name]], ahead[name], rtol=1e-9, atol=1e-12)


def test_draws_states_and_inner_loops_are_those_of_the_next_pass():
    """A loop in a loop, with dropout in both, what the batch before left, and a source of noise."""
    inner = {"name": "in", "type": "Repeat", "bottom": "a", "states": {"s": {"next": "t", "start": "a"}}, "times": 3,
             "outputs": "t", "body": [{"name": "t0", "type": "Dropout", "bottom": "s"},
                                      {"name": "t", "type": "TanH", "bottom": "t0"}]}  # fmt: skip
    body = [{"name": "fc", "type": "InnerProduct", "bottom": "x", "num_output": 5, "weight_filler": "xavier"},
            {"name": "noise", "type": "DummyData", "shape": [2, 5], "data_filler": "gaussian"},
            {"name": "a", "type": "Eltwise", "bottom": ["fc", "h", "noise"]}, inner,
            {"name": "h_new", "type": "Dropout", "bottom": "in"}]  # fmt: skip
    states = {"h": {"next": "h_new", "shape": [5]}}
    layer = {"name": "f", "type": "Recurrent", "bottom": "x", "states": states, "carry": True,
             "outputs": "h_new", "body": body}  # fmt: skip
    net = lk.Net({"layers": [{"name": "x", "type": "Input", "shape": [4, 2, 3]}, layer]}, dtype="float64")
    x = np.random.default_rng(3).normal(size=(4, 2, 3))
    net.forward(x=x)
    graph = steps.read(net)
    assert "f[3]/in[2]/t" in graph.names
    found, wanted = passes.reverse(graph), net.vjp(f=np.ones((4, 2, 5)))
    np.testing.assert_allclose(graph.values[graph.names["f"]].data, net.forward(x=x)["f"], rtol=1e-12)
    for key, diff in wanted.items():
        np.testing.assert_allclose(found.totals[graph.names[key]], diff, rtol=1e-9, err_msg=key)
