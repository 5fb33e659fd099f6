"""Decides what a backward pass computes: only what someone needs and what the loss or the seeds reach."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from layerkit.graph.node import Node
from layerkit.graph.order import Ref


class Step(NamedTuple):
    """One layer's part in a backward pass."""

    node: int
    propagate_down: tuple[bool, ...]
    asked: frozenset[str]


def loss_seeds(nodes: Sequence[Node]) -> frozenset[Ref]:
    """The tops that have a loss weight."""
    return frozenset(ref for node in nodes for ref, weight in zip(node.tops, node.loss_weights, strict=True) if weight)


def plan_backward(nodes: Sequence[Node], seeds: Collection[Ref], inputs: bool | Collection[Ref]) -> list[Step]:
    """The layers to run backward, in reverse order, from the given seeds to trained weights, and to wanted inputs.

    `inputs` says whether all inputs are wanted, or which are.
    A blob needs a gradient if a trained weight lies above it, if it is a wanted input, or where a layer says
    `propagate_down: true` of it. Nothing is computed for a blob that needs none or that no seed reaches.
    """
    needed: set[Ref] = set()
    for node in nodes:
        if not node.bottoms and inputs:
            needed.update(node.tops if inputs is True else {*node.tops} & {*inputs})
        if _wanted(node, needed):
            needed.update(node.tops)
    reached = set(seeds)
    steps: list[Step] = []
    for index in range(len(nodes) - 1, -1, -1):
        node = nodes[index]
        if reached.isdisjoint(node.tops) or not _wanted(node, needed):
            continue
        down = tuple(_goes_down(node, i, needed) for i in range(len(node.bottoms)))
        asked = frozenset(weight.name for i, weight in enumerate(node.plan.weights) if node.learns(i))
        reached.update(ref for ref, goes in zip(node.bottoms, down, strict=True) if goes)
        steps.append(Step(index, down, asked))
    return steps


def _wanted(node: Node, needed: Collection[Ref]) -> bool:
    """Whether a layer's backward pass gives anything that someone needs."""
    learns = any(node.learns(i) for i in range(len(node.plan.weights)))
    return learns or any(_goes_down(node, i, needed) for i in range(len(node.bottoms)))


def _goes_down(node: Node, index: int, needed: Collection[Ref]) -> bool:
    forced = node.spec.propagate_down is not None and node.spec.propagate_down[index]
    return node.propagates(index) and (forced or node.bottoms[index] in needed)
