"""A net with its layers' bodies laid open, for pictures that unfold them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from layerkit.blob import Shape
from layerkit.errors import Use
from layerkit.graph import Graph, Node, Ref


def opened(graph: Graph) -> Graph:
    """The graph with each layer's bodies in front of it, as if they were uses of blocks that it reads.

    What a body reads of its layer's bottoms it reads directly. Where a state comes from is not shown.
    """
    shapes = dict(graph.shapes)
    nodes: list[Node] = []
    for node in graph.nodes:
        ends: list[Ref] = []
        taken: set[Ref] = set()
        for body in node.plan.bodies:
            label = node.name if len(node.plan.bodies) == 1 else f"{node.name}/{body.name}"
            inner = opened(node.bodies[body.name])
            given = dict(zip(_names(node), node.bottoms, strict=True))
            taken.update(given[name] for name in body.inputs if name in given)
            nodes += _inside(node, inner, label, {name: given.get(name) for name in body.inputs}, shapes)
            ends += [_within(label, inner.last[name]) for name in body.outputs if name not in body.inputs]
        nodes.append(_without_bodies(node, (*ends, *(ref for ref in node.bottoms if ref not in taken))))
    return replace(graph, nodes=tuple(nodes), shapes=shapes)


def _names(node: Node) -> list[str]:
    """What a layer's bottoms are called in its bodies."""
    given = getattr(node.layer.params, "inputs", None)
    return list(given) if given else [ref.name.rpartition("/")[2] for ref in node.bottoms]


def _within(label: str, ref: Ref) -> Ref:
    return Ref(f"{label}/{ref.name}", ref.version)


def _inside(
    node: Node, inner: Graph, label: str, inputs: Mapping[str, Ref | None], shapes: dict[Ref, Shape]
) -> Iterator[Node]:
    """The layers of a body, under the names that they have as a part of their layer."""
    for each in inner.nodes:
        if each.spec.type == "Input" and each.name in inputs:
            continue
        found = [inputs[ref.name] if ref.name in inputs else _within(label, ref) for ref in each.bottoms]
        tops = tuple(_within(label, ref) for ref in each.tops)
        shapes.update((top, inner.shapes[ref]) for top, ref in zip(tops, each.tops, strict=True))
        uses = (*each.spec.uses, Use(node.spec.type, None, label), *node.spec.uses)
        spec = each.spec.renamed(f"{label}/{each.name}", uses)
        yield replace(each, spec=spec, bottoms=tuple(ref for ref in found if ref is not None), tops=tops)


def _without_bodies(node: Node, bottoms: tuple[Ref, ...]) -> Node:
    """A layer that reads what its bodies made; their weights are theirs."""
    if not node.plan.bodies:
        return node
    inside = tuple(f"{body.name}/" for body in node.plan.bodies)
    own = [i for i, weight in enumerate(node.plan.weights) if not weight.name.startswith(inside)]
    plan = replace(node.plan, weights=[node.plan.weights[i] for i in own])
    return replace(node, bottoms=bottoms, plan=plan, params=tuple(node.params[i] for i in own))
