"""A net as a graph of steps, with an Expression opened up into its primitives and bodies run by run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from itertools import count
from types import SimpleNamespace
from typing import Any

import numpy as np

from layerkit.blob import Blob
from layerkit.differentiation import Point
from layerkit.graph import Node, Ref
from layerkit.layers.control.cond import Cond
from layerkit.layers.control.repeat import Repeat
from layerkit.layers.expression.expression import Expression
from layerkit.layers.recurrent.recurrent import Recurrent
from layerkit.net import Net
from layerkit.passes import remember
from layerkit.registry import family
from layerkit.report.tracing import branches, expressions, loops
from layerkit.report.tracing.folding import folded
from layerkit.report.tracing.operations import LayerOperation
from layerkit.report.tracing.values import WEIGHT, Step, Steps

SHOWN = 8
"""Most steps of a loop that are shown, half of them the first and half of them the last."""


@np.errstate(all="ignore")
def read(net: Net, shown: int = SHOWN) -> Steps:
    """The graph of a net at the values that its inputs and weights have now.

    Of a loop with more steps than `shown` those in between are one step; with 0 a layer with a body is one.
    """
    graph = net.graph
    put_back = remember(node for _, node in net.nodes())
    point = Point(net)
    steps = Steps(graph.name or "net", graph.state.phase, net.dtype)
    reader = Reader(steps, point, _weights_of(steps, point), shown)
    reader.walk()
    put_back()
    for name, ref in graph.last.items():
        steps.names[name] = reader.blobs[ref]
    for node in point.nodes:
        for ref, weight in zip(node.tops, node.loss_weights, strict=True):
            if weight:
                steps.losses[reader.blobs[ref]] = steps.losses.get(reader.blobs[ref], 0.0) + weight
    makers = {ref: node for node in graph.nodes for ref in node.tops}
    lasts = [graph.last[name] for name in graph.outputs]
    steps.outputs = [reader.blobs[ref] for ref in lasts if point.can(makers[ref])]
    return folded(steps)


def _weights_of(steps: Steps, point: Point) -> Callable[[str], int]:
    """What gives the value of a net's weight by one of its uses, `layer.weight`: a leaf that all uses share."""
    made: dict[str, int] = {}

    def weight(use: str) -> int:
        slot = point.uses[use]
        if slot.key not in made:
            leaf = Step(slot.key, "weight", WEIGHT, None, layer=slot.layer)
            (made[slot.key],) = steps.add(leaf, [(slot.key, slot.blob.values.reshape(slot.shape))])
        return made[slot.key]

    return weight


class Reader:
    """Walks through the layers of a net, or of one run of a body, in their order.

    What it finds there gets names that begin with `prefix`; `inputs` are the values that a body is given.
    """

    def __init__(
        self,
        steps: Steps,
        point: Point,
        weight: Callable[[str], int],
        shown: int,
        prefix: str = "",
        inputs: Mapping[str, int] | None = None,
    ):
        self.steps, self.point, self.weight, self.shown, self.prefix = steps, point, weight, shown, prefix
        self.blobs = {Ref(name): number for name, number in (inputs or {}).items()}
        self._taken = {*point.graph.last, *point.uses}
        self._numbers = count(1)

    def walk(self) -> None:
        """Read every layer."""
        for node in self.point.nodes:
            if not all(ref in self.blobs for ref in node.tops):  # what is given is there
                self.blobs.update(zip(node.tops, self._read(node), strict=True))

    def run(self, node: Node, body: str, prefix: str, inputs: Mapping[str, int]) -> Reader:
        """Read one run of a layer's body; what its layers draw and remember is then as that run leaves it."""
        loop = node.layer.bodies[body]
        nodes = tuple(replace(each, layer=copy(each.layer)) for each in loop.graph.nodes)
        graph = replace(loop.graph, nodes=nodes)
        arrays = {name: self.steps.values[number].data for name, number in inputs.items()}
        blobs = {name: Blob.of(array.reshape(graph.shapes[Ref(name)])) for name, array in arrays.items()}
        net: Any = SimpleNamespace(graph=graph, flat=loop.store, dtype=self.steps.dtype, blobs=blobs)
        point = Point(net)

        def weight(use: str) -> int:
            return self.weight(f"{node.name}.{body}/{point.uses[use].key}")

        inside = Reader(self.steps, point, weight, self.shown, prefix, inputs)
        inside.walk()
        point.advance()
        return inside

    def last(self, name: str) -> int:
        """The value of a blob's last version."""
        return self.blobs[self.point.graph.last[name]]

    def named(self, ref: Ref) -> str:
        """A blob's name; versions before the last, which a layer in place replaces, are numbered."""
        last = ref == self.point.graph.last[ref.name]
        return self.prefix + (ref.name if last else f"{ref.name}#{ref.version}")

    def free(self, name: str, layer: str) -> str:
        """A name for something inside a formula: `v` is numbered, and what is taken gets its layer's name in front."""
        if name == "v":
            name = next(each for each in (f"v{i}" for i in self._numbers) if each not in self._taken)
        elif name in self._taken:
            name = f"{layer}.{name}"
        self._taken.add(name)
        return self.prefix + name

    def _read(self, node: Node) -> list[int]:
        """A layer as steps; returns its tops' values."""
        bottoms = [self.blobs[ref] for ref in node.bottoms]
        layer = node.layer
        if self.shown and isinstance(layer, Recurrent | Repeat):
            return loops.opened(self, node, layer, bottoms)
        if self.shown and isinstance(layer, Cond):
            return branches.opened(self, node, layer, bottoms)
        learned = [weight.name for weight in node.plan.weights if weight.learned]
        weights = {name: self.weight(f"{node.name}.{name}") for name in learned}
        if isinstance(layer, Expression):
            return expressions.opened(self, node, layer, bottoms, weights)
        arguments = (*bottoms, *weights.values())
        operation = LayerOperation(self.point, node) if arguments else None
        kind = node.spec.type
        step = Step(self.prefix + node.name, kind, family(kind), operation, arguments)
        return self.steps.add(step, [(self.named(ref), self.point.blobs[ref].data) for ref in node.tops])
