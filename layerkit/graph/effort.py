"""How much a net has to compute, and what follows for the number of threads."""

from __future__ import annotations

import math
from collections.abc import Sequence

from layerkit.blob import Shape
from layerkit.graph import Graph, Node

_NO_PRODUCTS = ("Embed", "PositionalEmbedding", "Parameter", "Scale", "Bias", "LayerNorm", "RMSNorm")
"""Types whose learned arrays are looked up in, or meet each element once."""

LITTLE = 16_000_000
"""Multiply-adds of a forward pass below which a second thread does not pay: on a busy machine threads wait for each
other for milliseconds, many times as long as such a pass takes."""


def multiply_adds(graph: Graph) -> int:
    """Multiply-adds of a forward pass with the graph's shapes, counted from the learned matrices and kernels."""
    return sum(of_node(graph, node) for node in graph.nodes)


def of_node(graph: Graph, node: Node) -> int:
    """Those of one layer: each learned matrix or kernel is used once at each place.

    What works element by element (activations, normalisation, pooling) counts as nothing, as is usual. A body counts
    each time it runs, at the most; of bodies that run in each other's place the one with most to compute.
    """
    if node.bodies:
        return _of_bodies(node)
    kind, bottoms = node.spec.type, [graph.shapes[ref] for ref in node.bottoms]
    if kind in _NO_PRODUCTS:
        return 0
    total = _between_bottoms(kind, node, bottoms)
    sizes = [math.prod(weight.shape) for weight in node.plan.weights if weight.learned and len(weight.shape) > 1]
    for i, top in enumerate(node.plan.tops if sizes else ()):
        outputs = getattr(node.layer.params, "num_output", None) or (top[-1] if top else 1)
        places = math.prod(top) // max(1, outputs)
        if kind == "Deconvolution":  # which spreads each place of its bottom
            places = math.prod(bottoms[i]) // max(1, bottoms[i][node.layer.params.axis])
        total += places * sum(sizes)
    return total


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


def _between_bottoms(kind: str, node: Node, bottoms: Sequence[Shape]) -> int:
    """Multiply-adds of matrices that are no weights."""
    if kind == "MatMul":
        shared = bottoms[0][-2 if node.layer.params.transpose_a else -1]
        return math.prod(node.plan.tops[0]) * shared
    if kind == "MultiHeadAttention":  # each query with each key, and the sum of the values
        keys = bottoms[min(1, len(bottoms) - 1)][1]
        return 2 * math.prod(node.plan.tops[0]) * keys
    return 0


def threads_for(graph: Graph) -> int | None:
    """1 for a net with little to compute, or None: as many as there are."""
    return 1 if multiply_adds(graph) < LITTLE else None
