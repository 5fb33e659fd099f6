"""`layerkit trace`: values and derivatives on every edge, against numbers worked out by hand and the net's own."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import layerkit as lk
from layerkit.report.tracing import local, numbers, passes, steps
from layerkit.report.tracing.passes import Trace

GATES = """
name: gates
layers:
  - {name: in, type: Input, top: [x, y, z], shape: [[], [], []]}
  - {name: f, type: Expression, bottom: [x, y, z], results: {q: "x + y", f: "q * z"}}
"""
TWO_PATHS = """
layers:
  - {name: in, type: Input, top: [x1, x2], shape: [[], []]}
  - {name: f, type: Expression, bottom: [x1, x2], expr: "x1 * x2 + sin(x2)"}
"""
UNIT = """
layers:
  - {name: in, type: Input, top: [x, t], shape: [[1, 2], [1, 1]]}
  - {name: fc, type: InnerProduct, bottom: x, num_output: 1}
  - {name: y, type: Sigmoid, bottom: fc}
  - {name: loss, type: EuclideanLoss, bottom: [y, t]}
"""
TWO_LAYERS = """
layers:
  - {name: in, type: Input, top: [data, label], shape: [[5, 3], [5]]}
  - {name: fc1, type: InnerProduct, bottom: data, num_output: 3, weight_filler: xavier, param: {name: w}}
  - {name: relu, type: ReLU, bottom: fc1, top: fc1}
  - {name: fc2, type: InnerProduct, bottom: fc1, num_output: 3, param: {name: w}}
  - {name: gate, type: Expression, bottom: [fc1, fc2], expr: "fc2 * sigmoid(fc1) @ v", weights: {v: {shape: [3, 4], filler: xavier}}}
  - {name: loss, type: SoftmaxWithLoss, bottom: [gate, label], loss_weight: 0.5}
"""  # noqa: E501


def net_of(layers: str, **inputs: Any) -> lk.Net:
    net = lk.Net(layers, dtype="float64")
    net.forward(**inputs)
    return net


def reverse(layers: str, **inputs: Any) -> Trace:
    return passes.reverse(steps.read(net_of(layers, **inputs)))


def total(trace: Trace, name: str) -> Any:
    """The gradient or tangent of a value."""
    return trace.totals[trace.steps.names[name]]


def edges(trace: Trace) -> dict[tuple[str, str], tuple[float, float, float]]:
    """What enters each edge of single numbers, its local derivative and their product."""
    values = trace.steps.values
    return {
        (values[edge.source].name, values[edge.result].name): (
            edge.entering.item(),
            edge.local.array.item(),
            edge.product.item(),
        )
        for edge in trace.edges
        if edge.local.array is not None
    }


# -- by hand -------------------------------------------------------------------------------------------------------


def test_the_product_of_a_sum_as_text(command, folder):
    (folder / "gates.yaml").write_text(GATES)
    answer = command("trace", "gates.yaml", "--input", "x=-2,y=5,z=-4")
    assert answer == (0, """\
gates (train)

values, in topological order
  x  Input = -2
  y  Input = 5
  z  Input = -4
  q  x + y = 3
  f  z * q = -12

gradients of f, backward: upstream x local = product
  f -> z          1 x 3 = 3
  f -> q          1 x -4 = -4
  q -> x          -4 x 1 = -4
  q -> y          -4 x 1 = -4

gradients of what is given
  x  -4
  y  -4
  z  3
