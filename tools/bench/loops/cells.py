"""The cells: each as a built-in layer and as the body of a Recurrent, and the sizes at which they are measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

STEPS = 100
BEGINS = 0.05
"""The share of the steps of each sequence in which one begins."""
SEED = 1

Array = npt.NDArray[Any]
Layers = list[dict[str, Any]]


@dataclass(frozen=True)
class Cell:
    """One cell in both forms."""

    type: str
    """The built-in layer's."""
    states: Sequence[str]
    """Each is in the next step what the body calls `NAME_new`."""
    output: str
    body: Callable[[int], Layers]
    """The layers of one step, for so many units."""
    weights: Mapping[str, str]
    """The built-in layer's weights by name, and what they are called in the body."""


@dataclass(frozen=True)
class Row:
    """A cell at one size; the input has as many numbers as there are units."""

    cell: Cell
    batch: int
    units: int
    target: float | None = None
    """How many times as long as the built-in layer the body may take, forward and backward."""


def _product(name: str, bottom: str, outputs: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "InnerProduct", "bottom": bottom, "num_output": outputs, **more}


def _lstm(units: int) -> Layers:
    return [
        _product("i2h", "x", 4 * units),
        _product("h2h", "h", 4 * units, bias_term=False),
        {"name": "gates", "type": "Eltwise", "bottom": ["i2h", "h2h"]},
        {"name": "parts", "type": "Slice", "top": ["i", "f", "o", "g"]},
        {
            "name": "cell",
            "type": "Expression",
            "bottom": ["i", "f", "o", "g", "c"],
            "top": ["c_new", "h_new"],
            "results": {"c_new": "sigmoid(f) * c + sigmoid(i) * tanh(g)", "h_new": "sigmoid(o) * tanh(c_new)"},
        },
    ]


def _gru(units: int) -> Layers:
    gates = {
        "r": "sigmoid(x_r + h_r)",
        "z": "sigmoid(x_z + h_z)",
        "n": "tanh(x_n + r * h_n)",
        "h_new": "n + z * (h - n)",
    }
    return [
        _product("i2h", "x", 3 * units),
        _product("h2h", "h", 3 * units, bias_term=False),
        {"name": "of_x", "type": "Slice", "bottom": "i2h", "top": ["x_r", "x_z", "x_n"]},
        {"name": "of_h", "type": "Slice", "bottom": "h2h", "top": ["h_r", "h_z", "h_m"]},
        {"name": "h_n", "type": "Bias", "bottom": "h_m"},
        {
            "name": "h_new",
            "type": "Expression",
            "bottom": ["x_r", "x_z", "x_n", "h_r", "h_z", "h_n", "h"],
            "results": gates,
        },
    ]


def _rnn(units: int) -> Layers:
    return [
        _product("i2h", "x", units),
        _product("h2h", "h", units, bias_term=False),
        {"name": "sum", "type": "Eltwise", "bottom": ["i2h", "h2h"]},
        {"name": "h_new", "type": "TanH"},
        _product("h2o", "h_new", units),
        {"name": "y", "type": "TanH"},
    ]


LSTM = Cell("LSTM", ["h", "c"], "h_new", _lstm, {"W_xc": "i2h.weight", "b_c": "i2h.bias", "W_hc": "h2h.weight"})
GRU = Cell(
    "GRU", ["h"], "h_new", _gru, {"W_xh": "i2h.weight", "b_h": "i2h.bias", "W_hh": "h2h.weight", "b_hn": "h_n.bias"}
)
RNN = Cell(
    "RNN",
    ["h"],
    "y",
    _rnn,
    {"W_xh": "i2h.weight", "b_h": "i2h.bias", "W_hh": "h2h.weight", "W_ho": "h2o.weight", "b_o": "h2o.bias"},
)
ROWS = {
    "lstm_256": Row(LSTM, 32, 256, 1.5),
    "lstm_64": Row(LSTM, 16, 64, 3),
    "gru_256": Row(GRU, 32, 256),
    "gru_64": Row(GRU, 16, 64),
    "rnn_256": Row(RNN, 32, 256),
    "rnn_64": Row(RNN, 16, 64),
}
"""In the order of measuring."""


def tree(row: Row, body: bool) -> dict[str, Any]:
    """A net of the cell, called rnn, over its inputs x and cont."""
    cell, read = row.cell, {"name": "rnn", "bottom": ["x", "cont"]}
    inputs: Layers = [
        {"name": "x", "type": "Input", "shape": [STEPS, row.batch, row.units]},
        {"name": "cont", "type": "Input", "shape": [STEPS, row.batch]},
    ]
    if not body:
        return {"layers": [*inputs, {**read, "type": cell.type, "num_output": row.units}]}
    loop = {
        "type": "Recurrent",
        "cont": "cont",
        "carry": True,
        "states": {state: {"next": f"{state}_new"} for state in cell.states},
        "outputs": [cell.output],
        "body": cell.body(row.units),
    }
    return {"layers": [*inputs, {**read, **loop}]}


def given(row: Row, shapes: Mapping[str, Sequence[int]]) -> dict[str, Array]:
    """What all sides begin with: inputs x and cont, the output's diff dy, and weights of these shapes by name."""
    random = np.random.default_rng(SEED)
    x, dy = random.standard_normal((2, STEPS, row.batch, row.units), np.float32)
    bound = row.units**-0.5
    weights = {name: random.uniform(-bound, bound, shape) for name, shape in sorted(shapes.items())}
    return {"x": x, "cont": random.uniform(size=(STEPS, row.batch)) >= BEGINS, "dy": dy, **weights}
