"""LSTM."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerkit.blob import Array
from layerkit.layer import Scratch
from layerkit.layers.activation.logistic import logistic
from layerkit.layers.recurrent.recurrence import Recurrence, RecurrenceParams, parts
from layerkit.registry import register


@register
class LSTM(Recurrence):
    """Long short-term memory: recurrence through a cell that gates protect.

        i, f, o, g = x[t] W_xc^T + b_c + static W_xc_static^T + cont[t] h[t-1] W_hc^T     (D numbers each)
        c[t] = sigmoid(f) cont[t] c[t-1] + sigmoid(i) tanh(g)
        h[t] = sigmoid(o) tanh(c[t])

    Where cont is 0 a sequence begins, and h and c before it count as 0; where it is 1 the sequence goes on, at t = 0
    from the batch before.

    Bottoms: x (T, N, ...), T steps of N sequences, K numbers each; cont (T, N), 0 or 1, without gradient; optionally a
    static input (N, ...), J numbers for each sequence; with expose_hidden, h and c before the first step, (1, N, D).
    Tops: h (T, N, D), D = num_output; with expose_hidden, h and c after the last step, (1, N, D).
    Weights: W_xc (4 D, K), b_c (4 D,), with a static input W_xc_static (4 D, J), W_hc (4 D, D); rows in the order i, f,
    o, g. PyTorch's order is i, f, g, o.
    The gradient goes back to the first step of the batch, and with expose_hidden into h and c before it.
    Raises ShapeError where the bottoms do not fit together, or where there are too many or too few.

    Example: {name: lstm, type: LSTM, bottom: [steps, cont], num_output: 32, weight_filler: {type: uniform, min: -0.1,
      max: 0.1}}
    Source: Hochreiter and Schmidhuber 1997, with Gers et al.'s forget gate; Caffe's lstm_layer.cpp.
    """

    class Params(RecurrenceParams):
        """Parameters of LSTM."""

    bottoms = (2, 5)
    tops = (1, 3)
    hidden = ("h", "c")
    gates = 4
    letter = "c"

    def more_scratch(self, t: int, n: int) -> Sequence[Scratch]:
        d = self.params.num_output
        return [Scratch("tanh_c", (t, n, d), keep=True), Scratch("by_c", (t, n, d))]

    def step(self, t: int, gates: Array, product: Array, states: Sequence[Array]) -> None:
        (h, c), part, d = states, self.scratch.part, self.params.num_output
        np.add(gates, product, out=gates)
        logistic(gates[:, : 3 * d], out=gates[:, : 3 * d])
        np.tanh(gates[:, 3 * d :], out=gates[:, 3 * d :])
        i, f, o, g = parts(gates, 4)  # (N, D) each
        np.multiply(i, g, out=c)
        c += np.multiply(f, self.scratch.carried_c[t], out=part)
        np.multiply(o, np.tanh(c, out=self.scratch.tanh_c[t]), out=h)

    def slopes(self, dgates: Array) -> None:
        by_c, tanh_c = self.scratch.by_c, self.scratch.tanh_c
        i, f, o, g = parts(self.scratch.gates, 4)
        di, df, do, dg = parts(dgates, 4)
        for gate, slope, factor in ((i, di, g), (f, df, self.scratch.carried_c), (o, do, tanh_c)):
            np.subtract(1, gate, out=slope)
            slope *= gate
            slope *= factor
        np.square(g, out=dg)
        np.subtract(1, dg, out=dg)
        dg *= i
        np.square(tanh_c, out=by_c)
        np.subtract(1, by_c, out=by_c)
        by_c *= o  # what c adds to h

    def step_back(self, t: int, dgates: Array, diffs: Sequence[Array]) -> Array:
        (dh, dc), (di, df, do, dg) = diffs, parts(dgates, 4)
        dc += np.multiply(dh, self.scratch.by_c[t], out=self.scratch.part)
        for slope in (di, df, dg):
            slope *= dc
        do *= dh
        dc *= parts(self.scratch.gates[t], 4)[1]
        dh[...] = 0
        return dgates

    def step_tangent(self, t: int, gates: Array, product: Array, carried: Sequence[Array]) -> Sequence[Array]:
        (i, f, o, g), tanh_c = parts(self.scratch.gates[t], 4), self.scratch.tanh_c[t]
        t_i, t_f, t_o, t_g = parts(gates + product, 4)
        c = i * (1 - i) * t_i * g + i * (1 - g**2) * t_g
        c += f * (1 - f) * t_f * self.scratch.carried_c[t] + f * carried[1]
        return o * (1 - o) * t_o * tanh_c + o * (1 - tanh_c**2) * c, c