""", "")  # fmt: skip


def test_both_paths_are_summed_in_both_modes(command, folder):
    trace = reverse(TWO_PATHS, x1=2, x2=5)
    assert edges(trace) == {
        ("v1", "f"): (1, 1, 1),
        ("v2", "f"): (1, 1, 1),
        ("x2", "v2"): (1, pytest.approx(math.cos(5)), pytest.approx(math.cos(5))),
        ("x1", "v1"): (1, 5, 5),
        ("x2", "v1"): (1, 2, 2),
    }
    assert total(trace, "x2") == pytest.approx(2 + math.cos(5))
    moving = passes.forward(trace.steps, {"x2": np.array(3.0)})
    assert edges(moving) == {
        ("x2", "v1"): (3, 2, 6),
        ("x2", "v2"): (3, pytest.approx(math.cos(5)), pytest.approx(3 * math.cos(5))),
        ("v1", "f"): (6, 1, 6),
        ("v2", "f"): (pytest.approx(3 * math.cos(5)), 1, pytest.approx(3 * math.cos(5))),
    }
    (folder / "two.yaml").write_text(TWO_PATHS)
    options = ["two.yaml", "--input", "x1=2,x2=5"]
    assert "  x2  0.283662 + 2 = 2.28366\n" in command("trace", *options).out
    said = command("trace", *options, "--mode", "forward", "--tangent", "x2=1").out
    assert "  sum at f        2 + 0.283662 = 2.28366" not in said  # nobody reads it: it stands at the end
    assert said.endswith("tangents of what comes out\n  f  2 + 0.283662 = 2.28366\n")


def test_gradients_add_up_at_a_branch_between_layers(command, folder):
    """y = 2 h + h^2 of h = 3 x: the sum is told where it is used."""
    (folder / "net.yaml").write_text("""
layers:
  - {name: x, type: Input, shape: []}
  - {name: h, type: Power, scale: 3}
  - {name: twice, type: Power, bottom: h, scale: 2}
  - {name: squared, type: Power, bottom: h, power: 2}
  - {name: y, type: Eltwise, bottom: [twice, squared]}
