"""LSTMUnit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, Plan, Scratch, Tops
from layerkit.layers.activation.logistic import logistic
from layerkit.layers.recurrent.recurrence import parts
from layerkit.registry import register


@register
class LSTMUnit(Layer):
    """One step of an LSTM, without its products: the cell before, and four gates, make the next.

        i, f, o, g = gates                                  (D numbers each)
        c = sigmoid(f) cont c_before + sigmoid(i) tanh(g)
        h = sigmoid(o) tanh(c)

    Bottoms: c_before (..., D), commonly (1, N, D); gates (..., 4 D), in the order i, f, o, g; cont (...), 0 where a
    sequence begins and 1 where it goes on, without gradient.
    Tops: c (..., D); h (..., D).
    The gradients follow from dc + dh sigmoid(o) (1 - tanh(c)^2), the diff of c as a whole.
    Raises ShapeError where the bottoms do not fit together.

    Example: {name: unit, type: LSTMUnit, bottom: [c_before, gates, cont], top: [c, h]}
    Source: Caffe's lstm_unit_layer.cpp.
    """

    bottoms = (3, 3)
    tops = (2, 2)

    def plan(self, *bottoms: Shape) -> Plan:
        cell, gates, cont = bottoms
        if not cell or gates != (*cell[:-1], 4 * cell[-1]) or cont != cell[:-1]:
            raise ShapeError(
                f"the bottoms must be (..., D), (..., 4 D) and (...), "
                f"not {shape_text(cell)}, {shape_text(gates)} and {shape_text(cont)}",
                "bottom",
            )
        return Plan(
            tops=[cell, cell],
            scratch=[
                Scratch("gates", gates, keep=True),
                Scratch("carried", cell, keep=True),
                Scratch("tanh_c", cell, keep=True),
                Scratch("dc", cell),
                Scratch("part", cell),
            ],
            gradients=(True, True, False),
            reads_bottoms=(2,),
            reads_tops=(),
            by_rows=len(cell) > 1,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        gates, carried, tanh_c = self.scratch.gates, self.scratch.carried, self.scratch.tanh_c
        np.multiply(bottom[0].data, bottom[2].data[..., np.newaxis], out=carried)
        gates[...] = bottom[1].data
        i, f, o, g = parts(gates, 4)  # views, (..., D) each
        for gate in (i, f, o):
            logistic(gate, out=gate)
        np.tanh(g, out=g)
        c = np.multiply(i, g, out=top[0].data)
        c += np.multiply(f, carried, out=self.scratch.part)
        np.multiply(o, np.tanh(c, out=tanh_c), out=top[1].data)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        dc, part, tanh_c = self.scratch.dc, self.scratch.part, self.scratch.tanh_c
        i, f, o, g = parts(self.scratch.gates, 4)
        np.square(tanh_c, out=dc)
        np.subtract(1, dc, out=dc)
        dc *= o
        dc *= top[1].diff
        dc += top[0].diff  # of c as a whole
        if propagate_down[0]:
            np.multiply(dc, f, out=part)
            np.multiply(part, bottom[2].data[..., np.newaxis], out=bottom[0].diff)
        if propagate_down[1]:
            di, df, do, dg = parts(bottom[1].diff, 4)
            for gate, diff, by, factor in (
                (i, di, dc, g),
                (f, df, dc, self.scratch.carried),
                (o, do, top[1].diff, tanh_c),
            ):
                np.multiply(by, factor, out=diff)
                diff *= gate
                diff *= np.subtract(1, gate, out=part)
            np.subtract(1, np.square(g, out=part), out=part)
            np.multiply(dc, part, out=dg)
            dg *= i

    def jvp(
        self, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], top_tangent: Sequence[Array]
    ) -> None:
        (t_before, t_gates, _), (t_c, t_h), tanh_c = bottom_tangent, top_tangent, self.scratch.tanh_c
        i, f, o, g = np.split(self.scratch.gates, 4, axis=-1)
        t_i, t_f, t_o, t_g = np.split(np.zeros_like(self.scratch.gates) if t_gates is None else t_gates, 4, axis=-1)
        np.add(i * (1 - i) * t_i * g, f * (1 - f) * t_f * self.scratch.carried, out=t_c)
        t_c += i * (1 - g**2) * t_g
        if t_before is not None:
            t_c += f * bottom[2].data[..., np.newaxis] * t_before
        np.add(o * (1 - o) * t_o * tanh_c, o * (1 - tanh_c**2) * t_c, out=t_h)
