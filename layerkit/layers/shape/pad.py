"""Pad."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops, canonical_axis
from layerkit.registry import register
from layerkit.tangents import affine
from layerkit.words import counted


@register
class Pad(Layer):
    """The bottom with a border around it, made of a constant or of the bottom's own values.

    Along an axis with the values a b c d, and 2 elements before and 2 behind:

        CONSTANT:  v v [a b c d] v v        dx = dy without the border
        EDGE:      a a [a b c d] d d        dx also has what came to the border's copies of it
        REFLECT:   c b [a b c d] c b        the same

    Bottom 0: any shape with the axes. Top 0: longer along the padded axes.
    Raises ShapeError where an axis does not exist, where `pad` has neither one entry nor one an axis, where EDGE finds
    no values, or where a REFLECT border is not shorter than the axis.

    Example: {name: frame, type: Pad, mode: REFLECT, pad: [[1, 2], [3, 3]], axis: 2}

    Source: numpy.pad; REFLECT and EDGE are PyTorch's reflect and replicate.
    """

    class Params(LayerParams):
        """How wide the border is, and what it holds."""

        pad: list[list[int]] = Field(
            description="Elements before and behind: a number for both or a pair, for all padded axes or one an axis."
        )
        mode: Literal["CONSTANT", "REFLECT", "EDGE"] = Field("CONSTANT", description="What the border holds.")
        value: float = Field(0.0, description="CONSTANT: the border's value.")
        axis: int = Field(2, description="First axis to pad; all behind it are padded too. Negative: from the back.")

        @field_validator("pad")
        @classmethod
        def _sides(cls, pad: list[list[int]]) -> list[list[int]]:
            for sides in pad:
                if len(sides) not in (1, 2) or min(sides) < 0:
                    raise ValueError(f"{sides} must be one or two numbers of elements, from 0 on")
            return pad

    def plan(self, *bottoms: Shape) -> Plan:
        x, p = bottoms[0], self.params
        axis = canonical_axis(p.axis, x)
        padded = len(x) - axis
        if len(p.pad) not in (1, padded):
            raise ShapeError(
                f"there must be one entry, or one an axis from axis {axis} on: {padded}, not {len(p.pad)}", "pad"
            )
        sides = self._sides(len(x))
        for i, (length, most) in enumerate(zip(x, map(max, sides), strict=True)):
            if most and ((p.mode == "EDGE" and not length) or (p.mode == "REFLECT" and most >= length)):
                needs = "a value" if p.mode == "EDGE" else f"more than {counted(most, 'value')}"
                raise ShapeError(f"{p.mode} needs {needs} along axis {i} of {shape_text(x)}", "pad")
        top = tuple(before + length + behind for length, (before, behind) in zip(x, sides, strict=True))
        scratch = [] if p.mode == "CONSTANT" else [Scratch("folded", top, like_blob=True)]
        return Plan(tops=[top], scratch=scratch, reads_bottoms=(), reads_tops=(), by_rows=not any(sides[0]))

    def _sides(self, axes: int) -> list[tuple[int, int]]:
        """How many elements come before and behind, for each axis."""
        given, axis = self.params.pad, self.params.axis % axes
        each = given if len(given) > 1 else given * (axes - axis)
        return [(0, 0)] * axis + [(sides[0], sides[-1]) for sides in each]

    def _inside(self, x: Array, padded: Array) -> Array:
        """A view of the padded array without its border."""
        before = [first for first, _ in self._sides(x.ndim)]
        return padded[tuple(slice(at, at + length) for at, length in zip(before, x.shape, strict=True))]

    def _pairs(self, x: Array, padded: Array) -> Iterator[tuple[Array, Array]]:
        """Axis by axis, each row of the border and the row that it is a copy of, as views of the padded array.

        Rows along later axes hold what lies in the border of earlier ones, which makes the corners.
        """
        for axis, (before, behind) in enumerate(self._sides(x.ndim)):
            rows = np.moveaxis(padded, axis, 0)
            first, last = before, before + x.shape[axis] - 1  # the outermost rows inside
            step = 1 if self.params.mode == "REFLECT" else 0
            for i in range(1, before + 1):
                yield rows[first - i, ...], rows[first + step * i, ...]
            for i in range(1, behind + 1):
                yield rows[last + i, ...], rows[last - step * i, ...]

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, y = bottom[0].data, top[0].data
        if self.params.mode == "CONSTANT":
            y[...] = self.params.value
        self._inside(x, y)[...] = x
        if self.params.mode != "CONSTANT":
            for border, source in self._pairs(x, y):
                border[...] = source

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if not propagate_down[0]:
            return
        dx, dy = bottom[0].diff, top[0].diff
        if self.params.mode != "CONSTANT":
            folded = self.scratch.folded
            folded[...] = dy
            for border, source in reversed(list(self._pairs(dx, folded))):
                source += border
            dy = folded
        dx[...] = self._inside(dx, dy)

    jvp = affine
