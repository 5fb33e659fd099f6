"""Silence."""

from __future__ import annotations

from collections.abc import Sequence

from layerkit.blob import Shape
from layerkit.layer import Bottoms, Layer, Plan, Tops
from layerkit.registry import register
from layerkit.tangents import affine


@register
class Silence(Layer):
    """Takes blobs that nothing else reads, so that they are no outputs of the net.

    Bottoms: one or more, any shapes. Tops: none.
    The gradient is 0.

    Example: {type: Silence, bottom: [unused]}

    Source: Caffe's Silence.
    """

    bottoms = (1, None)
    tops = (0, 0)

    def plan(self, *bottoms: Shape) -> Plan:
        return Plan(tops=[], reads_bottoms=(), reads_tops=(), by_rows=True)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        pass

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        for each, asked in zip(bottom, propagate_down, strict=True):
            if asked:
                each.diff[...] = 0

    jvp = affine
