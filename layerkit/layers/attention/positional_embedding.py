"""PositionalEmbedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.fillers import Filler
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops, Weight
from layerkit.registry import register
from layerkit.tangents import affine


@register
class PositionalEmbedding(Layer):
    """Adds a row to each place of a sequence, so that layers behind it can tell places apart.

        y[n, t] = x[n, t] + row[t]

    LEARNED      row[t] is row t of a learned table
    SINUSOIDAL   row[t][2 i] = sin(t / 10000^(2 i / C)),  row[t][2 i + 1] = cos(t / 10000^(2 i / C))

    Bottom 0: x (..., T, C), commonly (N, T, C). Top 0: the same shape.
    Weights: for LEARNED weight (max_length, C), of which the first T rows are used and have a gradient.
    The gradients are dx = dy, and for row t the sum of dy[n, t] over n.
    Raises ShapeError for a bottom without these axes, or longer than max_length.

    Example: {name: places, type: PositionalEmbedding, max_length: 64, weight_filler: {type: gaussian, std: 0.1}}
    Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.5.
    """

    class Params(LayerParams):
        kind: Literal["LEARNED", "SINUSOIDAL"] = Field("LEARNED", description="Where the rows come from.")
        max_length: int | None = Field(
            None, gt=0, description="Rows of a learned table: the longest sequence that it serves."
        )
        weight_filler: Filler = Field(Filler(), description="How a learned table starts.")

        @model_validator(mode="after")
        def _sized(self) -> PositionalEmbedding.Params:
            if self.kind == "LEARNED" and self.max_length is None:
                raise ValueError("a learned table needs max_length")
            if self.kind == "SINUSOIDAL" and "weight_filler" in self.model_fields_set:
                raise ValueError("weight_filler is for kind LEARNED, since SINUSOIDAL has no weight")
            return self

    def plan(self, *bottoms: Shape) -> Plan:
        p, (x,) = self.params, bottoms
        if len(x) < 2:
            raise ShapeError(f"bottom 0 must be (..., places, channels), not {shape_text(x)}", "bottom")
        if p.max_length is not None and x[-2] > p.max_length:
            raise ShapeError(f"a sequence of {x[-2]} is longer than max_length {p.max_length}", "max_length")
        learned = p.kind == "LEARNED"
        return Plan(
            tops=[x],
            weights=[Weight("weight", (p.max_length, x[-1]), p.weight_filler)] if learned else [],
            scratch=[] if learned else [Scratch("rows", x[-2:]), Scratch("angles", (x[-2], -(-x[-1] // 2)))],
            reads_bottoms=(),
            reads_tops=(),
            in_place=True,
            by_rows=len(x) > 2,
            multiply_adds=0,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x = bottom[0].data
        rows = self.weights.weight.data[: x.shape[-2]] if self.params.kind == "LEARNED" else self._waves(x.shape[-1])
        np.add(x, rows, out=top[0].data)

    def _waves(self, channels: int) -> Array:
        """The rows of SINUSOIDAL, (T, C)."""
        rows, angles = self.scratch.rows, self.scratch.angles  # (T, C), (T, C / 2)
        places, pairs = np.ogrid[: angles.shape[0], : angles.shape[1]]
        np.multiply(places, 10000.0 ** (-2 * pairs / channels), out=angles, casting="same_kind")
        np.sin(angles, out=rows[:, ::2])
        np.cos(angles[:, : channels // 2], out=rows[:, 1::2])
        waves: Array = rows
        return waves

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        dy = top[0].diff
        if "weight" in self.asked:
            dw = self.weights.weight.diff
            np.sum(dy, axis=tuple(range(dy.ndim - 2)), out=dw[: dy.shape[-2]])
            dw[dy.shape[-2] :] = 0
        if propagate_down[0]:  # last: this diff may lie where dy does
            np.copyto(bottom[0].diff, dy)

    jvp = affine
