"""Rules of the recurrent layers: a Scan goes through the steps, since ONNX's own cannot begin anew where cont is 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from layerkit.convert.onnx.here import Here
from layerkit.convert.onnx.rules import rule
from layerkit.convert.onnx.subgraphs import Subgraph
from layerkit.convert.onnx.values import Nodes, Value

Step = Callable[[Here, Nodes, Value, Value, Sequence[Value]], Sequence[Value]]
"""From a step's gates, its product with W_h, and the carried states to the states after it."""


@rule("LSTM")
def _lstm(here: Here, *bottoms: Value) -> list[Value]:
    return _through(here, bottoms, _lstm_step)


@rule("GRU")
def _gru(here: Here, *bottoms: Value) -> list[Value]:
    return _through(here, bottoms, _gru_step)


@rule("RNN")
def _rnn(here: Here, *bottoms: Value) -> list[Value]:
    h, *last = _through(here, bottoms, _rnn_step)
    product = here.op("MatMul", h, _transposed(here, "W_ho"))
    return [here.op("Tanh", product + here.weight("b_o")), *last]


@rule("LSTMUnit")
def _lstm_unit(here: Here, cell: Value, gates: Value, cont: Value) -> list[Value]:
    carried = here.op("Mul", cell, here.op("Unsqueeze", cont, [-1]))
    h, c = _lstm_cell(here.nodes, gates, carried)
    return [c, h]


def _lstm_step(here: Here, nodes: Nodes, gates: Value, product: Value, carried: Sequence[Value]) -> Sequence[Value]:
    return _lstm_cell(nodes, nodes.op("Add", gates, product), carried[1])


def _lstm_cell(nodes: Nodes, gates: Value, carried: Value) -> list[Value]:
    """h and c."""
    i, f, o, g = nodes.ops(4, "Split", gates, None, axis=-1, num_outputs=4)
    kept = nodes.op("Mul", nodes.op("Sigmoid", f), carried)
    c = nodes.op("Add", kept, nodes.op("Mul", nodes.op("Sigmoid", i), nodes.op("Tanh", g)))
    return [nodes.op("Mul", nodes.op("Sigmoid", o), nodes.op("Tanh", c)), c]


def _gru_step(here: Here, nodes: Nodes, gates: Value, product: Value, carried: Sequence[Value]) -> Sequence[Value]:
    ar, az, an = nodes.ops(3, "Split", gates, None, axis=-1, num_outputs=3)
    pr, pz, pn = nodes.ops(3, "Split", product, None, axis=-1, num_outputs=3)
    r, z = nodes.op("Sigmoid", nodes.op("Add", ar, pr)), nodes.op("Sigmoid", nodes.op("Add", az, pz))
    n = nodes.op("Tanh", nodes.op("Add", an, nodes.op("Mul", r, nodes.op("Add", pn, here.weight("b_hn")))))
    return [nodes.op("Add", n, nodes.op("Mul", z, nodes.op("Sub", carried[0], n)))]


def _rnn_step(here: Here, nodes: Nodes, gates: Value, product: Value, carried: Sequence[Value]) -> Sequence[Value]:
    return [nodes.op("Tanh", nodes.op("Add", gates, product))]


def _through(here: Here, bottoms: Sequence[Value], step: Step) -> list[Value]:
    """The h of all steps, (T, N, D), and with expose_hidden the states after the last, (1, N, D) each."""
    layer: Any = here.layer
    d = here.params.num_output
    static = len(bottoms) > 2 + layer.exposed
    gates = _gates(here, bottoms, static=static)
    cont = here.op("Unsqueeze", bottoms[1], [2])  # (T, N, 1)
    if layer.exposed:
        firsts = [here.op("Squeeze", each, [0]) for each in bottoms[len(bottoms) - layer.exposed :]]
    else:
        here.notes.append("its state is 0 at the beginning of each run, as it is in a new net")
        size = here.lengths(bottoms[1], here.bottoms[1], (here.bottoms[1][1], d))
        firsts = [here.op("Expand", 0.0, size) for _ in layer.hidden]
    body = _body(here, step)
    *last, h = here.ops(len(firsts) + 1, "Scan", *firsts, gates, cont, num_scan_inputs=2, body=body)
    return [h, *(here.op("Unsqueeze", each, [0]) for each in last)] if layer.exposed else [h]


def _gates(here: Here, bottoms: Sequence[Value], *, static: bool) -> Value:
    """What the gates get from outside, for all steps at once, (T, N, G)."""
    w_x, b, w_static, _ = here.layer.names  # type: ignore[attr-defined]
    dims = here.bottoms[0]
    x = here.reshape(bottoms[0], dims, (*dims[:2], here.array(w_x).shape[1]))
    gates = here.op("MatMul", x, _transposed(here, w_x)) + here.weight(b)
    if not static:
        return gates
    rows = here.reshape(bottoms[2], here.bottoms[2], (here.bottoms[2][0], here.array(w_static).shape[1]))
    return gates + here.op("MatMul", rows, _transposed(here, w_static))


def _body(here: Here, step: Step) -> Any:
    """The graph of one step: states, gates and cont in; states and h out."""
    layer: Any = here.layer
    d = here.params.num_output
    rows = here.bottoms[1][1]
    inside = Subgraph(here.nodes, "step")
    states = [inside.input(name, (rows, d)) for name in layer.hidden]
    gates, cont = inside.input("gates", (rows, d * layer.gates)), inside.input("cont", (rows, 1))
    carried = [inside.op("Mul", state, cont) for state in states]
    product = inside.op("MatMul", carried[0], _transposed(here, layer.names[3]))
    after = list(step(here, inside.nodes, gates, product, carried))
    return inside.finish([(value, (rows, d)) for value in (*after, after[0])])


def _transposed(here: Here, name: str) -> Value:
    """A weight as what stands behind is multiplied with."""
    return here.op("Transpose", here.weight(name), perm=[1, 0])
