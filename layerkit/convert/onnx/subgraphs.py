"""Graphs inside a node: the body of a Scan or a Loop, or a branch of an If. Each sees what stands outside of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from layerkit.convert.onnx.here import Dims
from layerkit.convert.onnx.package import onnx
from layerkit.convert.onnx.values import Nodes, Value

FLOAT, INT64, BOOL = 1, 7, 9
"""The types of values, by ONNX's numbers."""


def column(nodes: Nodes, rows: Value, dims: Dims) -> Value:
    """One number a row, so that it stretches over the other axes of an array of these dimensions."""
    return nodes.op("Unsqueeze", rows, list(range(1, len(dims)))) if len(dims) > 1 else rows


class Subgraph:
    """One such graph on its way: inputs are added, then nodes, and at the end it is finished with its outputs."""

    def __init__(self, outside: Nodes, name: str):
        self.nodes = Nodes(outside.constants, f"{outside.prefix}{name}.", outside)
        self.op = self.nodes.op
        self._inputs: list[Any] = []

    def input(self, name: str, dims: Dims, kind: int = FLOAT) -> Value:
        """One more input."""
        full = self.nodes.fresh(name)
        self._inputs.append(onnx().helper.make_tensor_value_info(full, kind, dims))
        return self.nodes.value(full)

    def finish(self, outputs: Sequence[tuple[Value, Dims]], goes_on: Value | None = None) -> Any:
        """The graph with these outputs; that of a Loop says first whether it goes on."""
        given = [] if goes_on is None else [(goes_on, (), BOOL)]
        infos = [
            onnx().helper.make_tensor_value_info(self.op("Identity", value).name, kind, dims)  # one may come twice
            for value, dims, kind in (*given, *((value, dims, FLOAT) for value, dims in outputs))
        ]
        return onnx().helper.make_graph(self.nodes.protos, f"{self.nodes.prefix}graph", self._inputs, infos)
