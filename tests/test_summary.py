"""`layerkit summary`: counts that agree with those of others, memory that is what a net takes up, and its table."""

from __future__ import annotations

import json
import re
import tracemalloc
from pathlib import Path

import pytest

import layerkit as lk
from layerkit.cli import table
from layerkit.graph import load
from layerkit.graph.effort import of_node
from layerkit.programs import implementations
from layerkit.report.summary import summarize

FOLDER = Path(__file__).parents[1] / "configs"
COUNTS = Path(__file__).with_name("torch_reference_counts.json")


def summary_of(name, phase="train", engine="auto", **data):
    overrides = [f"net.layers.data.{field}={value}" for field, value in data.items()]
    return summarize(load(str(FOLDER / f"{name}.yaml"), [phase], overrides).graphs[phase], engine)


def recorded(of):
    """Of PyTorch's models, for one image: what `tools/record_torch_counts.py` wrote."""
    return json.loads(COUNTS.read_text(encoding="utf-8"))[of]


def of_one(found):
    """Weights, and multiply-adds of one sample."""
    return {"weights": found.weights, "multiply_adds": found.multiply_adds / found.rows[0].outputs[0][0]}


@pytest.mark.parametrize("name", recorded("torchvision"))
def test_counts_are_those_of_torchvisions_models(name):
    assert of_one(summary_of(name, "predict")) == recorded("torchvision")[name]


@pytest.mark.parametrize("name", recorded("bench"))
def test_counts_are_those_of_the_measured_nets_in_pytorch(name):
    net = Path(__file__).parents[1] / "tools" / "bench" / "nets" / f"{name}.yaml"
    assert of_one(summarize(load(str(net), ["train"]).graphs["train"], "auto")) == recorded("bench")[name]


def test_resnet50_is_the_one_of_2015():
    """As torchvision's documentation gives it; its own has the strides in the 3x3 layers, and 4.089e9."""
    found = of_one(summary_of("resnet50", "predict"))
    assert found["weights"] == 25_557_032
    assert found["multiply_adds"] == pytest.approx(3.858e9, rel=2e-3)


NET = """
layers:
  - {name: x, type: Input, shape: [5, 3, 8, 6]}
  - {name: up, type: Deconvolution, num_output: 4, kernel_size: 2, stride: 2}
  - {name: grouped, type: Convolution, bottom: x, num_output: 9, kernel_size: 3, group: 3}
  - {name: a, type: Input, shape: [2, 7, 12]}
  - {name: b, type: Input, shape: [2, 12, 11]}
  - {name: product, type: MatMul, bottom: [a, b]}
  - {name: attention, type: MultiHeadAttention, bottom: a, num_heads: 3}
  - {name: words, type: Input, shape: [2, 7]}
  - {name: embed, type: Embed, input_dim: 50, num_output: 4}
  - {name: cont, type: Input, shape: [2, 7]}
  - {name: lstm, type: LSTM, bottom: [a, cont], num_output: 10}
  - {name: state, type: Input, shape: [1, 7, 10]}
  - {name: fixed, type: Input, shape: [7, 6]}
  - {name: exposed, type: LSTM, bottom: [a, cont, fixed, state, state], top: [h, last_h, last_c], num_output: 10,
     expose_hidden: true}
  - {name: keys, type: Input, shape: [2, 5, 12]}
  - {name: values, type: Input, shape: [2, 5, 8]}
  - {name: across, type: MultiHeadAttention, bottom: [a, keys, values], num_heads: 3}
  - {name: formula, type: Expression, bottom: a, expr: "(x * b) @ w + b @ w", names: [x],
     weights: {w: {shape: [12, 4]}, b: {shape: [7, 12]}}}
  - {name: relu, type: ReLU, bottom: a}
  - {name: scale, type: Scale, bottom: a, num_axes: 2}
  - {name: parameter, type: Parameter, shape: [3, 4]}
"""


def test_multiply_adds_by_their_formulas():
    graph = load(NET, ["train"]).graphs["train"]
    counts = {node.name: of_node(node) for node in graph.nodes if node.spec.type != "Input"}
    assert counts == {
        "up": 5 * 8 * 6 * 3 * 4 * 2 * 2,  # PyTorch's counters say so too: each place of the bottom meets the kernel
        "grouped": 5 * 6 * 4 * 9 * 1 * 3 * 3,
        "product": 2 * 7 * 11 * 12,
        "attention": 2 * 7 * 4 * 12 * 12 + 2 * 2 * 7 * 7 * 12,
        "embed": 0,
        "lstm": 2 * 7 * 4 * 10 * (12 + 10),
        "exposed": 7 * 4 * 10 * (2 * (12 + 10) + 6),  # what is the same in all steps is multiplied once
        "across": 2 * 12 * (7 * 12 + 5 * 12 + 5 * 8 + 2 * 7 * 5 + 7 * 12),
        "formula": (2 * 7 + 7) * 12 * 4,
        "relu": 0,
        "scale": 0,
        "parameter": 0,
    }


