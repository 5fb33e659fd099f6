"""Input."""

from __future__ import annotations

from pydantic import Field

from layerkit.blob import Shape
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops
from layerkit.layers.data.top_shapes import Dims, top_shapes
from layerkit.registry import register


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
        return Plan(tops=top_shapes(self.params.shape, self.num_tops))

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        """Nothing: the caller has written the tops."""
