"""A net's memory and program, planned again where shapes are given from outside, or where a pass is partial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from layerkit.blob import Shape
from layerkit.engines import Engine
from layerkit.errors import UsageError
from layerkit.given import Keep
from layerkit.graph import Graph, Ref, table
from layerkit.programs import Program, Programs
from layerkit.storage import BlobStore


class Planning:
    """What a net needs to run a graph, and any other graph of the same layers with other shapes."""

    def __init__(self, graph: Graph, engine: Engine, keep: Keep, dtype: np.dtype[Any]):
        self.programs = Programs(graph, engine, keep, dtype)
        self.store = BlobStore(graph, dtype, engine.channels_last, self.programs.layout(graph))
        self.decided: frozenset[Ref] = frozenset()
        """Tops whose shapes their layers decided, within what they had planned."""
        self._forced: dict[Ref, Shape] = {}
        """Shapes that were given from outside, or decided, where they are not those that were planned at first."""

    def program(self, graph: Graph) -> Program:
        """What runs a graph that the store has laid out."""
        return self.programs.program(graph, self.store)

    def again(self, graph: Graph, shapes: Mapping[Ref, Shape], *, decided: bool = False) -> Graph:
        """The graph with some tops' shapes given from outside, or `decided` by their layers; the store lays it out.

        Raises ShapeError where a shape does not fit, and UsageError where there is no memory; nothing is changed then.
        """
        found = graph.with_shapes({**self._forced, **shapes})
        by_layers = self.decided | shapes.keys() if decided else self.decided - shapes.keys()
        forced = {ref: shape for ref, shape in {**self._forced, **shapes}.items() if found.shapes[ref] == shape}
        try:
            if not self.store.adopt(found):  # memory for all that layers may decide, and then what they did
                given = {ref: shape for ref, shape in forced.items() if ref not in by_layers}
                whole = found.with_shapes(given)
                self.store.allocate(whole, self.programs.layout(whole))
                self.store.adopt(found)
        except MemoryError:
            self.store.adopt(graph)
            raise UsageError(f"not enough memory for these shapes; {table.largest(found)}") from None
        self.decided, self._forced = by_layers, forced
        return found

    def divide(self, graph: Graph, first: int, last: int, what: str) -> bool:
        """Let no chain of layers run as one over the borders of a pass from `first` to `last`, from now on.

        Returns whether the program is another then. Raises UsageError where the memory is not made for such a pass.
        """
        units = self.programs.divided(graph, self.store.layout.units, (first, last + 1), what)
        if units is None:
            return False
        self.store.divide(units)
        return True
