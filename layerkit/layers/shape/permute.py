"""Permute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, field_validator

from layerkit.blob import Array, Shape
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops, canonical_axis
from layerkit.registry import register
from layerkit.tangents import affine


@register
class Permute(Layer):
    """The bottom's axes in another order.

    Axis i of the top is axis order[i] of the bottom; axes that `order` does not name follow as they are.

    Bottom 0: any shape. Top 0: its lengths in the new order.
    The gradient is dy with its axes put back.
    Raises ShapeError where an axis does not exist.

    Example: {name: channels_last, type: Permute, order: [0, 2, 3, 1]}

    Source: the Permute layer of SSD's Caffe (Liu et al. 2016).
    """

    class Params(LayerParams):
        """The order."""

        order: list[Annotated[int, Field(ge=0)]] = Field(
            [], description="Which axis of the bottom comes first, second ...; the others follow in their order."
        )

        @field_validator("order")
        @classmethod
        def _no_axis_twice(cls, order: list[int]) -> list[int]:
            for axis in order:
                if order.count(axis) > 1:
                    raise ValueError(f"axis {axis} stands more than once in order {order}")
            return order

    def plan(self, *bottoms: Shape) -> Plan:
        shape = bottoms[0]
        for axis in self.params.order:
            canonical_axis(axis, shape, "order")
        order = self._order(len(shape))
        top = tuple(shape[axis] for axis in order)
        return Plan(tops=[top], reads_bottoms=(), reads_tops=(), by_rows=order[:1] == [0])

    def _order(self, axes: int) -> list[int]:
        named = self.params.order
        return [*named, *(axis for axis in range(axes) if axis not in named)]

    def _permuted(self, array: Array) -> Array:
        return array.transpose(self._order(array.ndim))

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        top[0].data[...] = self._permuted(bottom[0].data)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            self._permuted(bottom[0].diff)[...] = top[0].diff

    jvp = affine