""")
    said = command("trace", "net.yaml", "--input", "x=2").out.splitlines()
    assert "  squared -> h    1 x 12 = 12" in said
    assert "  twice -> h      1 x 2 = 2" in said
    assert said[said.index("  sum at h        12 + 2 = 14") + 1] == "  h -> x          14 x 3 = 42"


def test_a_maximum_is_a_switch():
    layers = """
    layers:
      - {name: in, type: Input, top: [x, y, z], shape: [[], [], []]}
      - {name: f, type: Expression, bottom: [x, y, z], expr: "2 * max(x, y) + x * z"}
    """
    trace = reverse(layers, x=3, y=-1, z=7)
    assert [total(trace, name) for name in "xyz"] == [2 + 7, 0, 3]
    assert [edge[1:] for way, edge in edges(trace).items() if way[0] in "xy" and way[1] == "v1"] == [(1, 2), (0, 0)]


def test_a_value_used_twice_by_a_step_has_two_edges():
    trace = reverse(TWO_PATHS.replace("x1 * x2 + sin(x2)", "x1 * x1 + 0 * x2"), x1=3, x2=5)
    assert [edge.product.item() for edge in trace.edges if edge.source == trace.steps.names["x1"]] == [3, 3]
    assert total(trace, "x1") == 6


def test_a_sigmoid_unit(command, folder):
    """y = 1 / (1 + exp(-(w x + b))), loss = (y - t)^2 / 2, at w = (2, -3), x = (-1, -2), b = -3, t = 1."""
    (folder / "unit.yaml").write_text(UNIT)
    given = "x=[-1,-2],t=1,fc.weight=[[2,-3]],fc.bias=-3"
    found = json.loads(command("trace", "unit.yaml", "--input", given, "--json").out)
    y = 1 / (1 + math.exp(-1))
    delta = (y - 1) * y * (1 - y)
    values = {each["name"]: each for each in found["values"]}
    assert values["fc"]["value"] == {"shape": [1, 1], "numbers": [[1.0]]}
    assert values["y"]["gradient"]["numbers"] == [[pytest.approx(y - 1)]]
    assert values["fc.weight"]["gradient"]["numbers"] == [[pytest.approx(-delta), pytest.approx(-2 * delta)]]
    assert values["fc.bias"]["gradient"]["numbers"] == [pytest.approx(delta)]
    assert values["x"]["gradient"]["numbers"] == [[pytest.approx(2 * delta), pytest.approx(-3 * delta)]]
    (edge,) = (each for each in found["edges"] if (each["from"], each["to"]) == ("fc", "y"))
    assert edge["upstream"]["numbers"] == [[pytest.approx(y - 1)]]
    assert edge["local"] == {"by_element": True, "shape": [1, 1], "numbers": [[pytest.approx(y * (1 - y))]]}
    assert edge["product"]["numbers"] == [[pytest.approx(delta)]]


# -- against the net -----------------------------------------------------------------------------------------------


def test_a_net_of_two_layers_has_the_gradients_of_its_backward_pass():
    rng = np.random.default_rng(0)
    net = net_of(TWO_LAYERS, data=rng.normal(size=(5, 3)), label=rng.integers(0, 4, 5))
    trace = passes.reverse(steps.read(net))
    wanted = net.vjp(loss=0.5)
    net.backward()
    for key, slot in net.flat.slots.items():
        np.testing.assert_allclose(total(trace, key), slot.blob.diff, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(total(trace, "data"), wanted["data"], rtol=1e-12)
    assert len(trace.parts(trace.steps.names["fc1.weight"])) == 2
    assert [value.name for value in trace.steps.values].count("fc1#0") == 1
    assert trace.steps.names["label"] not in trace.totals
    v = rng.normal(size=(3, 3))
    moving = passes.forward(trace.steps, {"fc1.weight": v})
    np.testing.assert_allclose(total(moving, "loss"), net.jvp({"fc1.weight": v})["loss"], rtol=1e-12)


def test_an_output_in_the_place_of_the_loss():
    net = net_of(TWO_LAYERS, data=np.ones((5, 3)), label=np.zeros(5))
    trace = passes.reverse(steps.read(net), "fc2")
    np.testing.assert_allclose(total(trace, "data"), net.vjp(fc2=np.ones((5, 3)))["data"])
    with pytest.raises(lk.UnknownNameError, match="no value 'fc3'; did you mean 'fc2'"):
        passes.reverse(trace.steps, "fc3")


# -- local derivatives ---------------------------------------------------------------------------------------------


def local_of(trace: Trace, source: str, result: str) -> local.Local:
    ends = trace.steps.names[source], trace.steps.names[result]
    return next(edge.local for edge in trace.edges if (edge.source, edge.result) == ends)


@pytest.mark.parametrize("rows", [2, 40])
def test_a_jacobian_is_written_out_or_estimated(rows):
    layers = f"""
    layers:
      - {{name: x, type: Input, shape: [{rows}, 5]}}
      - {{name: fc, type: InnerProduct, num_output: 3, weight_filler: xavier}}
      - {{name: soft, type: Softmax}}
      - {{name: relu, type: ReLU, bottom: fc}}
      - {{name: sum, type: Eltwise, bottom: [soft, relu]}}
    """
    net = net_of(layers, x=np.random.default_rng(1).normal(size=(rows, 5)))
    trace = passes.reverse(steps.read(net), "sum")
    weight = net.params["fc"].weight.data
    found = local_of(trace, "x", "fc")
    if rows == 2:
        assert not found.estimated
        np.testing.assert_allclose(found.array[1, :, 1], weight)
        assert not found.array[1, :, 0].any()
        np.testing.assert_allclose(local_of(trace, "fc", "soft").array, net.jacobian("soft", "fc"))
    else:
        assert found.estimated
        assert found.array is None
        assert found.norm == pytest.approx(math.sqrt(rows) * np.linalg.norm(weight), rel=0.15)
        assert numbers.short_local(found).startswith("40x3 by 40x5, norm about ")
    slopes = local_of(trace, "fc", "relu")
    assert slopes.by_element
    np.testing.assert_array_equal(slopes.array, net.blobs["fc"].data > 0)


def test_a_stretched_argument_has_a_derivative_by_element():
    trace = reverse(TWO_PATHS.replace("[[], []]", "[[2, 3], [3]]"), x1=[[1, 2, 3], [4, 5, 6]], x2=[7, 8, 9])
    found = local_of(trace, "x2", "v1")
    assert found.by_element
    np.testing.assert_array_equal(found.array, [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_allclose(total(trace, "x2"), np.add([5, 7, 9], 2 * np.cos([7, 8, 9])))


# -- how arrays are told -------------------------------------------------------------------------------------------


def test_few_numbers_are_written_out_and_of_many_the_spread():
    assert numbers.short(np.array([[1, -0.0], [2.5, 1 / 3]])) == "[[1, 0], [2.5, 0.3333]]"
    assert numbers.short(np.array([[[3.0]]])) == "3"
    assert numbers.short(np.arange(9.0)) == "9, norm 14.3, 0 ▅▅▅▅▅▅▅█ 8"
    assert numbers.short(np.zeros((3, 4))) == "3x4, norm 0, all 0"
    assert numbers.short(np.full(9, np.nan)) == "9, norm nan"
    assert numbers.bars_for("utf-8") == numbers.BARS
    assert numbers.bars_for("ascii") == numbers.bars_for(None) == numbers.PLAIN_BARS
    assert numbers.short(np.arange(9.0), numbers.PLAIN_BARS).isascii()


def test_what_is_not_finite_is_a_text_in_json(command, folder):
    (folder / "net.yaml").write_text(TWO_PATHS.replace("x1 * x2 + sin(x2)", "log(x1) + sum(x2)"))
    found = json.loads(command("trace", "net.yaml", "--input", "x1=0,x2=1", "--json").out, parse_constant=pytest.fail)
    values = {each["name"]: each for each in found["values"]}
    assert (values["f"]["value"]["numbers"], values["x1"]["gradient"]["numbers"]) == ("-inf", "inf")


# -- where values come from ----------------------------------------------------------------------------------------


def test_a_source_gives_its_first_batch(command, folder):
    answer = command("trace", "configs/mlp.yaml")
    assert answer.status == 0
    assert "\n  data        Data = 64x1x8x8, norm " in answer.out
    assert "\n  label       none\n" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80


def test_what_is_carried_from_batch_to_batch_begins_at_nothing(command, folder):
    net = """
