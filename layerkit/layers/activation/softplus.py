"""Softplus."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops
from layerkit.layers.activation.logistic import logistic
from layerkit.registry import register
from layerkit.tangents import symmetric


@register
class Softplus(Layer):
    """A rectifier with a smooth bend, which beta makes sharper (with beta 1: BNLL).

        y = log(1 + exp(beta * x)) / beta        dx = dy / (1 + exp(-beta * x))

    Where beta * x exceeds the threshold, both are replaced by what they come near to: y = x and dx = dy.
    The logarithm is computed with the larger of exp(beta * x) and 1 taken out, so that nothing overflows.

    Bottoms: x, of any shape.
    Tops: y, of the same shape.

    Example: {name: softplus1, type: Softplus, beta: 2}

    Source: Dugas et al. 2001; PyTorch's Softplus.
    """

    class Params(LayerParams):
        beta: float = Field(1.0, gt=0, description="How sharp the bend is.")
        threshold: float = Field(20.0, description="The value of beta * x above which y is x.")

    def plan(self, *bottoms: Shape) -> Plan:
        return Plan(
            tops=[bottoms[0]],
            by_rows=True,
            scratch=[
                Scratch("curve", bottoms[0], like_blob=True),
                Scratch("straight", bottoms[0], "bool", like_blob=True),
            ],
            reads_tops=(),
            in_place=True,
        )

    def _scaled(self, x: Array) -> tuple[Array, Array]:
        """beta * x, and where it exceeds the threshold."""
        scaled = np.multiply(x, self.params.beta, out=self.scratch.curve)
        return scaled, np.greater(scaled, self.params.threshold, out=self.scratch.straight)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x = bottom[0].data
        curve, straight = self._scaled(x)
        np.logaddexp(curve, 0, out=curve)
        np.divide(curve, self.params.beta, out=curve)
        np.copyto(curve, x, where=straight)
        np.copyto(top[0].data, curve)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            slope, straight = self._scaled(bottom[0].data)
            logistic(slope, out=slope)
            np.copyto(slope, 1, where=straight)
            np.multiply(top[0].diff, slope, out=bottom[0].diff)

    jvp = symmetric
