"""What each layer of a net makes, holds and costs. Everything is planned, and no memory is taken up for it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from layerkit import engines
from layerkit.blob import Blob, Weights
from layerkit.engines import Engine
from layerkit.graph import Graph, Step, table
from layerkit.graph.effort import of_node
from layerkit.loops import Bodies, prepare
from layerkit.programs import Programs, planned_implementations

_DTYPE = np.dtype("float32")


@dataclass(frozen=True)
class Row:
    """One layer. A weight that several layers share counts once, with the first of them."""

    layer: str
    type: str
    outputs: list[list[int]]
    weights: int
    """Elements that can learn."""
    statistics: int
    """Elements that a forward pass changes, such as means."""
    multiply_adds: int
    """Of a forward pass over the batch."""
    activations: int
    """Bytes of its tops, with their gradients where a backward pass computes these, and of all that its bodies hold."""
    runs_on: str
    """The engine's implementation, or numpy: the layer's own code."""


@dataclass(frozen=True)
class Summary:
    """A net in one phase, with its sums; bytes are those of 32-bit numbers."""

    name: str
    phase: str
    engine: str
    rows: list[Row]
    weights: int
    statistics: int
    multiply_adds: int
    activations: int
    """Bytes where every blob has memory of its own, as in Python by default."""
    planned: int | None
    """Bytes where blobs take turns, as on the command line, work arrays included; None where they cannot."""


def summarize(graph: Graph, engine: str) -> Summary:
    """Sum up a net as `engine` would run it. Raises UsageError where that is not on this machine."""
    chosen = engines.choose(engine, _DTYPE)
    for node in graph.nodes:  # kernels look at the weights' shapes only
        blank = {each.name: Blob.of(np.broadcast_to(_DTYPE.type(0), each.shape)) for each in node.plan.weights}
        node.layer.weights = Weights(blank)
    programs = Programs(graph, chosen, (), _DTYPE)
    layout = programs.layout(graph)
    on = planned_implementations(graph, programs, layout.units)
    backward = graph.backward(None) if graph.state.phase == "train" else []
    differentiated = {ref for step in backward for ref in graph.nodes[step.node].tops}
    inside = _inside(graph, chosen, backward)
    rows = []
    for node, counts in zip(graph.nodes, table.rows(graph), strict=True):
        size = sum(math.prod(graph.shapes[ref]) * (2 if ref in differentiated else 1) for ref in node.tops)
        outputs = [list(graph.shapes[ref]) for ref in node.tops]
        effort = of_node(node)
        held = size * _DTYPE.itemsize + inside.get(node.name, 0)
        rows.append(
            Row(node.name, node.spec.type, outputs, counts.weights, counts.statistics, effort, held, on[node.name])
        )
    return Summary(
        name=graph.name,
        phase=graph.state.phase,
        engine=chosen.name,
        rows=rows,
        weights=sum(row.weights for row in rows),
        statistics=sum(row.statistics for row in rows),
        multiply_adds=sum(row.multiply_adds for row in rows),
        activations=sum(row.activations for row in rows),
        planned=layout.plan.size + sum(inside.values()) if layout.plan is not None else None,
    )


def _inside(graph: Graph, engine: Engine, backward: Iterable[Step]) -> dict[str, int]:
    """Bytes of what the bodies that run again and again hold, by layer; none of it is written to."""
    bodies = Bodies(0, _DTYPE, engine, lambda *_: None)
    nodes = [node for node in graph.nodes if any(body.loop is not None for body in node.plan.bodies)]
    for node in nodes:
        node.layer.bodies = bodies(node.name, node.plan, node.bodies, node.layer.weights)
    prepare(graph, backward)
    return {node.name: sum(body.bytes for body in node.layer.bodies.values() if body is not None) for node in nodes}