def test_what_runs_inside_a_layer_counts_as_often_as_it_runs():
    body = "[{name: u, type: InnerProduct, bottom: h, num_output: 6}, {name: h_new, type: Sigmoid, bottom: u}]"
    loop = f"states: {{h: {{next: h_new, start: x}}}}, body: {body}"
    net = f"""
layers:
  - {{name: x, type: Input, shape: [4, 6]}}
  - {{name: steps, type: Input, shape: [5, 4, 3]}}
  - {{name: large, type: Input, shape: [4]}}
  - {{name: repeat, type: Repeat, bottom: x, times: 7, outputs: h_new, {loop}}}
  - {{name: last, type: Recurrent, bottom: [steps, x], inputs: [s, x],
     outputs: [{{blob: h_new, take: last}}, {{blob: u, take: last}}], top: [h5, u5], {loop}}}
  - {{name: cond, type: Cond, bottom: [x, large], condition: large, by: sample, outputs: y,
     then: [{{name: i, type: InnerProduct, bottom: x, num_output: 2}}, {{name: y, type: InnerProduct, num_output: 3}}],
     otherwise: [{{name: y, type: InnerProduct, bottom: x, num_output: 3}}]}}
"""
    graph = load(net, ["train"]).graphs["train"]
    counts = {node.name: of_node(node) for node in graph.nodes if node.bodies}
    assert counts == {"repeat": 7 * 4 * 6 * 6, "last": 5 * 4 * 6 * 6, "cond": 4 * 6 * 3}


@pytest.mark.parametrize("engine", ["auto", "numpy"])
@pytest.mark.parametrize("name", ["mlp", "cifar10_quick", "segmentation", "char_transformer", "lstm_sequence"])
def test_what_it_says_of_engine_and_memory_is_what_a_net_has(name, engine):
    graph = load(str(FOLDER / f"{name}.yaml"), ["train"]).graphs["train"]
    found = summarize(load(str(FOLDER / f"{name}.yaml"), ["train"]).graphs["train"], engine)
    net = lk.Net.from_graph(graph, engine=engine, keep=())
    net.program.backward_from_losses()
    assert {row.layer: row.runs_on for row in found.rows} == dict(implementations(graph, net.program))
    assert found.planned == pytest.approx(net.bytes["blobs"], rel=0.02)
    net.close()


def test_a_blob_counts_twice_where_it_has_a_gradient():
    train, test = (summary_of("lenet", phase, "numpy") for phase in ("train", "test"))
    rows = {row.layer: row for row in train.rows}
    assert rows["mnist"].activations == 4 * 64 * (28 * 28 + 1)
    assert rows["conv1"].activations == 2 * 4 * 64 * 20 * 24 * 24
    assert {row.layer: row for row in test.rows}["conv1"].activations == 4 * 100 * 20 * 24 * 24
    assert train.activations == sum(row.activations for row in train.rows)


def test_a_large_net_is_summed_up_without_its_memory():
    tracemalloc.start()
    found = summary_of("vgg16", engine="numpy", batch_size=64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.activations > 10e9
    assert peak < 50e6


def test_the_json_has_all(command):
    found = json.loads(command("summary", "configs/mlp.yaml", "--engine", "numpy", "--json").out)
    assert (found["name"], found["phase"], found["engine"]) == ("mlp", "train", "numpy")
    assert found["rows"][1] == {
        "layer": "fc1",
        "type": "InnerProduct",
        "outputs": [[64, 128]],
        "weights": 64 * 128 + 128,
        "statistics": 0,
        "multiply_adds": 64 * 64 * 128,
        "activations": 2 * 4 * 64 * 128,
        "runs_on": "numpy",
    }


def test_the_totals(command):
    lines = command("summary", "configs/mlp.yaml", "--engine", "numpy").out.splitlines()
    assert lines[0].split()[-3:] == ["activations", "runs", "on"]
    assert lines[-3:-1] == ["5 layers, 9,610 weights (phase train)", "606.2 k multiply-adds forward (engine numpy)"]
    assert lines[-1].startswith("activations ")
    assert lines[-1].endswith("with planned memory, work arrays included")


@pytest.mark.parametrize(("columns", "omitted"), [(80, []), (24, ["c"]), (17, ["c", "b"]), (5, ["c", "b"])])
def test_a_narrow_terminal_gets_fewer_columns(monkeypatch, capsys, columns, omitted):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    left_out = table.show(("a", "b", "c"), [("1" * 8, "2" * 8, "3" * 8)], may_omit=("c", "b"))
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert left_out == omitted
    assert max(map(len, shown.splitlines())) <= columns
    assert ("3" in shown) == ("c" not in omitted)


def test_numbers_in_units():
    given = (0, 8, 999, 999.6, 1234, 99_949, 99_951, 999_960, 1_814_073_344, 3e12)
    shown = ["0", "8", "999", "1.00 k", "1.23 k", "99.95 k", "100.0 k", "1.00 M", "1.81 G", "3.00 T"]
    assert [table.in_units(number) for number in given] == shown
    assert table.in_units(5, "B") == "5 B"
    assert table.in_units(5e6, "B") == "5.00 MB"
