"""Which lengths depend on the size of a batch: found by planning the net once more, for batches twice as large."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from layerkit.blob import Shape
from layerkit.convert.onnx.here import Dim, Dims
from layerkit.errors import LayerkitError
from layerkit.graph import Graph, Ref

MOST = 5
"""Inputs up to which all their combinations are tried."""


class Batches:
    """The dimensions of every blob of a graph, with names where another batch makes another length.

    `fixed` says why no input can have a batch of another size, where that is so or is given.
    """

    def __init__(self, graph: Graph, fixed: str = ""):
        self._shapes = graph.shapes
        made_up = {ref for node in graph.nodes if node.spec.type == "DummyData" for ref in node.tops}
        inputs = [ref for ref in map(Ref, graph.inputs) if graph.shapes[ref] and ref not in made_up]
        self._doubled, self.fixed = (graph.shapes, fixed) if fixed else _double(graph, inputs)
        self._sizes: dict[int, str] = {}
        for ref in inputs:
            if self._doubled[ref] != self._shapes[ref]:
                self._sizes.setdefault(self._shapes[ref][0], "N" if not self._sizes else f"{ref.name}_length")

    def dims(self, ref: Ref) -> Dims:
        """The dimensions of a blob."""
        pairs = zip(self._shapes[ref], self._doubled[ref], strict=True)
        return tuple(one if one == other else self._name(one, other) for one, other in pairs)

    def _name(self, length: int, doubled: int) -> Dim:
        """The name of a length that is `doubled` where all batches are."""
        for size, name in self._sizes.items():
            if doubled == 2 * length and length % size == 0:
                return name if length == size else f"{name}*{length // size}"
        return f"from_{length}_to_{doubled}"


def _double(graph: Graph, inputs: Sequence[Ref]) -> tuple[Mapping[Ref, Shape], str]:
    """All shapes for batches twice as large, of as many inputs as allow it together; and why none does, if so."""
    reason = ""
    counts = range(len(inputs), 0, -1) if len(inputs) <= MOST else [len(inputs)]
    for count in counts:
        for chosen in combinations(inputs, count):
            try:
                return graph.with_shapes({ref: _twice(graph.shapes[ref]) for ref in chosen}).shapes, ""
            except LayerkitError as error:
                reason = reason or str(error)
    return graph.shapes, reason


def _twice(shape: Shape) -> Shape:
    return (2 * shape[0], *shape[1:])
