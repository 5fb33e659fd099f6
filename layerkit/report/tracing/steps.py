"""A net as a graph of values and of the steps that make them, with an Expression opened up into its primitives.

A step is a layer, a primitive, or a leaf: what a source gives, or a weight. Constants are no values: they stand in what
is written of the primitives that read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np

from layerkit.blob import Array
from layerkit.differentiation import Point
from layerkit.graph import Node as NetNode
from layerkit.graph import Ref
from layerkit.layers.expression.expression import Expression
from layerkit.layers.expression.nodes import Graph, Node, ancestors, evaluate
from layerkit.layers.expression.primitives import PRIMITIVES
from layerkit.net import Net
from layerkit.registry import family
from layerkit.report.tracing.formulas import written
from layerkit.report.tracing.numbers import listed
from layerkit.report.tracing.operations import LayerOperation, Operation, PrimitiveOperation


@dataclass(frozen=True)
class Value:
    """An array in the graph."""

    name: str
    data: Array
    step: int
    """What makes it."""
    result: int
    """Which of the step's results it is."""


@dataclass(frozen=True)
class Step:
    """What makes values of others."""

    name: str
    written: str
    """A layer's type, a primitive's formula; of a leaf `weight` or its layer's type."""
    family: str
    operation: Operation | None
    """None: a leaf."""
    arguments: tuple[int, ...] = ()
    results: tuple[int, ...] = ()
    layer: str = ""
    """The layer that it is, or that it is part of."""
    filled: str = ""
    """Of a primitive of single numbers: its formula with these in the place of names."""


@dataclass
class Steps:
    """The whole graph, in topological order."""

    title: str
    phase: str
    dtype: np.dtype[Any]
    values: list[Value] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    """Values by name: blobs by their own, which mean the last version; weights by `layer.weight`."""
    losses: dict[int, float] = field(default_factory=dict)
    """Values that the loss counts, with their weights in it."""
    outputs: list[int] = field(default_factory=list)
    """What nobody reads, as far as it has derivatives."""

    @property
    def given(self) -> list[int]:
        """The values that leaves give."""
        return [value for step in self.steps if step.operation is None for value in step.results]

    def add(self, step: Step, made: Sequence[tuple[str, Array]]) -> list[int]:
        """Put a step behind the others, with the values that it makes; returns their numbers."""
        numbers = list(range(len(self.values), len(self.values) + len(made)))
        at = len(self.steps)
        for i, (name, data) in enumerate(made):
            self.values.append(Value(name, np.asarray(data, self.dtype), at, i))
            self.names[name] = numbers[i]
        self.steps.append(replace(step, results=tuple(numbers), layer=step.layer or step.name))
        return numbers


@np.errstate(all="ignore")
def read(net: Net) -> Steps:
    """The graph of a net at the values that its inputs and weights have now."""
    return _Reader(net).steps