layers:
  - {name: x, type: Input, shape: [2, 1, 1]}
  - {name: cont, type: Input, shape: [2, 1]}
  - {name: h, type: RNN, bottom: [x, cont], num_output: 1, weight_filler: {value: 1}}
"""
    (folder / "net.yaml").write_text(net)
    wanted = lk.Net(net, engine="numpy").forward(x=np.ones((2, 1, 1)), cont=np.ones((2, 1)))["h"]
    answer = command("trace", "net.yaml", "--input", "x=1,cont=1", "--json")
    (found,) = (each for each in json.loads(answer.out)["values"] if each["name"] == "h")
    np.testing.assert_allclose(found["value"]["numbers"], wanted, rtol=1e-6)


def test_arrays_from_files_and_a_snapshot(command, folder):
    np.save("x.npy", np.ones((3, 1, 8, 8), np.float32))
    solver = lk.Solver("configs/mlp.yaml")
    solver.step(3)  # so that the weights are not those that the net begins with
    solver.snapshot("net")
    solver.net.close()
    answer = command("trace", "net.safetensors", "--input", "data=x.npy", "--output", "fc2")
    assert "\n  fc2         InnerProduct = 3x10, norm " in answer.out
    want = lk.load("net.safetensors")
    want.forward(data=np.ones((3, 1, 8, 8)))
    norm = np.linalg.norm(want.blobs["fc2"].data)
    assert f"fc2         InnerProduct = 3x10, norm {norm:.3g}" in answer.out
    of_yaml = command("trace", "configs/mlp.yaml", "--phase", "predict", "--weights", "net.safetensors",
                      "--input", "data=x.npy", "--output", "fc2")  # fmt: skip
    assert of_yaml.out == answer.out


def test_a_small_net_is_traced_in_64_bits(command, folder):
    (folder / "net.yaml").write_text(
        "layers: [{name: x, type: Input, shape: []}, {name: y, type: Expression, bottom: x, expr: 'x / 3'}]"
    )
    answer = command("trace", "net.yaml", "--input", "x=1", "--json")
    assert [each["value"]["numbers"] for each in json.loads(answer.out)["values"]] == [1, 1 / 3]


WRONG = [
    ([], "nothing gives 'x', 'y', 'z' a value; say --input x=1,y=1,z=1"),
    (["--input", "x=1,y=2,w=3,z=4"], "there is no input or weight 'w'; there are: x, y, z"),
    (["--input", "x=1,y"], "--input takes NAME=VALUE, as in x=-2,y=[1,2],data=batch.npy, not 'y'"),
    (["--input", "x=1,x=2"], "--input gives 'x' twice"),
    (["--input", "x=one"], "--input: x=one is no number, no list in brackets and no .npy file"),
    (["--input", "x=[1,[2"], "--input: x=[1,[2 is no number, no list in brackets and no .npy file"),
    (["--input", "x=[[1],[2,3]]"], "'x' must be an array of numbers, with rows of one length"),
    (["--input", "x=1,y=2,z=3", "--output", "g"], "there is no value 'g'; there are: x, y, z, q, f"),
    (["--input", "x=1,y=2,z=3", "--mode", "forward"], "forward mode needs something that moves, as in"),
    (["--tangent", "x=1"], "--tangent is for forward mode: add --mode forward"),
    (["--mode", "forward", "--output", "f"], "--output is for reverse mode"),
    (["-o", "net.svg", "--json"], "--json means nothing beside -o"),
    (["-o", "net.gif"], "a traced graph's file ends in .svg, .png or .html, not in '.gif'"),
    (["--input", "x=no.npy"], "no.npy"),
]


def test_what_cannot_be_traced_is_said_in_a_sentence(command, folder):
    (folder / "gates.yaml").write_text(GATES)
    for arguments, said in WRONG:
        answer = command("trace", "gates.yaml", *arguments)
        assert answer.status == 2, arguments
        assert said in answer.err, arguments
        assert len(answer.err.splitlines()) == 1


def test_a_net_of_two_outputs_needs_to_be_told_which(command, folder):
    (folder / "net.yaml").write_text(TWO_PATHS + "  - {name: g, type: TanH, bottom: x1}\n")
    answer = command("trace", "net.yaml", "--input", "x1=1,x2=2")
    assert answer.err == "the net has no loss; say by --output what is to be differentiated; there are: f, g\n"


def test_a_net_of_inputs_alone_has_nothing_to_differentiate(command, folder):
    (folder / "net.yaml").write_text("layers:\n  - {name: x, type: Input, shape: [2]}\n")
    answer = command("trace", "net.yaml", "--input", "x=1")
    assert (answer.status, answer.err) == (2, "the net computes nothing that has a derivative\n")


def test_the_one_output_with_derivatives_is_differentiated_through_layers_of_two_tops():
    """p = l r of the halves of a, and an ArgMax that has no derivative."""
    layers = """
    layers:
      - {name: a, type: Input, shape: [2, 4]}
      - {name: s, type: Slice, bottom: a, top: [l, r], axis: 1}
      - {name: p, type: Eltwise, bottom: [l, r], operation: PROD}
      - {name: best, type: ArgMax, bottom: p}
      - {name: d, type: Power, bottom: p, scale: 3}
    """
    trace = reverse(layers, a=[[1, 2, 3, 4], [5, 6, 7, 8]])
    assert trace.about == "d"
    np.testing.assert_array_equal(total(trace, "a"), [[9, 12, 3, 6], [21, 24, 15, 18]])
    assert local_of(trace, "a", "l").norm == pytest.approx(2)
