"""ShuffleChannel."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops, canonical_axis
from layerkit.registry import register
from layerkit.tangents import affine


@register
class ShuffleChannel(Layer):
    """The channels of several groups dealt out in turn.

    So a grouped convolution behind it sees all groups.

        y[:, j G + g] = x[:, g C/G + j]        for each group g of G and each channel j of a group

    Bottom 0: (N, C, ...). Top 0: the same shape.
    The gradient is dy with its channels put back.
    Raises ShapeError where there is no axis 1, or the groups do not come out even.

    Example: {name: shuffle, type: ShuffleChannel, group: 3}

    Source: Zhang et al. 2018, ShuffleNet; the ShuffleChannel layer of its Caffe version.
    """

    class Params(LayerParams):
        """How many groups."""

        group: int = Field(1, gt=0, description="Number of groups, G.")

    def plan(self, *bottoms: Shape) -> Plan:
        shape, group = bottoms[0], self.params.group
        channels = shape[canonical_axis(1, shape)]
        if channels % group:
            raise ShapeError(
                f"the {channels} channels of {shape_text(shape)} do not make {group} equal groups", "group"
            )
        return Plan(tops=[shape], reads_bottoms=(), reads_tops=(), by_rows=True)

    def _grouped(self, x: Array) -> Array:
        """A view by group and channel of a group: (N, G, C/G, ...)."""
        n, c, *behind = x.shape
        return x.reshape(n, self.params.group, c // self.params.group, *behind, copy=False)

    def _dealt(self, y: Array) -> Array:
        """A view of a shuffled array in the order of `_grouped`: (N, G, C/G, ...)."""
        n, c, *behind = y.shape
        return y.reshape(n, c // self.params.group, self.params.group, *behind, copy=False).swapaxes(1, 2)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        self._dealt(top[0].data)[...] = self._grouped(bottom[0].data)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            self._grouped(bottom[0].diff)[...] = self._dealt(top[0].diff)

    jvp = affine
