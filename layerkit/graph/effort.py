"""How much a net has to compute, and what follows for the number of threads."""

from __future__ import annotations

import math

from layerkit.graph import Graph, Node

LITTLE = 16_000_000
"""Multiply-adds of a forward pass below which a second thread does not pay: on a busy machine threads wait for each
other for milliseconds, many times as long as such a pass takes."""


def multiply_adds(graph: Graph) -> int:
    """Multiply-adds of a forward pass with the graph's shapes, as far as they are those of matrices and kernels."""
    return sum(of_node(node) for node in graph.nodes)


def of_node(node: Node) -> int:
    """Those of one layer, with all runs of the bodies that it has.

    What works element by element (activations, normalisation, pooling) counts as nothing, as is usual. A body counts
    each time it runs, at the most; of bodies that run in each other's place the one with most to compute.
    """
    plan = node.plan
    if plan.multiply_adds is not None:
        return plan.multiply_adds
    if plan.bodies:
        return _of_bodies(node)
    matrices = sum(math.prod(weight.shape) for weight in plan.weights if weight.learned and len(weight.shape) > 1)
    return matrices * math.prod(plan.tops[0][:-1]) if matrices else 0


def _of_bodies(node: Node) -> int:
    """Those of a layer's bodies."""
    total, instead = 0, 0
    for body in node.plan.bodies:
        once = multiply_adds(node.bodies[body.name])
        if body.loop is not None and body.loop.instead:
            instead = max(instead, body.loop.runs * once)
        else:
            total += once * (body.loop.runs if body.loop is not None else 1)
    return total + instead


def threads_for(graph: Graph) -> int | None:
    """1 for a net with little to compute, or None: as many as there are."""
    return 1 if multiply_adds(graph) < LITTLE else None
