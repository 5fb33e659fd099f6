"""Input."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from layerkit.blob import Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops
from layerkit.registry import register

Dims = list[Annotated[int, Field(ge=0)]]


@register
class Input(Layer):
    """Tops that the caller fills, as in `net.forward(data=x)`.

    Bottoms: none. Tops: one or more, in the shapes given.
    Raises ShapeError where the number of shapes is neither one nor that of the tops.

    Example: {name: input, type: Input, top: [data, label], shape: [[64, 3, 32, 32], [64]]}

    Source: Caffe's Input.
    """

    class Params(LayerParams):
        shape: Dims | list[Dims] = Field(
            description="Shape of every top, as a list of lengths ([64, 3]); or one such list a top ([[8, 5], [8]])."
        )

    bottoms = (0, 0)
    tops = (1, None)

    def plan(self, *bottoms: Shape) -> Plan:
        given = self.params.shape
        if not any(isinstance(each, list) for each in given):
            return Plan(tops=[tuple(given)] * self.num_tops)
        shapes = [tuple(each) for each in given]
        if len(shapes) == 1:
            shapes *= self.num_tops
        if len(shapes) != self.num_tops:
            listed = ", ".join(map(shape_text, shapes))
            raise ShapeError(f"there are {self.num_tops} tops but {len(shapes)} shapes: {listed}", "shape")
        return Plan(tops=shapes)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        """Nothing: the caller has written the tops."""
