"""Here: the layer that is being written, as its rule sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.convert.onnx.package import OPSET
from layerkit.convert.onnx.values import Nodes, Value
from layerkit.errors import LayerkitError
from layerkit.layer import Layer

if TYPE_CHECKING:
    from layerkit.convert.onnx.layering import Body

Dim = int | str
"""A length that is always the same, or the name of one that is another in a batch of another size."""
Dims = tuple[Dim, ...]


class NotExpressibleError(LayerkitError):
    """A layer, as its parameters have it, that ONNX has no operators for; the message is the reason."""


class BatchMattersError(LayerkitError):
    """A layer that needs to know how large the batch is; the message says what for."""


class Here:
    """What a rule knows of its layer, and where it writes.

    A rule gets the values of the bottoms and returns those of the tops. It writes with `op` and with arithmetic on
    values, and must hold for every batch: a length that depends on the batch is a name in `bottoms` and `tops`.
    """

    def __init__(self, layer: Layer, nodes: Nodes, bottoms: Sequence[Dims], tops: Sequence[Dims], shapes: list[Shape]):
        self.layer, self.nodes = layer, nodes
        self.params: Any = layer.params
        self.bottoms, self.tops = tuple(bottoms), tuple(tops)
        """The dimensions of each bottom and top."""
        self._shapes = shapes
        self.op, self.ops = nodes.op, nodes.ops
        self.notes: list[str] = []
        """What a user of the model should know of this layer."""
        self.opset = OPSET
        """The version of ONNX's operators that the layer needs."""
        self.weights: Mapping[str, str] = {}
        """The names of the layer's weights among the model's constants."""
        self.bodies: Mapping[str, Body] = {}
        """The nets inside the layer, by name."""

    def impossible(self, reason: str) -> NoReturn:
        """Say that ONNX cannot express this layer."""
        raise NotExpressibleError(reason)

    def length(self, dim: Dim) -> int:
        """A length that the rule has to know; where it depends on the batch, the model is written for one batch."""
        if isinstance(dim, str):
            raise BatchMattersError(f"{type(self.layer).__name__} works along the axis of samples")
        return dim

    def shape(self, i: int, first: int) -> Shape:
        """The shape of bottom i, of which the rule has to know the lengths from axis `first` on."""
        for dim in self.bottoms[i][first:]:
            self.length(dim)
        return self._shapes[i]

    def weight(self, name: str) -> Value:
        """A weight of the layer, in layerkit's layout and under its own name in the model."""
        return self.nodes.value(self.weights[name])

    def array(self, name: str) -> Array:
        """The values of a weight, for a constant that is made of them."""
        return np.asarray(self.layer.weights[name].data)

    def has(self, name: str) -> bool:
        """Whether the layer has a weight of that name."""
        return name in self.weights

    def constant(self, values: Any, dtype: str = "float32") -> Value:
        """A constant."""
        return self.nodes.constant(np.asarray(values, dtype))

    def reshape(self, x: Value, source: Dims, target: Dims) -> Value:
        """x, of dimensions `source`, as `target`, in which the batch may take part."""
        if source == target:
            return x
        lengths: list[int] = []
        for i, dim in enumerate(target):
            if isinstance(dim, int):
                lengths.append(dim)
            else:
                lengths.append(0 if i < len(source) and source[i] == dim else -1)
        if lengths.count(-1) < 2 and 0 not in [dim for dim in target if isinstance(dim, int)]:
            return self.op("Reshape", x, lengths)
        return self.op("Reshape", x, self.lengths(x, source, target), allowzero=1)

    def lengths(self, x: Value, source: Dims, target: Dims) -> Value:
        """The dimensions `target` as a list of integers, those of the batch taken from x, of dimensions `source`."""
        return self.op("Concat", *(self._length(x, source, dim) for dim in target), axis=0)

    def _length(self, x: Value, source: Dims, dim: Dim) -> Value:
        if isinstance(dim, int):
            return self.constant([dim], "int64")
        if dim not in source:
            self.length(dim)
        at = source.index(dim)
        return self.op("Shape", x, start=at, end=at + 1)

    def stretched(self, small: Value, axes: int, axis: int, rank: int) -> Value:
        """`small`, with so many axes, so that it lies along axes of an array of `rank` axes from `axis` on."""
        behind = rank - axis % max(1, rank) - axes
        if not axes or not behind:
            return small
        return self.op("Unsqueeze", small, list(range(axes, axes + behind)))

    def integers(self, x: Value) -> Value:
        """x as 64-bit integers."""
        return self.op("Cast", x, to=7)

    def numbers(self, x: Value) -> Value:
        """x, whatever its type, as the 32-bit floating-point numbers that blobs hold."""
        return self.op("Cast", x, to=1)
