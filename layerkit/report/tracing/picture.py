"""A trace as a picture: a box for each step and leaf, values above the edges, gradients or tangents below them."""

from __future__ import annotations

import numpy as np

from layerkit.blob import Array
from layerkit.graph import Ref
from layerkit.report.drawing.parts import Part
from layerkit.report.drawing.picture import Box, Edge, Picture
from layerkit.report.tracing import numbers, text
from layerkit.report.tracing.passes import Trace

_FEW, _DIGITS = 4, 4
"""Most numbers that are written on an edge, and their digits."""


class Drawn:
    """The picture of a trace, and which of its boxes and edges stand for what."""

    def __init__(self, trace: Trace):
        self.trace = trace
        self.box_of: dict[int, int] = {}
        """The box that a value leaves."""
        self.uses: dict[tuple[int, int], int] = {}
        """The edge over which a value (first) comes to a step (second); -1 stands for the end of what is computed."""
        self.boxes: list[Box] = []
        self._edges: list[Edge] = []
        for number, step in enumerate(trace.steps.steps):
            if step.operation is None:
                for value in step.results:
                    self._box([value], trace.steps.values[value].name, step.written, step.family)
                continue
            self._box(step.results, step.name, step.written, step.family)
            for source in dict.fromkeys(step.arguments):
                if source >= 0:
                    self._edge(source, number, len(self.boxes) - 1)
        for value in trace.seeds if trace.reverse else trace.steps.outputs:
            self.boxes.append(Box((Part("output", "", "output", "", (), 0, 0),), name="output"))
            self._edge(value, -1, len(self.boxes) - 1)

    @property
    def picture(self) -> Picture:
        """The picture."""
        below = f"gradients of {self.trace.about}" if self.trace.reverse else f"tangents along {self.trace.about}"
        subtitle = f"{self.trace.steps.phase}: values above the edges, {below} below"
        return Picture(self.trace.steps.title, subtitle, tuple(self.boxes), tuple(self._edges))

    def _box(self, values: list[int] | tuple[int, ...], name: str, written: str, family: str) -> None:
        what = "gradient" if self.trace.reverse else "tangent"
        details = []
        for value in values:
            title = "" if len(values) == 1 else f"{self.trace.steps.values[value].name}: "
            details.append((f"{title}value", numbers.short(self.trace.steps.values[value].data)))
            details.append((f"{title}{what}", text.total(self.trace, value)))
            self.box_of[value] = len(self.boxes)
        self.boxes.append(Box((Part(name, written, family, "", tuple(details), 0, 0),), name=name))

    def _edge(self, source: int, step: int, target: int) -> None:
        value = self.trace.steps.values[source]
        number = len(self._edges)
        self.uses[source, step] = number
        above, below = _on_edge(value.data, with_shape=True), self._below(source, step)
        self._edges.append(Edge(self.box_of[source], target, Ref(value.name, number), above, below))

    def _below(self, source: int, step: int) -> str:
        """The part of the source's gradient that comes over an edge; in forward mode its tangent."""
        if not self.trace.reverse or step < 0:
            here = self.trace.totals if self.trace.mode == "forward" else self.trace.seeds
            return _on_edge(here[source], with_shape=False) if source in here else ""
        parts = [edge.product for edge in self.trace.edges if edge.source == source and edge.step == step]
        return _on_edge(np.sum(parts, axis=0), with_shape=False) if parts else ""


def _on_edge(array: Array, *, with_shape: bool) -> str:
    """The numbers of an array of a few, else shape and norm, or the norm alone."""
    if 0 < array.size <= _FEW:
        return numbers.listed(array, _DIGITS)
    norm = f"norm {numbers.number(float(np.linalg.norm(array)), 3)}"
    return numbers.summed(array) if with_shape else norm
