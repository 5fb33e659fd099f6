"""A Cond as steps: the layers of the body that ran, for each sample where these choose one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from layerkit.graph import Node
from layerkit.layers.control.cond import OTHERWISE, THEN, Cond
from layerkit.report.tracing.joining import Piece, Runs, cut, place, stopped

if TYPE_CHECKING:
    from layerkit.report.tracing.steps import Reader


def opened(reader: Reader, node: Node, layer: Cond, bottoms: Sequence[int]) -> list[int]:
    """The steps of what ran; returns the tops' values."""
    inputs, at = layer.reads(len(bottoms))
    chosen = reader.steps.values[bottoms[at]].data.ravel() != 0
    given = {
        name: bottoms[i]
        if node.propagates(i)
        else stopped(reader, node, f"{reader.prefix}{node.name}/{name}", bottoms[i])
        for name, i in inputs.items()
    }
    if layer.params.by == "batch":
        return _batch(reader, node, layer, THEN if chosen[0] else OTHERWISE, given, bottoms[at])
    shapes = [reader.point.blobs[ref].shape for ref in node.tops]
    pieces: list[list[Piece]] = [[] for _ in shapes]
    for body, rows in ((THEN, np.nonzero(chosen)[0]), (OTHERWISE, np.nonzero(~chosen)[0])):
        runs = Runs(reader, node, f"{reader.prefix}{node.name}/{body}")
        outputs: list[list[Piece]] = [[] for _ in shapes]
        for i, row in enumerate(map(int, rows)):
            prefix = runs.begin(row)
            own = {name: cut(reader, node, prefix + name, value, slice(row, row + 1)) for name, value in given.items()}
            inside = reader.run(node, body, prefix, own)
            for found, output in zip(outputs, layer.params.outputs, strict=True):
                found.append(Piece(i, inside.last(output), np.array([row])))
        for joined, more in zip(pieces, runs.close(outputs, shapes), strict=True):
            joined += more
    written = f"Cond, {THEN} of {int(chosen.sum())}, {OTHERWISE} of {int((~chosen).sum())}"
    return [
        place(reader, node, reader.named(ref), written, each, shape, [bottoms[at]])
        for ref, each, shape in zip(node.tops, pieces, shapes, strict=True)
    ]


def _batch(reader: Reader, node: Node, layer: Cond, body: str, given: Mapping[str, int], condition: int) -> list[int]:
    """One body for all."""
    inside = reader.run(node, body, f"{reader.prefix}{node.name}/{body}/", given)
    found = []
    for ref, output in zip(node.tops, layer.params.outputs, strict=True):
        piece = Piece(0, inside.last(output), slice(None))
        shape = reader.point.blobs[ref].shape
        found.append(place(reader, node, reader.named(ref), f"Cond, {body}", [piece], shape, [condition]))
    return found
