"""What a step computes, as far as derivatives are concerned: a layer, or a primitive of a formula."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from layerkit.blob import Array
from layerkit.differentiation import Point
from layerkit.graph import Node as NetNode
from layerkit.layers.expression import shapes
from layerkit.layers.expression.derivatives import gradients, tangents
from layerkit.layers.expression.nodes import Graph, Node, evaluate


class Operation(ABC):
    """Something with arguments and results that can be differentiated at its present values."""

    @abstractmethod
    def pull(self, which: int, gradient: Array) -> list[Array | None]:
        """Reverse mode: what the gradient of result `which` alone gives each argument; None: nothing goes there."""

    @abstractmethod
    def push(self, argument: int, tangent: Array) -> list[Array | None]:
        """Forward mode: what the tangent of one argument gives each result; None: nothing.

        Raises LayerkitError for a layer without a forward mode.
        """

    def by_element(self, argument: int) -> Array | None:
        """The derivative of each element of the one result, where it depends on one of the argument that stretched."""
        return None


class LayerOperation(Operation):
    """A layer, whose arguments are its bottoms and then its learned weights."""

    def __init__(self, point: Point, node: NetNode):
        self.point, self.node = point, node
        self.weights = [weight.name for weight in node.plan.weights if weight.learned]

    def pull(self, which: int, gradient: Array) -> list[Array | None]:
        if not self.point.can(self.node):
            return [None] * (len(self.node.bottoms) + len(self.weights))
        diffs = [np.zeros(self.point.shape(ref), self.point.dtype) for ref in self.node.tops]
        diffs[which] = gradient
        bottoms, weights = self.point.backward_of(self.node, diffs)
        return [*bottoms, *(weights[name] for name in self.weights)]

    def push(self, argument: int, tangent: Array) -> list[Array | None]:
        count = len(self.node.bottoms)
        if argument < count and not self.node.propagates(argument):
            return [None] * len(self.node.tops)
        bottoms = [tangent if i == argument else None for i in range(count)]
        weights = {}
        if argument >= count:
            name = self.weights[argument - count]
            shape = next(weight.shape for weight in self.node.plan.weights if weight.name == name)
            weights[name] = tangent.reshape(shape)
        return [*self.point.forward_of(self.node, bottoms, weights)]


class PrimitiveOperation(Operation):
    """A primitive; every argument counts by itself, even where two are the same value."""

    def __init__(self, node: Node, arguments: Sequence[Array], dtype: np.dtype[Any]):
        self.graph = Graph(node.graph.primitives)
        self.dtype = dtype
        self.leaves = [self.graph.leaf(("argument", i), each.shape) for i, each in enumerate(arguments)]
        self.values = {leaf.value: array for leaf, array in zip(self.leaves, arguments, strict=True)}
        self.settings = node.settings
        self.result = self.graph.call(node.kind, *self.leaves, **self.settings)

    def pull(self, which: int, gradient: Array) -> list[Array | None]:
        g, nodes = self._derivatives
        return self._evaluated(nodes, g, gradient.reshape(g.shape))

    @cached_property
    def _derivatives(self) -> tuple[Node, list[Node | None]]:
        """The result's gradient, and what makes those of the arguments of it."""
        g = self.graph.leaf(("gradient",), self.result.shape)
        return g, [*gradients([(self.result, g)], self.leaves)]

    def push(self, argument: int, tangent: Array) -> list[Array | None]:
        leaf = self.leaves[argument]
        t = self.graph.leaf(("tangent", argument), leaf.shape)
        return self._evaluated(tangents([self.result], {leaf: t}), t, tangent.reshape(leaf.shape))

    def by_element(self, argument: int) -> Array | None:
        primitive = self.result.primitive
        assert primitive is not None
        rule = primitive.vjp[argument]
        if rule is None or self.settings or primitive.shape not in (shapes.same, shapes.broadcast):
            return None
        one = self.graph.leaf(("gradient",), self.result.shape)
        node = rule(one, self.result, *self.result.arguments)
        (found,) = self._evaluated([node], one, np.ones(one.shape, self.dtype))
        return found

    def _evaluated(self, nodes: Sequence[Node | None], given: Node, array: Array) -> list[Array | None]:
        wanted = [node for node in nodes if node is not None]
        found = iter(evaluate(wanted, {**self.values, given.value: array}, self.dtype))
        return [None if node is None else np.array(next(found), self.dtype) for node in nodes]
