"""An Expression as steps: each primitive of its formulas is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerkit.blob import Array
from layerkit.graph import Node as NetNode
from layerkit.layers.expression.expression import Expression
from layerkit.layers.expression.nodes import Graph, Node, ancestors, evaluate
from layerkit.layers.expression.primitives import PRIMITIVES
from layerkit.report.tracing.formulas import written
from layerkit.report.tracing.numbers import listed
from layerkit.report.tracing.operations import PrimitiveOperation
from layerkit.report.tracing.values import Step

if TYPE_CHECKING:
    from layerkit.report.tracing.steps import Reader


def opened(reader: Reader, node: NetNode, layer: Expression, bottoms: list[int], weights: dict[str, int]) -> list[int]:
    """The primitives of a formula as steps; returns the tops' values, which may be bottoms or each other."""
    steps, graph = reader.steps, Graph(PRIMITIVES)
    values = steps.values
    leaves = [graph.leaf(("bottom", i), values[number].data.shape) for i, number in enumerate(bottoms)]
    shapes = {weight.name: weight.shape for weight in node.plan.weights}
    named = {name: graph.leaf(("weight", name), shapes[name]) for name in weights}
    found = layer.named(graph, leaves, named)
    results = layer.results(graph, leaves, named)
    names = {each.index: reader.free(name, node.name) for name, each in found.items() if name}
    names |= {each.index: reader.named(ref) for ref, each in reversed([*zip(node.tops, results, strict=True)])}
    numbers = {leaf.index: number for leaf, number in zip(leaves, bottoms, strict=True)}
    numbers |= {named[name].index: number for name, number in weights.items()}
    arrays = {leaf.value: values[number].data for leaf, number in zip(leaves, bottoms, strict=True)}
    arrays |= {named[name].value: values[number].data.reshape(shapes[name]) for name, number in weights.items()}
    order = ancestors(results)
    computed = dict(zip((each.index for each in order), evaluate(order, arrays, steps.dtype), strict=True))
    for each in order:
        if each.primitive is not None:
            name = names.get(each.index) or reader.free("v", node.name)
            numbers[each.index] = _primitive(reader, each, numbers, computed, name, node.name)
    for ref, each in zip(node.tops, results, strict=True):
        if each.kind == "constant" and each.index not in numbers:
            leaf = Step(reader.named(ref), "constant", "constant", None, layer=reader.prefix + node.name)
            (numbers[each.index],) = steps.add(leaf, [(reader.named(ref), computed[each.index])])
    return [numbers[each.index] for each in results]


def _primitive(
    reader: Reader, node: Node, numbers: dict[int, int], computed: dict[int, Array], name: str, layer: str
) -> int:
    steps = reader.steps
    called = [
        f"{each.value:g}"
        if each.kind == "constant"
        else steps.values[numbers[each.index]].name.removeprefix(reader.prefix)
        for each in node.arguments
    ]
    operation = PrimitiveOperation(node, [computed[each.index] for each in node.arguments], steps.dtype)
    arguments = tuple(numbers.get(each.index, -1) for each in node.arguments)
    single = all(computed[each.index].size == 1 for each in node.arguments)
    filled = written(node, [_bracketed(computed[each.index]) for each in node.arguments]) if single else ""
    layer = reader.prefix + layer
    step = Step(name, written(node, called), "primitive", operation, arguments, layer=layer, filled=filled)
    (number,) = steps.add(step, [(name, computed[node.index])])
    return number


def _bracketed(array: Array) -> str:
    """A single number as it stands in a formula."""
    text = listed(array)
    return f"({text})" if text.startswith("-") else text
