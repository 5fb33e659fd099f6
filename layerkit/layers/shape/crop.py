"""Crop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops, canonical_axis
from layerkit.registry import register
from layerkit.tangents import affine


@register
class Crop(Layer):
    """A part of bottom 0 that is as long as bottom 1 is.

    Along each axis from `axis` on the part begins at an offset; other axes stay whole.

        y[..., i, ...] = x[..., i + offset, ...]

    Bottoms: x, any shape; one with as many axes, of which only the lengths from `axis` on count, so it has no gradient.
    Top 0: x's lengths before `axis`, bottom 1's from there on.
    The gradient is dy where the part was cut out, and 0 elsewhere.
    Raises ShapeError where the axis does not exist, the offsets are neither one nor one for each axis from `axis` on,
    or the part does not lie within x.

    Example: {name: score, type: Crop, bottom: [upscore, data], axis: 2, offset: 19}

    Source: Caffe's crop_layer.cpp.
    """

    class Params(LayerParams):
        """Where to cut."""

        axis: int = Field(2, description="First axis to crop; negative counts from the back.")
        offset: list[Annotated[int, Field(ge=0)]] = Field(
            [], description="Where the part begins: one number for every cropped axis, or one each; none: at 0."
        )

    bottoms = (2, 2)

    def plan(self, *bottoms: Shape) -> Plan:
        (x, like), offset = bottoms, self.params.offset
        axis = canonical_axis(self.params.axis, x)
        if len(x) != len(like):
            raise ShapeError(
                f"the bottoms must have as many axes, but bottom 0 is {shape_text(x)} and bottom 1 is "
                f"{shape_text(like)}",
                "bottom",
            )
        if len(offset) > 1 and len(offset) != len(x) - axis:
            raise ShapeError(
                f"there must be one offset, or one an axis from axis {axis} on: {len(x) - axis}, not {len(offset)}",
                "offset",
            )
        for i, part in enumerate(self._part(x, like)):
            if part.stop > x[i]:
                raise ShapeError(
                    f"what is cut out, from {part.start} to {part.stop - 1}, does not lie within axis {i} of bottom 0, "
                    f"{shape_text(x)}",
                    "offset",
                )
        return Plan(
            tops=[(*x[:axis], *like[axis:])],
            gradients=(True, False),
            reads_bottoms=(),
            reads_tops=(),
            by_rows=axis != 0,
        )

    def _part(self, x: Shape, like: Shape) -> tuple[slice, ...]:
        """The part of x, a slice an axis."""
        axis = canonical_axis(self.params.axis, x)
        cropped = len(x) - axis
        offsets = self.params.offset or [0]
        offsets = offsets * cropped if len(offsets) == 1 else offsets
        kept = [slice(0, length) for length in x[:axis]]
        return (*kept, *(slice(at, at + n) for at, n in zip(offsets, like[axis:], strict=True)))

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        top[0].data[...] = self._cut(bottom[0].data, bottom)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            bottom[0].diff[...] = 0
            self._cut(bottom[0].diff, bottom)[...] = top[0].diff

    jvp = affine

    def _cut(self, array: Array, bottom: Bottoms) -> Array:
        """A view of the part."""
        return array[self._part(array.shape, bottom[1].shape)]
