"""Which lengths depend on the size of a batch: found by planning the net once more, for batches twice as large."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from layerkit.blob import Shape
from layerkit.convert.onnx.here import Dim, Dims
from layerkit.errors import LayerkitError
from layerkit.graph import Graph, Node, Ref

MOST = 5
"""Inputs up to which all their combinations are tried."""


@dataclass(frozen=True)
class Batches:
    """The dimensions of every blob of a graph, with names where another batch makes another length."""

    graph: Graph
    doubled: Graph
    """The same graph, planned for batches twice as large."""
    sizes: Mapping[int, str]
    """What the lengths are called that the batches of inputs have."""
    fixed: str = ""
    """Why no input can have a batch of another size, where that is so or is given."""

    def dims(self, ref: Ref) -> Dims:
        """The dimensions of a blob."""
        pairs = zip(self.graph.shapes[ref], self.doubled.shapes[ref], strict=True)
        return tuple(one if one == other else self._name(one, other) for one, other in pairs)

    def inside(self, node: Node, body: str) -> Batches:
        """Those of the blobs in a layer's body."""
        own: Graph = node.layer.bodies[body].graph
        return Batches(own, self.doubled.nodes[self.doubled.index(node.name)].bodies[body], self.sizes)

    def of_all_rows(self, outside: Batches, ref: Ref) -> Batches:
        """Those of a body whose inputs have one row each, for inputs with the rows of a blob outside of it.

        Raises ShapeError where the body does not take so many.
        """
        one, other = (
            inner.with_shapes(
                {Ref(name): (outer.shapes[ref][0], *inner.shapes[Ref(name)][1:]) for name in inner.inputs}
            )
            for inner, outer in ((self.graph, outside.graph), (self.doubled, outside.doubled))
        )
        return Batches(one, other, self.sizes)

    def _name(self, length: int, doubled: int) -> Dim:
        """The name of a length that is `doubled` where all batches are."""
        for size, name in self.sizes.items():
            if doubled == 2 * length and length % size == 0:
                return name if length == size else f"{name}*{length // size}"
        return f"from_{length}_to_{doubled}"


def find_batches(graph: Graph, fixed: str = "") -> Batches:
    """The batches of a graph; with `fixed`, the reason for it, all keep the size that they have."""
    made_up = {ref for node in graph.nodes if node.spec.type == "DummyData" for ref in node.tops}
    inputs = [ref for ref in map(Ref, graph.inputs) if graph.shapes[ref] and ref not in made_up]
    doubled, fixed = (graph, fixed) if fixed else _double(graph, inputs)
    sizes: dict[int, str] = {}
    for ref in inputs:
        if doubled.shapes[ref] != graph.shapes[ref]:
            sizes.setdefault(graph.shapes[ref][0], "N" if not sizes else f"{ref.name}_length")
    return Batches(graph, doubled, sizes, fixed)


def _double(graph: Graph, inputs: Sequence[Ref]) -> tuple[Graph, str]:
    """The graph for batches twice as large, of as many inputs as allow it together; and why none does, if so."""
    reason = ""
    counts = range(len(inputs), 0, -1) if len(inputs) <= MOST else [len(inputs)]
    for count in counts:
        for chosen in combinations(inputs, count):
            try:
                return graph.with_shapes({ref: _twice(graph.shapes[ref]) for ref in chosen}), ""
            except LayerkitError as error:
                reason = reason or str(error)
    return graph, reason


def _twice(shape: Shape) -> Shape:
    return (2 * shape[0], *shape[1:])
