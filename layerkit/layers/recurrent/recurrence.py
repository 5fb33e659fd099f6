"""Recurrence: what RNN, LSTM and GRU have in common. Each of them says what one step computes, forward and backward."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.fillers import Filler
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, State, Tops, Weight


class RecurrenceParams(LayerParams):
    """Parameters of RNN, LSTM and GRU."""

    num_output: int = Field(gt=0, description="Numbers in each state and each output, D.")
    weight_filler: Filler = Field(Filler(), description="How every weight matrix starts.")
    bias_filler: Filler = Field(Filler(), description="How every bias starts.")
    expose_hidden: bool = Field(
        False, description="Whether first states are bottoms and last states tops; otherwise they are carried along."
    )


class Recurrence(Layer):
    """Base of layers that go through T steps of N sequences. A step gets G numbers, D (num_output) for each gate:

        gates[t] = x[t] W_x^T + b + static W_static^T           for all steps at once
        carried[t] = cont[t] states[t-1]                        cont: 0 where a sequence begins, 1 where it goes on
        product = carried_h[t] W_h^T                            (N, G)
        states[t] = what `step` makes of gates[t], product and carried[t]

    Without expose_hidden the last states are the private state, with which the next batch begins, sequence by sequence;
    no gradient goes back into them (truncated backpropagation). A smaller batch leaves those of the others as they are.
    """

    Params = RecurrenceParams
    hidden: ClassVar[tuple[str, ...]] = ("h",)
    """What is handed from step to step, (N, D) each. The first is what is multiplied with W_h."""
    gates: ClassVar[int] = 1
    """G / D."""
    letter: ClassVar[str] = "h"
    """What Caffe's names of the weights end in."""

    @property
    def names(self) -> tuple[str, str, str, str]:
        """The names of W_x, b, W_static and W_h, which are Caffe's."""
        end = self.letter
        return f"W_x{end}", f"b_{end}", f"W_x{end}_static", f"W_h{end}"

    @property
    def exposed(self) -> int:
        """How many states are bottoms and tops."""
        return len(self.hidden) if self.params.expose_hidden else 0

    # -- what a step is: said by each type -------------------------------------------------------------------------

    def more_weights(self) -> Sequence[Weight]:
        """Weights beside those that all have."""
        return ()

    def more_scratch(self, t: int, n: int) -> Sequence[Scratch]:
        """Arrays to work in beside those that all have."""
        return ()

    def outputs(self, top: Tops) -> Array:
        """Where the h of all steps lie, (T, N, D)."""
        return top[0].data

    def step(self, t: int, gates: Array, product: Array, states: Sequence[Array]) -> None:
        """Write the states after step t, (N, D) each, the first of which lies in `outputs`.

        `gates` and `product`, (N, G), may be overwritten; what `gates` hold is there again in the backward pass.
        """
        raise NotImplementedError

    def slopes(self, dgates: Array) -> None:
        """Before the loop backward: write the part of the gates' diffs that is known for all steps, (T, N, G)."""
        raise NotImplementedError

    def step_back(self, t: int, dgates: Array, diffs: Sequence[Array]) -> Array:
        """Turn `diffs` of the states after step t, (N, D) each, into those of the carried ones, but for the product's.

        Finish `dgates`, (N, G), which holds `slopes`; return the product's diff, (N, G), which may be the same array.
        """
        raise NotImplementedError

    def step_tangent(self, t: int, gates: Array, product: Array, carried: Sequence[Array]) -> Sequence[Array]:
        """The tangents of the states after step t, (N, D) each, from those of what `step` was given."""
        raise NotImplementedError

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, *bottoms: Shape) -> Plan:
        self._check(bottoms)
        p, (t, n, *rest) = self.params, bottoms[0]
        d, g, k = p.num_output, p.num_output * self.gates, math.prod(rest)
        w_x, b, w_static, w_h = self.names
        static = self._has_static(bottoms)
        j = math.prod(bottoms[2][1:]) if static else 0
        return Plan(
            tops=[(t, n, d), *[(1, n, d)] * self.exposed],
            weights=[
                Weight(w_x, (g, k), p.weight_filler),
                Weight(b, (g,), p.bias_filler),
                *([Weight(w_static, (g, j), p.weight_filler)] if static else []),
                Weight(w_h, (g, d), p.weight_filler),
                *self.more_weights(),
            ],
            scratch=[
                Scratch("gates", (t, n, g), keep=True),
                *(Scratch(f"carried_{name}", (t, n, d), keep=True) for name in self.hidden),
                *(Scratch(f"last_{name}", (n, d)) for name in self.hidden),
                Scratch("product", (n, g)),
                Scratch("part", (n, d)),
                Scratch("dgates", (t, n, g)),
                Scratch("dx", (t * n, k)),
                *([Scratch("static", (n, g)), Scratch("dstatic", (n, j))] if static else []),
                *self.more_scratch(t, n),
            ],
            state=[] if self.exposed else [State(name, (n, d)) for name in self.hidden],
            gradients=[i != 1 for i in range(len(bottoms))],
            reads_bottoms=(0, 1, 2) if static else (0, 1),
            reads_tops=(),
            multiply_adds=n * g * (t * (k + d) + j),
        )

    def _has_static(self, bottoms: Sequence[object]) -> bool:
        return len(bottoms) > 2 + self.exposed

    def _check(self, bottoms: Sequence[Shape]) -> None:
        """Raise ShapeError unless these are the bottoms and tops that the parameters ask for."""
        x, cont = bottoms[:2]
        if len(x) < 2:
            raise ShapeError(f"bottom 0 must be (steps, sequences, ...), not {shape_text(x)}", "bottom")
        if cont != x[:2]:
            raise ShapeError(
                f"bottom 1 tells for each step of each sequence whether it goes on, so beside {shape_text(x)} it must "
                f"be {shape_text(x[:2])}, not {shape_text(cont)}",
                "bottom",
            )
        with_or_without = f"with expose_hidden {str(self.params.expose_hidden).lower()}"
        states = self.hidden[: self.exposed]
        if len(bottoms) - 2 - self.exposed not in (0, 1):
            listed = "".join(f", {name}_0" for name in states)
            raise ShapeError(
                f"{with_or_without} the bottoms are x, cont, optionally a static input{listed}; "
                f"but there are {len(bottoms)}",
                "bottom",
            )
        if self.num_tops != 1 + self.exposed:
            listed = "".join(f", {name}_T" for name in states)
            raise ShapeError(f"{with_or_without} the tops are y{listed}; but there are {self.num_tops}", "top")
        if self._has_static(bottoms) and bottoms[2][:1] != x[1:2]:
            raise ShapeError(
                f"bottom 2, the static input, must have a row for each of {x[1]} sequences, "
                f"but is {shape_text(bottoms[2])}",
                "bottom",
            )
        first = (1, x[1], self.params.num_output)
        for i in range(len(bottoms) - self.exposed, len(bottoms)):
            if bottoms[i] != first:
                raise ShapeError(
                    f"bottom {i}, a first state, must be {shape_text(first)}, not {shape_text(bottoms[i])}", "bottom"
                )

    # -- forward ---------------------------------------------------------------------------------------------------

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        gates, product, cont = self.scratch.gates, self.scratch.product, bottom[1].data[..., np.newaxis]
        h = self.outputs(top)  # (T, N, D)
        n = h.shape[1]
        self._fill_gates(bottom)
        carried = [getattr(self.scratch, f"carried_{name}") for name in self.hidden]
        last = [getattr(self.scratch, f"last_{name}") for name in self.hidden]
        kept = [getattr(self.state, name)[:n] for name in self.hidden] if not self.exposed else []
        firsts = [blob.data[0] for blob in bottom[len(bottom) - self.exposed :]] if self.exposed else kept
        for state, first in zip(last, firsts, strict=True):
            state[...] = first

        w = self.weights[self.names[3]].data.T  # (D, G)
        for t in range(len(h)):
            for state, before in zip(carried, last, strict=True):
                np.multiply(before, cont[t], out=state[t])
            np.matmul(carried[0][t], w, out=product)
            self.step(t, gates[t], product, [h[t], *last[1:]])
            last[0] = h[t]

        for array, state in zip([blob.data[0] for blob in top[1:]] if self.exposed else kept, last, strict=True):
            array[...] = state

    def _fill_gates(self, bottom: Bottoms) -> None:
        """Write what the gates get from outside, for all steps at once."""
        w_x, b, w_static, _ = self.names
        gates, w = self.scratch.gates, self.weights[w_x].data
        x = bottom[0].data.reshape(-1, w.shape[1])  # (T N, K)
        np.matmul(x, w.T, out=_rows(gates))
        gates += self.weights[b].data
        if self._has_static(bottom):
            w = self.weights[w_static].data
            gates += np.matmul(bottom[2].data.reshape(-1, w.shape[1]), w.T, out=self.scratch.static)

    # -- backward --------------------------------------------------------------------------------------------------

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        dgates, part, cont = self.scratch.dgates, self.scratch.part, bottom[1].data[..., np.newaxis]
        dh = self.output_diffs(top)  # (T, N, D)
        diffs = [getattr(self.scratch, f"last_{name}") for name in self.hidden]
        for i, diff in enumerate(diffs):
            diff[...] = top[1 + i].diff[0] if self.exposed else 0
        self.slopes(dgates)
        w = self.weights[self.names[3]].data  # (G, D)
        for t in reversed(range(len(dgates))):
            diffs[0] += dh[t]
            dproduct = self.step_back(t, dgates[t], diffs)
            diffs[0] += np.matmul(dproduct, w, out=part)
            for diff in diffs:
                diff *= cont[t]

        start = len(bottom) - self.exposed
        for blob, diff, down in zip(bottom[start:], diffs, propagate_down[start:], strict=False):
            if down:
                blob.diff[0] = diff
        self._fill_gates_back(propagate_down, bottom)

    def output_diffs(self, top: Tops) -> Array:
        """The diffs of `outputs` that come from top 0, (T, N, D)."""
        return top[0].diff

    def product_diffs(self) -> Array:
        """What `step_back` gave back, for all steps, (T, N, G)."""
        dgates: Array = self.scratch.dgates
        return dgates

    # -- forward mode ----------------------------------------------------------------------------------------------

    def jvp(
        self, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], top_tangent: Sequence[Array]
    ) -> None:
        cont, (w_x, b, w_static, w_h) = bottom[1].data[..., np.newaxis], self.names
        moves, h, w = self.weight_tangents, top_tangent[0], self.weights[w_h].data
        gates = np.zeros_like(self.scratch.gates) + moves.get(b, 0)
        for i, name, kept in ((0, w_x, 2), *([(2, w_static, 1)] if self._has_static(bottom) else [])):
            for x, matrix in ((bottom_tangent[i], self.weights[name].data), (bottom[i].data, moves.get(name))):
                if x is not None and matrix is not None:
                    gates += x.reshape(*x.shape[:kept], matrix.shape[1]) @ matrix.T
        firsts = bottom_tangent[len(bottom) - self.exposed :] if self.exposed else [None] * len(self.hidden)
        states = [np.zeros_like(self.scratch.part) if first is None else first[0] for first in firsts]
        for t in range(len(gates)):
            carried = [state * cont[t] for state in states]
            product = carried[0] @ w.T
            if w_h in moves:
                product += self.scratch.carried_h[t] @ moves[w_h].T
            states = list(self.step_tangent(t, gates[t], product, carried))
            h[t] = states[0]
        for out, state in zip(top_tangent[1:], states, strict=False):
            out[0] = state

    def _fill_gates_back(self, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        """The gradients of all that is multiplied, for all steps at once."""
        w_x, b, w_static, w_h = self.names
        weights, asked, d = self.weights, self.asked, _rows(self.scratch.dgates)  # (T N, G)
        if w_x in asked:
            dw = weights[w_x].diff
            np.matmul(d.T, bottom[0].data.reshape(-1, dw.shape[1]), out=dw)
        if b in asked:
            np.sum(d, axis=0, out=weights[b].diff)
        if w_h in asked:
            np.matmul(_rows(self.product_diffs()).T, _rows(self.scratch.carried_h), out=weights[w_h].diff)
        if propagate_down[0]:
            bottom[0].diff[...] = np.matmul(d, weights[w_x].data, out=self.scratch.dx).reshape(bottom[0].shape)
        if self._has_static(bottom):
            d = np.sum(self.scratch.dgates, axis=0, out=self.scratch.static)  # (N, G)
            if w_static in asked:
                dw = weights[w_static].diff
                np.matmul(d.T, bottom[2].data.reshape(-1, dw.shape[1]), out=dw)
            if propagate_down[2]:
                dstatic = np.matmul(d, weights[w_static].data, out=self.scratch.dstatic)
                bottom[2].diff[...] = dstatic.reshape(bottom[2].shape)


def _rows(steps: Array) -> Array:
    """(T, N, K) as (T N, K)."""
    t, n, k = steps.shape
    return steps.reshape(t * n, k, copy=False)


def parts(gates: Array, count: int) -> list[Array]:
    """(..., count D) as so many views (..., D)."""
    d = gates.shape[-1] // count
    return [gates[..., i * d : (i + 1) * d] for i in range(count)]
