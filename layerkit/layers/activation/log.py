"""Log."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field, field_validator

from layerkit.blob import Shape
from layerkit.layer import Bottoms, Layer, Plan, Scratch, Tops
from layerkit.layers.activation.base import BaseParams
from layerkit.registry import register
from layerkit.tangents import symmetric


@register
class Log(Layer):
    """Logarithm of a linear function of x.

        y = log(shift + scale * x) / log(base)        dx = dy * scale / ((shift + scale * x) * log(base))

    The logarithm of 0 is -inf, that of a negative number nan.

    Bottoms: x, of any shape.
    Tops: y, of the same shape.
    Raises ValueError for a base that is neither -1 nor positive, or that is 1.

    Example: {name: log1, type: Log, base: 10, shift: 1}

    Source: Caffe's log_layer.cpp.
    """

    class Params(BaseParams):
        scale: float = Field(1.0, description="What the input is multiplied by.")
        shift: float = Field(0.0, description="What is added to the scaled input.")

        @field_validator("base")
        @classmethod
        def _not_1(cls, base: float) -> float:
            if base == 1:
                raise ValueError("base must not be 1, whose powers are all 1")
            return base

    def plan(self, *bottoms: Shape) -> Plan:
        return Plan(
            tops=[bottoms[0]],
            by_rows=True,
            scratch=[Scratch("argument", bottoms[0], like_blob=True)],
            reads_tops=(),
            in_place=True,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        p = self.params
        y = np.multiply(bottom[0].data, p.scale, out=top[0].data)
        np.add(y, p.shift, out=y)
        np.log(y, out=y)
        np.divide(y, p.log_base, out=y)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            p = self.params
            argument = np.multiply(bottom[0].data, p.scale, out=self.scratch.argument)
            np.add(argument, p.shift, out=argument)
            dx = np.multiply(top[0].diff, p.scale / p.log_base, out=bottom[0].diff)
            np.divide(dx, argument, out=dx)

    jvp = symmetric
