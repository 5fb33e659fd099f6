"""InnerProduct."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Shape
from layerkit.fillers import Filler
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops, Weight, canonical_axis
from layerkit.registry import register
from layerkit.tangents import affine


@register
class InnerProduct(Layer):
    """Fully connected layer: y = x W^T + b, for each place before `axis`.

    Bottom 0: (lead..., rest...), where rest starts at `axis` and has K elements in all; commonly (rows, K).
    Weights: weight (N, K), or (K, N) with `transpose`; bias (N,) unless bias_term is false. N is num_output.
    Top 0: (lead..., N).
    The gradients are dx = dy W, dW = dy^T x, db = the sum of dy over lead.
    Raises ShapeError where there is no such axis.

    Example: {name: fc1, type: InnerProduct, num_output: 500, weight_filler: xavier}

    Source: Caffe's InnerProduct.
    """

    class Params(LayerParams):
        num_output: int = Field(gt=0, description="Outputs of each inner product, N.")
        bias_term: bool = Field(True, description="Whether a bias is added.")
        weight_filler: Filler = Field(Filler(), description="How the weight starts.")
        bias_filler: Filler = Field(Filler(), description="How the bias starts.")
        axis: int = Field(1, description="First of the axes that are multiplied; those before it stay.")
        transpose: bool = Field(False, description="Whether the weight lies as (K, N).")

    def plan(self, *bottoms: Shape) -> Plan:
        p = self.params
        axis = canonical_axis(p.axis, bottoms[0])
        lead, n, k = bottoms[0][:axis], p.num_output, math.prod(bottoms[0][axis:])
        weights = [Weight("weight", (k, n) if p.transpose else (n, k), p.weight_filler)]
        if p.bias_term:
            weights.append(Weight("bias", (n,), p.bias_filler))
        return Plan(
            tops=[(*lead, n)],
            weights=weights,
            scratch=[Scratch("dx", (math.prod(lead), k))],
            reads_bottoms=(0,),
            reads_tops=(),
            by_rows=axis != 0,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        w = self.weights.weight.data
        w = w if self.params.transpose else w.T  # (K, N)
        y = top[0].data  # (lead..., N)
        x = bottom[0].data.reshape(*y.shape[:-1], len(w))  # (lead..., K)
        np.matmul(x, w, out=y)
        if self.params.bias_term:
            np.add(y, self.weights.bias.data, out=y)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        dx = self.scratch.dx  # (rows, K), rows = all of lead
        dy = top[0].diff.reshape(len(dx), self.params.num_output)  # (rows, N)
        if "weight" in self.asked:
            x, dw = bottom[0].data.reshape(dx.shape), self.weights.weight.diff
            left, right = (x, dy) if self.params.transpose else (dy, x)
            np.matmul(left.T, right, out=dw)
        if "bias" in self.asked:
            np.sum(dy, axis=0, out=self.weights.bias.diff)
        if propagate_down[0]:
            w = self.weights.weight.data
            np.matmul(dy, w.T if self.params.transpose else w, out=dx)
            bottom[0].diff[...] = dx.reshape(bottom[0].shape)

    jvp = affine
