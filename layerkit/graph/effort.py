"""How much a net has to compute, and what follows for the number of threads."""

from __future__ import annotations

import math

from layerkit.graph import Graph

LITTLE = 16_000_000
"""Multiply-adds of a forward pass below which a second thread does not pay: on a busy machine threads wait for each
other for milliseconds, many times as long as such a pass takes."""


def multiply_adds(graph: Graph) -> int:
    """Multiply-adds of a forward pass with the graph's shapes, counted from the learned matrices and kernels."""
    total = 0
    for node in graph.nodes:
        sizes = [math.prod(weight.shape) for weight in node.plan.weights if weight.learned and len(weight.shape) > 1]
        for top in node.plan.tops if sizes else ():
            outputs = getattr(node.layer.params, "num_output", None) or (top[-1] if top else 1)
            total += math.prod(top) // max(1, outputs) * sum(sizes)
    return total


def threads_for(graph: Graph) -> int | None:
    """1 for a net with little to compute, or None: as many as there are."""
    return 1 if multiply_adds(graph) < LITTLE else None
