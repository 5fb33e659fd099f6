"""Both modes of differentiation, as formulas: gradients and tangents are further nodes of the same graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from layerkit.blob import Shape
from layerkit.layers.expression.nodes import F, Node, ancestors


def gradients(results: Sequence[tuple[Node, Node]], wanted: Sequence[Node]) -> list[Node | None]:
    """Reverse mode: the gradients of the wanted nodes, from pairs of a result and its own; None where there is none.

    Each node's gradient is the sum of what all its readers give, which is complete when its turn comes.
    """
    reached = _reached(results, wanted)
    inside = {node.index for node in reached}
    totals: dict[int, Node] = {}
    for result, g in results:
        _add(totals, result, g)
    for y in reversed(reached):
        if y.primitive is None or y.index not in totals:
            continue
        g = totals[y.index]
        for x, rule in zip(y.arguments, y.primitive.vjp, strict=True):
            if rule is not None and x.index in inside:
                _add(totals, x, _fitted(rule(g, y, *y.arguments, **y.settings), x.shape))
    return [totals.get(node.index) for node in wanted]


def tangents(results: Sequence[Node], given: Mapping[Node, Node]) -> list[Node | None]:
    """Forward mode: the tangents of results, from those of other nodes; None where nothing moves."""
    totals = {node.index: tangent for node, tangent in given.items()}
    for y in ancestors(results):
        if y.primitive is None:
            continue
        for x, rule in zip(y.arguments, y.primitive.jvp, strict=True):
            if rule is not None and x.index in totals:
                _add(totals, y, _stretched(rule(totals[x.index], y, *y.arguments, **y.settings), y.shape))
    return [totals.get(result.index) for result in results]


def _reached(results: Sequence[tuple[Node, Node]], wanted: Sequence[Node]) -> list[Node]:
    """The nodes between the wanted ones and the results, in order."""
    found = {node.index for node in wanted}
    reached = []
    for node in ancestors(result for result, _ in results):
        if node.index in found or any(each.index in found for each in node.arguments):
            found.add(node.index)
            reached.append(node)
    return reached


def _add(totals: dict[int, Node], node: Node, part: Node) -> None:
    totals[node.index] = totals[node.index] + part if node.index in totals else part


def _fitted(g: Node, shape: Shape) -> Node:
    """The gradient of what stretched: the sum over all the places that it came to."""
    return g if g.shape == shape else F.total(g, shape=shape)


def _stretched(t: Node, shape: Shape) -> Node:
    """The tangent of what came of something smaller."""
    return t if t.shape == shape else F.stretch(t, shape=shape)
