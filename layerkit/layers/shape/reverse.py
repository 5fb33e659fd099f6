"""Reverse: the other way round, along axes or in time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops, canonical_axis
from layerkit.registry import register
from layerkit.tangents import affine


@register
class Reverse(Layer):
    """The elements in reverse order along axes, or each of several sequences by itself.

        y[i] = x[T-1-i]                                       for each of `axis`, of length T
        y[t, n] = x[L_n-1-t, n] for t < L_n, else x[t, n]     with a second bottom, for sequences of lengths L

    The gradient is dy, reversed in the same way.

    Bottoms: any shape; or sequences (T, N, ...) and either their lengths (N,) or (T, N) numbers, the last of which
    other than 0 stands in a sequence's last step. What they say has no gradient; a length below 1 is 1, one above T
    is T.
    Tops: the shape of bottom 0.
    Raises ShapeError for an axis that is not there, and where the bottoms do not fit together.

    Example: {name: back, type: Reverse, bottom: [x, lengths]}

    Source: the Reverse layer of CTPN's Caffe (Tian et al. 2016); a second bottom as in other forks.
    """

    class Params(LayerParams):
        """Which axes."""

        axis: list[int] = Field([0], description="The axes; negative counts from the end; not with a second bottom.")

    bottoms = (1, 2)

    def plan(self, *bottoms: Shape) -> Plan:
        x = bottoms[0]
        if len(bottoms) == 2:
            if len(x) < 2 or bottoms[1] not in (x[1:2], x[:2]):
                raise ShapeError(
                    f"sequences (T, N, ...) need lengths (N,) or (T, N) beside them, not {shape_text(bottoms[1])} "
                    f"beside {shape_text(x)}",
                    "bottom",
                )
            if self.params.axis != [0]:
                raise ShapeError("with a second bottom the axis is that of time, 0", "axis")
        apart = len(bottoms) == 1 and 0 not in self._axes(x)
        return Plan(
            tops=[x],
            gradients=(True, False)[: len(bottoms)],
            reads_bottoms=(1,)[: len(bottoms) - 1],
            reads_tops=(),
            by_rows=apart,
        )

    def _axes(self, shape: Shape) -> tuple[int, ...]:
        """The axes. Raises ShapeError."""
        return tuple({canonical_axis(axis, shape, "axis") for axis in self.params.axis})

    def _reversed(self, x: Array, bottom: Bottoms) -> Array:
        if len(bottom) == 1:
            return np.flip(x, self._axes(x.shape))
        steps = np.arange(len(x))[:, np.newaxis]  # (T, 1)
        lengths = self.lengths(bottom[1].data, len(x))
        return x[np.where(steps < lengths, lengths - 1 - steps, steps), np.arange(x.shape[1])]

    @staticmethod
    def lengths(given: Array, steps: int) -> Array:
        """How many steps each sequence has, (N,), from what bottom 1 holds."""
        if given.ndim == 2:
            given = np.max(np.where(given != 0, np.arange(1, steps + 1)[:, np.newaxis], 0), axis=0, initial=0)
        return np.nan_to_num(given).clip(1, max(1, steps)).astype(int)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        top[0].data[...] = self._reversed(bottom[0].data, bottom)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            bottom[0].diff[...] = self._reversed(top[0].diff, bottom)

    jvp = affine
