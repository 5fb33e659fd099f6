"""Recurrent layers that PyTorch has too, and CTC. What layerkit keeps in one weight is cut up for PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.func import functional_call

from torch_reference.recording import Recording, Tensors

D = 4
CONT = np.array([[0, 0], [1, 1], [1, 1], [1, 1], [1, 1]])  # PyTorch knows no sequences that begin within a batch
FILLED = {"num_output": D, "weight_filler": {"type": "uniform", "min": -1, "max": 1}}


def lstm_order(gates: Any) -> Any:
    """Rows of i, f, o, g in PyTorch's order i, f, g, o."""
    i, f, o, g = gates.split(D)
    return torch.cat([i, f, g, o])


def run(kind: type[torch.nn.Module], x: Any, given: Mapping[str, Any], states: Any) -> Any:
    module = kind(x.shape[-1], D, dtype=x.dtype)
    named = {f"{name}_l0": tensor for name, tensor in given.items()}
    return functional_call(module, named, (x,) if states is None else (x, states))


def lstm(bottoms: Tensors, weights: Mapping[str, Any]) -> Any:
    given = {
        "weight_ih": lstm_order(weights["W_xc"]),
        "weight_hh": lstm_order(weights["W_hc"]),
        "bias_ih": lstm_order(weights["b_c"]),
        "bias_hh": torch.zeros(4 * D, dtype=torch.float64),
    }
    y, states = run(torch.nn.LSTM, bottoms[0], given, tuple(bottoms[2:]) or None)
    return [y, *states] if len(bottoms) > 2 else y


def gru(bottoms: Tensors, weights: Mapping[str, Any]) -> Any:
    given = {
        "weight_ih": weights["W_xh"],
        "weight_hh": weights["W_hh"],
        "bias_ih": weights["b_h"],
        "bias_hh": torch.cat([torch.zeros(2 * D, dtype=torch.float64), weights["b_hn"]]),
    }
    y, state = run(torch.nn.GRU, bottoms[0], given, bottoms[2] if len(bottoms) > 2 else None)
    return [y, state] if len(bottoms) > 2 else y


def rnn(bottoms: Tensors, weights: Mapping[str, Any]) -> Any:
    given = {
        "weight_ih": weights["W_xh"],
        "weight_hh": weights["W_hh"],
        "bias_ih": weights["b_h"],
        "bias_hh": torch.zeros(D, dtype=torch.float64),
    }
    h, state = run(torch.nn.RNN, bottoms[0], given, bottoms[2] if len(bottoms) > 2 else None)
    y = torch.tanh(h @ weights["W_ho"].T + weights["b_o"])
    return [y, state] if len(bottoms) > 2 else y


def rows(kind: str, compute: Callable[..., Any], states: int) -> list[Recording]:
    exposed = {**FILLED, "expose_hidden": True}
    first = [(1, 2, D)] * states
    return [
        Recording(kind, "plain", [(5, 2, 3), CONT], compute, FILLED),
        Recording(kind, "exposed", [(5, 2, 3), np.ones((5, 2)), *first], compute, exposed, num_tops=1 + states),
    ]


UNIFORM = {"weight_filler": {"type": "uniform", "min": -1, "max": 1}}
CELL = [
    {"name": "i2h", "type": "InnerProduct", "bottom": "x", "num_output": D, **UNIFORM},
    {"name": "h2h", "type": "InnerProduct", "bottom": "h", "num_output": D, **UNIFORM},
    {"name": "sum", "type": "Eltwise", "bottom": ["i2h", "h2h"]},
    {"name": "h_new", "type": "TanH"},
]
BODY = {"body": CELL, "outputs": ["h_new"]}


def cell_weights(weights: Mapping[str, Any], way: str) -> dict[str, Any]:
    """Those of a body, by PyTorch's names."""
    ours = {"ih": f"{way}/i2h", "hh": f"{way}/h2h"}
    return {f"{what}_{end}": weights[f"{name}.{what}"] for end, name in ours.items() for what in ("weight", "bias")}


def cell(bottoms: Tensors, weights: Mapping[str, Any]) -> Any:
    """PyTorch's cell, step by step from a first state."""
    x, h = bottoms
    module, states = torch.nn.RNNCell(x.shape[-1], D, dtype=x.dtype), []
    for step in x:
        h = functional_call(module, cell_weights(weights, "body"), (step, h))
        states.append(h)
    return torch.stack(states)


def both_ways(bottoms: Tensors, weights: Mapping[str, Any]) -> Any:
    """PyTorch's RNN both ways over sequences of several lengths."""
    x, lengths = bottoms
    module = torch.nn.RNN(x.shape[-1], D, bidirectional=True, dtype=x.dtype)
    given = {f"{name}_l0": tensor for name, tensor in cell_weights(weights, "body").items()}
    given |= {f"{name}_l0_reverse": tensor for name, tensor in cell_weights(weights, "reverse").items()}
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths.long(), enforce_sorted=False)
    outputs, _ = functional_call(module, given, (packed,))
    return torch.nn.utils.rnn.pad_packed_sequence(outputs, total_length=len(x))[0]


def ctc(**options: Any) -> Callable[..., Any]:
    """The loss by PyTorch, with its own names of the options."""

    def compute(bottoms: Tensors, weights: Mapping[str, Any]) -> Any:
        x, labels, *lengths = bottoms
        steps, counts = lengths or (torch.full((x.shape[1],), x.shape[0]), (labels >= 0).sum(1))
        return torch.nn.functional.ctc_loss(
            x.log_softmax(2), labels.long().clamp(min=0), steps.long(), counts.long(), **options
        )

    return compute


LONG = np.array([[1, 2, 2, 4, -1], [3, 3, 3, -1, -1], [5, -1, -1, -1, -1], [-1, -1, -1, -1, -1]])
TIGHT = np.array([[1, 1, 2], [2, 1, 3]])

RECORDINGS = [
    Recording(
        "Recurrent",
        "PyTorch's cell",
        [(5, 2, 3), (2, D)],
        cell,
        {**BODY, "inputs": ["x", "h0"], "states": {"h": {"next": "h_new", "start": "h0"}}},
    ),
    Recording(
        "Recurrent",
        "both ways, by lengths",
        [(5, 3, 2), np.array([2, 5, 3])],
        both_ways,
        {**BODY, "inputs": ["x", "n"], "lengths": "n", "bidirectional": True, "states": {"h": {"next": "h_new"}}},
    ),
    *rows("LSTM", lstm, 2),
    *rows("GRU", gru, 1),
    *rows("RNN", rnn, 1),
    Recording("CTCLoss", "sum", [(12, 4, 6), LONG], ctc(reduction="sum"), {"normalization": "NONE"}),
    Recording("CTCLoss", "mean", [(12, 4, 6), LONG], ctc(reduction="mean"), {"normalization": "LENGTH"}),
    Recording(
        "CTCLoss",
        "lengths, another blank",
        [(12, 4, 7), LONG, np.array([12, 7, 9, 3]), np.array([4, 3, 1, 0])],
        ctc(reduction="sum", blank=6),
        {"normalization": "NONE", "blank": 6},
    ),
    Recording(
        "CTCLoss",
        "zero infinity",
        [(3, 2, 6), TIGHT],
        ctc(reduction="sum", zero_infinity=True),
        {"normalization": "NONE", "zero_infinity": True},
    ),
]