class _Reader:
    """Walks through the layers in their order."""

    def __init__(self, net: Net):
        graph = net.graph
        self.point = Point(net)
        self.steps = Steps(graph.name or "net", graph.state.phase, net.dtype)
        self.blobs: dict[Ref, int] = {}
        self.weights: dict[str, int] = {}
        self._taken = {*graph.last, *self.point.uses}
        self._numbers = count(1)
        for node in self.point.nodes:
            self._read(node)
        for name, ref in graph.last.items():
            self.steps.names[name] = self.blobs[ref]
        makers = {ref: node for node in graph.nodes for ref in node.tops}
        lasts = [graph.last[name] for name in graph.outputs]
        self.steps.outputs = [self.blobs[ref] for ref in lasts if self.point.can(makers[ref])]

    def _read(self, node: NetNode) -> None:
        bottoms = [self.blobs[ref] for ref in node.bottoms]
        learned = [weight.name for weight in node.plan.weights if weight.learned]
        weights = {name: self._weight(f"{node.name}.{name}") for name in learned}
        if isinstance(node.layer, Expression):
            tops = self._opened(node, node.layer, bottoms, weights)
        else:
            arguments = (*bottoms, *weights.values())
            operation = LayerOperation(self.point, node) if arguments else None
            kind = node.spec.type
            step = Step(node.name, kind, family(kind), operation, arguments)
            tops = self.steps.add(step, [(self._version(ref), self.point.blobs[ref].data) for ref in node.tops])
        self.blobs.update(zip(node.tops, tops, strict=True))
        for number, weight in zip(tops, node.loss_weights, strict=True):
            if weight:
                self.steps.losses[number] = self.steps.losses.get(number, 0.0) + weight

    def _version(self, ref: Ref) -> str:
        """A blob's name; versions before the last, which a layer in place replaces, are numbered."""
        return ref.name if ref == self.point.graph.last[ref.name] else f"{ref.name}#{ref.version}"

    def _weight(self, use: str) -> int:
        """The value of a weight, a leaf that all its uses share."""
        slot = self.point.uses[use]
        if slot.key not in self.weights:
            step = Step(slot.key, "weight", "weight", None, layer=slot.layer)
            (self.weights[slot.key],) = self.steps.add(step, [(slot.key, slot.blob.values.reshape(slot.shape))])
        return self.weights[slot.key]

    def _opened(self, node: NetNode, layer: Expression, bottoms: list[int], weights: dict[str, int]) -> list[int]:
        """The primitives of a formula as steps; returns the tops' values, which may be bottoms or each other."""
        graph = Graph(PRIMITIVES)
        values = self.steps.values
        leaves = [graph.leaf(("bottom", i), values[number].data.shape) for i, number in enumerate(bottoms)]
        shapes = {weight.name: weight.shape for weight in node.plan.weights}
        named = {name: graph.leaf(("weight", name), shapes[name]) for name in weights}
        found = layer.named(graph, leaves, named)
        results = layer.results(graph, leaves, named)
        names = {each.index: self._free(name, node.name) for name, each in found.items() if name}
        names |= {each.index: self._version(ref) for ref, each in reversed([*zip(node.tops, results, strict=True)])}
        numbers = {leaf.index: number for leaf, number in zip(leaves, bottoms, strict=True)}
        numbers |= {named[name].index: number for name, number in weights.items()}
        arrays = {leaf.value: values[number].data for leaf, number in zip(leaves, bottoms, strict=True)}
        arrays |= {named[name].value: values[number].data.reshape(shapes[name]) for name, number in weights.items()}
        order = ancestors(results)
        computed = dict(zip((each.index for each in order), evaluate(order, arrays, self.steps.dtype), strict=True))
        for each in order:
            if each.primitive is not None:
                number = self._primitive(each, numbers, computed, names, node.name)
                numbers[each.index] = number
        for ref, each in zip(node.tops, results, strict=True):
            if each.kind == "constant" and each.index not in numbers:
                leaf = Step(self._version(ref), "constant", "constant", None, layer=node.name)
                (numbers[each.index],) = self.steps.add(leaf, [(self._version(ref), computed[each.index])])
        return [numbers[each.index] for each in results]

    def _primitive(
        self, node: Node, numbers: dict[int, int], computed: dict[int, Array], names: dict[int, str], layer: str
    ) -> int:
        called = [
            f"{each.value:g}" if each.kind == "constant" else self.steps.values[numbers[each.index]].name
            for each in node.arguments
        ]
        operation = PrimitiveOperation(node, [computed[each.index] for each in node.arguments], self.steps.dtype)
        name = names.get(node.index) or self._free("v", layer)
        arguments = tuple(numbers.get(each.index, -1) for each in node.arguments)
        single = all(computed[each.index].size == 1 for each in node.arguments)
        filled = written(node, [_bracketed(computed[each.index]) for each in node.arguments]) if single else ""
        step = Step(name, written(node, called), "primitive", operation, arguments, layer=layer, filled=filled)
        (number,) = self.steps.add(step, [(name, computed[node.index])])
        return number

    def _free(self, name: str, layer: str) -> str:
        """A name for something inside a formula: `v` is numbered, and what is taken gets its layer's name in front."""
        if name == "v":
            name = next(each for each in (f"v{i}" for i in self._numbers) if each not in self._taken)
        elif name in self._taken:
            name = f"{layer}.{name}"
        self._taken.add(name)
        return name


def _bracketed(array: Array) -> str:
    """A single number as it stands in a formula."""
    text = listed(array)
    return f"({text})" if text.startswith("-") else text
