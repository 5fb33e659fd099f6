"""LRN: local response normalization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops
from layerkit.registry import register


@register
class LRN(Layer):
    """Local response normalization: each x is divided by a power of the mean square around it.

        y_i = x_i * s_i^-beta,   s_i = k + alpha / n * sum of x_j^2 over the n places j of the window around i

        ACROSS_CHANNELS   n = local_size channels at the same place, channel i in the middle
        WITHIN_CHANNEL    local_size places along each spatial axis, so n = local_size^axes; and k is always 1

    A window that reaches over the border counts as whole: what lies beyond adds 0 to the sum, and n stays.

    Bottom 0: (N, C, spatial axes...), at least one spatial axis for WITHIN_CHANNEL. Top 0: the same shape.
    Since j is in the window of i just where i is in that of j, the gradient is
    dx_i = dy_i s_i^-beta - 2 alpha beta / n * x_i * sum over the window around i of dy_j x_j s_j^(-beta - 1).
    Raises ShapeError where there are too few axes.

    Example: {name: norm1, type: LRN, local_size: 5, alpha: 0.0001, beta: 0.75}

    Source: Krizhevsky et al. 2012; Caffe's lrn_layer.cpp (WITHIN_CHANNEL: its square, AVE pooling, power and product).
    """

    class Params(LayerParams):
        local_size: int = Field(5, gt=0, description="Length of the window along each of its axes; odd.")
        alpha: float = Field(1.0, description="Factor of the mean square.")
        beta: float = Field(0.75, description="Exponent.")
        norm_region: Literal["ACROSS_CHANNELS", "WITHIN_CHANNEL"] = Field(
            "ACROSS_CHANNELS", description="Whether the window covers neighbouring channels, or places of one channel."
        )
        k: float = Field(1.0, description="ACROSS_CHANNELS: what the mean square is added to.")

        @model_validator(mode="after")
        def _odd(self) -> LRN.Params:
            if self.local_size % 2 == 0:
                raise ValueError(f"local_size must be odd, so that a window has a middle, not {self.local_size}")
            return self

    def plan(self, *bottoms: Shape) -> Plan:
        (shape,) = bottoms
        least = 2 if self._across else 3
        if len(shape) < least:
            needed = "(N, C, ...)" if self._across else "(N, C, spatial axes)"
            region = self.params.norm_region
            raise ShapeError(f"{region} needs a bottom {needed}, not {shape_text(shape)}", "bottom")
        return Plan(
            tops=[shape],
            scratch=[
                Scratch("s", shape, keep=True, like_blob=True),
                Scratch("power", shape, like_blob=True),
                Scratch("share", shape, like_blob=True),
            ],
            reads_bottoms=(0,),
            reads_tops=(),
            in_place=True,
            by_rows=True,
        )

    @property
    def _across(self) -> bool:
        return bool(self.params.norm_region == "ACROSS_CHANNELS")

    def _window(self, shape: Shape) -> tuple[range, float]:
        """The axes along which a window reaches, and alpha / n."""
        axes = range(1, 2) if self._across else range(2, len(shape))
        return axes, self.params.alpha / self.params.local_size ** len(axes)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        p, x, y = self.params, bottom[0].data, top[0].data
        s, power = self.scratch.s, self.scratch.power
        axes, alpha_n = self._window(x.shape)
        np.square(x, out=s)
        _sum_windows(s, axes, p.local_size, power)
        s *= alpha_n
        s += p.k if self._across else 1
        np.power(s, -p.beta, out=power)
        np.multiply(x, power, out=y)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if not propagate_down[0]:
            return
        p, x, dy, dx = self.params, bottom[0].data, top[0].diff, bottom[0].diff
        s, power, share = self.scratch.s, self.scratch.power, self.scratch.share
        axes, alpha_n = self._window(x.shape)
        np.power(s, -p.beta, out=power)
        np.multiply(dy, x, out=share)
        share *= power
        share /= s  # dy_j x_j s_j^(-beta - 1)
        np.multiply(dy, power, out=dx)
        _sum_windows(share, axes, p.local_size, power)
        share *= x
        share *= 2 * p.beta * alpha_n
        np.subtract(dx, share, out=dx)

    def jvp(
        self, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], top_tangent: Sequence[Array]
    ) -> None:
        t, out = bottom_tangent[0], top_tangent[0]
        out[...] = 0
        if t is None:
            return
        p, x, s = self.params, bottom[0].data, self.scratch.s
        axes, alpha_n = self._window(x.shape)
        moved = x * t
        _sum_windows(moved, axes, p.local_size, self.scratch.power)  # half of what s moves by, without alpha / n
        np.multiply(t - 2 * p.beta * alpha_n * x / s * moved, s**-p.beta, out=out)


def _sum_windows(values: Array, axes: range, size: int, work: Array) -> None:
    """Replace each value by the sum of the window around it: one axis after the other, one shift of it at a time."""
    for axis in axes:
        np.copyto(work, values)
        before, after = np.moveaxis(work, axis, 0), np.moveaxis(values, axis, 0)
        for shift in range(1, min(size // 2 + 1, len(after))):
            after[shift:] += before[:-shift]
            after[:-shift] += before[shift:]
