"""LSTM, GRU and RNN, forward, backward in time, or both ways, each way a layer of its own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from layerkit.blob import Array
from layerkit.convert.onnx.building import Known
from layerkit.convert.onnx.operators import At, reads
from layerkit.convert.onnx.operators.formulas import formula

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
ACTIVATIONS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
OPEN = 1e4
"""What makes a gate's sigmoid 1, and negated 0, to the last bit of a float32."""


class _Way(NamedTuple):
    """The weights of one direction."""

    w: Array
    r: Array
    b: Array
    """(2, G D): what is added to the product with x, and to that with the state."""


@reads("LSTM", "GRU", "RNN")
def _recurrent(at: At) -> list[Known]:
    node, kind = at.node, at.node.kind
    direction = node.attribute("direction", "forward")
    ways = 2 if direction == "bidirectional" else 1
    _expect_plain(at, ways)
    x, states = at.blob(0), 2 if kind == "LSTM" else 1
    w, r, bias = node.needed(1), node.needed(2), node.array(3)
    b = np.zeros((ways, 2 * w.shape[1]), np.float32) if bias is None else bias
    outputs: list[list[Known]] = [[], [], []]
    for i in range(ways):
        backward = direction == "reverse" or i == 1
        name = "back" if backward else "forth"
        first = [_first(at, x, 5 + j, i, r.shape[2], f"{name}/first{j}") for j in range(states)]
        steps = _turned(at, x, f"{name}/x") if backward else x
        label = at.name if ways == 1 else f"{at.name}/{name}"
        y, *last = _layer(at, label, steps, first, _Way(w[i], r[i], b[i].reshape(2, -1)))
        y = _turned(at, y, f"{name}/y") if backward else y
        y = at.net.reshape(f"{at.name}/{name}/way", y, (y.shape[0], 1, *y.shape[1:]))
        for found, value in zip(outputs, [y, *last], strict=False):
            found.append(value)
    read = [at.net.used(name) for name in node.outputs]
    return [
        at.add("Concat", *found, step=f"ways{i}", axis=0 if i else 1) if len(found) > 1 and is_read else found[0]
        for i, (found, is_read) in enumerate(zip(outputs, read, strict=False))
    ]


def _expect_plain(at: At, ways: int) -> None:
    """Say so where the node is of another kind than layerkit has."""
    node, kind = at.node, at.node.kind
    node.need("layout", 0, 0)
    node.need("clip", 0.0, 0.0)
    node.need("input_forget", 0, 0)
    if kind == "GRU" and not node.attribute("linear_before_reset", 0):
        node.fail("its gate acts on the state before the product (linear_before_reset is 0), and layerkit's behind it")
    usual = ACTIVATIONS[kind] * ways
    given = [each.decode() if isinstance(each, bytes) else each for each in node.attribute("activations", usual)]
    if given != usual:
        node.fail(f"its activations are {given}, and layerkit has a layer only for {usual}")
    if len(node.inputs) > 7 and node.inputs[7] is not None:
        node.fail("it has peepholes")
    lengths = node.array(4)
    if lengths is not None and not np.all(lengths == at.blob(0).shape[0]):
        node.fail("its sequences are of several lengths")


def _first(at: At, x: Known, i: int, way: int, size: int, step: str) -> Known:
    """The state before the first step, (1, N, D): an input of the node, or the same numbers for every sequence."""
    given = at.node.inputs[i] if i < len(at.node.inputs) else None
    if isinstance(given, Known):
        if given.shape[0] == 1:
            return given
        return at.net.layer("Slice", f"{at.name}/{step}", given, axis=0, tops=2)[way]
    rows = np.zeros((1, size), np.float32) if given is None else given[way]
    if np.any(rows != rows[:1]):
        return at.net.constant(at.name, rows[np.newaxis])
    return formula(
        at,
        "where(sum(x, axis=(0, 2), keepdims=True) > 0, first, first)",
        {"x": x, "first": np.array(rows[np.newaxis, :1])},
        step=step,
    )


def _layer(at: At, label: str, x: Known, first: list[Known], way: _Way) -> list[Known]:
    """h at every step, (T, N, D), and the states after the last, (1, N, D)."""
    goes_on = formula(at, "where(sum(x, axis=2) > 0, 1, 1)", {"x": x}, step="goes_on")
    d = way.r.shape[1]
    both = way.b.sum(axis=0)
    if at.node.kind == "LSTM":  # the order is i, o, f, c, and here i, f, o, g
        order = [0, 2, 1, 3]
        weights = {"W_xc": _ordered(way.w, order), "W_hc": _ordered(way.r, order), "b_c": _ordered(both, order)}
        kind = "LSTM"
    else:
        kind = "GRU"
        w, r, b, apart = way.w, way.r, both, np.zeros(d, np.float32)
        if at.node.kind == "GRU":  # the order is z, r, h, and here r, z, n
            order = [1, 0, 2]
            w, r = _ordered(w, order), _ordered(r, order)
            b, apart = _ordered(np.concatenate([both[: 2 * d], way.b[0, 2 * d :]]), order), way.b[1, 2 * d :]
        else:  # a GRU that never resets and takes every new state as it is
            gates = np.zeros((2 * d, 1), np.float32)
            w, r = (np.concatenate([np.broadcast_to(gates, (2 * d, each.shape[1])), each]) for each in (w, r))
            b = np.concatenate([np.full(d, OPEN), np.full(d, -OPEN), both])
        weights = {"W_xh": w, "W_hh": r, "b_h": b, "b_hn": apart}
    return at.net.layer(
        kind, label, x, goes_on, *first, weights=weights, tops=1 + len(first), num_output=d, expose_hidden=True
    )


def _ordered(rows: Array, order: list[int]) -> Array:
    """The rows of each gate in another order of gates."""
    parts = np.split(rows, len(order))
    return np.concatenate([parts[i] for i in order])


def _turned(at: At, x: Known, step: str) -> Known:
    """x (T, N, K) with its steps in the reverse order, as a product with a matrix of 0 and 1."""
    turn = np.eye(x.shape[0], dtype=np.float32)[::-1]
    expr = f"reshape(turn @ reshape(x, (0, -1)), ({x.shape[0]}, -1, {x.shape[2]}))"
    return formula(at, expr, {"x": x, "turn": turn}, step=step)
