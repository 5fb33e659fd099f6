"""RNN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.layer import Bottoms, Plan, Scratch, Tops, Weight
from layerkit.layers.recurrent.recurrence import Recurrence, RecurrenceParams
from layerkit.registry import register


@register
class RNN(Recurrence):
    """Simple recurrent network: each step mixes its input with the state of the step before.

        h[t] = tanh(x[t] W_xh^T + b_h + static W_xh_static^T + cont[t] h[t-1] W_hh^T)
        y[t] = tanh(h[t] W_ho^T + b_o)

    Where cont is 0 a sequence begins, and h before it counts as 0; where it is 1 the sequence goes on, at t = 0 from
    the batch before.

    Bottoms: x (T, N, ...), T steps of N sequences, K numbers each; cont (T, N), 0 or 1, without gradient; optionally a
    static input (N, ...), J numbers for each sequence; with expose_hidden, h before the first step, (1, N, D).
    Tops: y (T, N, D), D = num_output; with expose_hidden, h after the last step, (1, N, D).
    Weights: W_xh (D, K), b_h (D,), with a static input W_xh_static (D, J), W_hh (D, D), W_ho (D, D), b_o (D,).
    The gradient goes back to the first step of the batch, and with expose_hidden into h before it.
    Raises ShapeError where the bottoms do not fit together, or where there are too many or too few.

    Example: {name: rnn, type: RNN, bottom: [steps, cont], num_output: 32, weight_filler: {type: uniform, min: -0.1,
      max: 0.1}}
    Source: Elman 1990; Caffe's rnn_layer.cpp and recurrent_layer.cpp.
    """

    class Params(RecurrenceParams):
        """Parameters of RNN."""

    bottoms = (2, 4)
    tops = (1, 2)

    def more_weights(self) -> Sequence[Weight]:
        p, d = self.params, self.params.num_output
        return [Weight("W_ho", (d, d), p.weight_filler), Weight("b_o", (d,), p.bias_filler)]

    def more_scratch(self, t: int, n: int) -> Sequence[Scratch]:
        d = self.params.num_output
        return [Scratch("h", (t, n, d), keep=True), Scratch("dy", (t * n, d)), Scratch("dh", (t, n, d))]

    def plan(self, *bottoms: Shape) -> Plan:
        return replace(super().plan(*bottoms), reads_tops=(0,))

    def outputs(self, top: Tops) -> Array:
        h: Array = self.scratch.h
        return h

    def step(self, t: int, gates: Array, product: Array, states: Sequence[Array]) -> None:
        np.tanh(np.add(gates, product, out=gates), out=states[0])

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        super().forward(bottom, top)
        y = np.matmul(self.scratch.h, self.weights.W_ho.data.T, out=top[0].data)
        y += self.weights.b_o.data
        np.tanh(y, out=y)

    def output_diffs(self, top: Tops) -> Array:
        y, dy = top[0].data, self.scratch.dy.reshape(top[0].shape, copy=False)
        dh: Array = self.scratch.dh
        np.square(y, out=dy)
        np.subtract(1, dy, out=dy)
        np.multiply(dy, top[0].diff, out=dy)  # through the tanh
        np.matmul(dy, self.weights.W_ho.data, out=dh)
        return dh

    def slopes(self, dgates: Array) -> None:
        np.square(self.scratch.h, out=dgates)
        np.subtract(1, dgates, out=dgates)

    def step_back(self, t: int, dgates: Array, diffs: Sequence[Array]) -> Array:
        dgates *= diffs[0]
        diffs[0][...] = 0
        return dgates

    def step_tangent(self, t: int, gates: Array, product: Array, carried: Sequence[Array]) -> Sequence[Array]:
        return ((1 - self.scratch.h[t] ** 2) * (gates + product),)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        super().backward(top, propagate_down, bottom)
        dy = self.scratch.dy  # (T N, D)
        if "W_ho" in self.asked:
            np.matmul(dy.T, self.scratch.h.reshape(dy.shape, copy=False), out=self.weights.W_ho.diff)
        if "b_o" in self.asked:
            np.sum(dy, axis=0, out=self.weights.b_o.diff)

    def jvp(
        self, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], top_tangent: Sequence[Array]
    ) -> None:
        h, moves, w = np.empty_like(self.scratch.h), self.weight_tangents, self.weights.W_ho.data
        super().jvp(bottom, top, bottom_tangent, [h, *top_tangent[1:]])
        total = h @ w.T + moves.get("b_o", 0)
        if "W_ho" in moves:
            total += self.scratch.h @ moves["W_ho"].T
        np.multiply(total, 1 - top[0].data ** 2, out=top_tangent[0])
