"""Embed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape
from layerkit.errors import DataError
from layerkit.fillers import Filler
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops, Weight
from layerkit.registry import register
from layerkit.tangents import affine


@register
class Embed(Layer):
    """A row of a learned table for each whole number, as words and characters need it.

        y[..., :] = weight[x[...]] + bias        dweight[k] = sum of dy over the places where x is k

    That is an InnerProduct with x as one-hot vectors.

    Bottom 0: x (...), whole numbers in 0..input_dim-1, without gradient.
    Weights: weight (input_dim, num_output); bias (num_output,) unless bias_term is false.
    Top 0: (..., num_output).
    Raises DataError, with value and position, for what is no whole number or no row.

    Example: {name: embed, type: Embed, bottom: data, input_dim: 65, num_output: 32, bias_term: false,
      weight_filler: {type: gaussian, std: 0.1}}
    Source: Caffe's embed_layer.cpp.
    """

    class Params(LayerParams):
        num_output: int = Field(gt=0, description="Numbers in a row, N.")
        input_dim: int = Field(gt=0, description="Rows of the table, K: as many as there are different inputs.")
        bias_term: bool = Field(True, description="Whether a bias is added.")
        weight_filler: Filler = Field(Filler(), description="How the table starts.")
        bias_filler: Filler = Field(Filler(), description="How the bias starts.")

    def plan(self, *bottoms: Shape) -> Plan:
        p, (x,) = self.params, bottoms
        weights = [Weight("weight", (p.input_dim, p.num_output), p.weight_filler)]
        if p.bias_term:
            weights.append(Weight("bias", (p.num_output,), p.bias_filler))
        return Plan(
            tops=[(*x, p.num_output)],
            weights=weights,
            scratch=[
                Scratch("index", (math.prod(x),), "int64", keep=True),
                Scratch("rows", (math.prod(x), p.num_output)),
            ],
            gradients=(False,),
            reads_bottoms=(),
            reads_tops=(),
            by_rows=True,
            multiply_adds=0,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        self._read(bottom[0].data)
        y, rows, index = top[0].data, self.scratch.rows, self.scratch.index
        y[...] = np.take(self.weights.weight.data, index, axis=0, out=rows, mode="clip").reshape(y.shape)
        if self.params.bias_term:
            y += self.weights.bias.data

    def _read(self, x: Array) -> None:
        """Write the inputs as integers into `scratch.index`. Raises DataError for what is no row of the table."""
        index, rows = self.scratch.index.reshape(x.shape, copy=False), self.params.input_dim
        with np.errstate(invalid="ignore"):  # NaN becomes some integer, and differs from it
            np.copyto(index, x, casting="unsafe")
        wrong = (index != x) | (index < 0) | (index >= rows)
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            fault = f"is outside 0..{rows - 1}" if index[place] == x[place] else "is not a whole number"
            raise DataError(f"input {x[place]:g} at position {place} {fault}; input_dim is {rows}")

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        dy = top[0].diff.reshape(-1, self.params.num_output)  # (places, N)
        if "weight" in self.asked:
            dw, index = self.weights.weight.diff, self.scratch.index
            dw[...] = 0
            if len(index):  # equal inputs side by side, so that each row is one sum
                order = np.argsort(index, kind="stable")
                rows, starts = np.unique(index[order], return_index=True)
                dw[rows] = np.add.reduceat(np.take(dy, order, axis=0, out=self.scratch.rows, mode="clip"), starts)
        if "bias" in self.asked:
            np.sum(dy, axis=0, out=self.weights.bias.diff)

    jvp = affine
