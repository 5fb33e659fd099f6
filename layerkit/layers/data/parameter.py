"""Parameter."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from layerkit.blob import Shape
from layerkit.fillers import Filler
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops, Weight
from layerkit.layers.data.top_shapes import Dims
from layerkit.registry import register
from layerkit.tangents import affine


@register
class Parameter(Layer):
    """A weight of its own as a blob, for layers that take as a bottom what is to be learned.

        y = weight        dweight = dy

    Bottoms: none. Weights: weight, of the given shape. Top 0: the same.

    Example: {name: query, type: Parameter, shape: [8, 16], filler: {type: gaussian, std: 0.02}}

    Source: Caffe's parameter_layer.hpp, where it starts as 0; the filler is layerkit's own.
    """

    class Params(LayerParams):
        """What the weight is like."""

        shape: Dims = Field(description="Shape of the weight and of the top, as a list of lengths.")
        filler: Filler = Field(Filler(), description="How the weight starts.")

    bottoms = (0, 0)

    def plan(self, *bottoms: Shape) -> Plan:
        shape = tuple(self.params.shape)
        weight = Weight("weight", shape, self.params.filler)
        return Plan(tops=[shape], weights=[weight], reads_tops=(), multiply_adds=0)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        top[0].data[...] = self.weights.weight.data

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if "weight" in self.asked:
            self.weights.weight.diff[...] = top[0].diff

    jvp = affine
