"""A graph as a table: one row a layer. `layerkit summary` and notebooks show it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from layerkit.blob import shape_text
from layerkit.words import counted

if TYPE_CHECKING:
    from layerkit.graph import Graph


class Row(NamedTuple):
    """One layer. `weights` counts the elements that can learn, `statistics` the others; shared ones count once."""

    layer: str
    type: str
    outputs: str
    weights: int
    statistics: int


def rows(graph: Graph) -> list[Row]:
    """The layers in the order in which they run."""
    table: list[Row] = []
    shared: set[str] = set()
    for node in graph.nodes:
        counts = {True: 0, False: 0}
        for weight, param in zip(node.plan.weights, node.params, strict=True):
            if not param.name or param.name not in shared:
                counts[weight.learned] += math.prod(weight.shape)
            if param.name:
                shared.add(param.name)
        outputs = ", ".join(shape_text(graph.shapes[ref]) for ref in node.tops)
        table.append(Row(node.name, node.spec.type, outputs, counts[True], counts[False]))
    return table


def total(table: Sequence[Row]) -> str:
    """The line below the table."""
    statistics = sum(row.statistics for row in table)
    besides = f" and {counted(statistics, 'statistic')}" if statistics else ""
    return f"{counted(len(table), 'layer')}, {counted(sum(row.weights for row in table), 'weight')}{besides}"


def largest(graph: Graph) -> str:
    """The largest blob or weight, in words: what to make smaller where memory runs out."""
    arrays = {f"the blob {ref.name!r}": shape for ref, shape in graph.shapes.items()}
    for node in graph.nodes:
        arrays |= {f"the {weight.name} of layer {node.name!r}": weight.shape for weight in node.plan.weights}
    name = max(arrays, key=lambda each: math.prod(arrays[each]))
    return f"the largest array is {name}, {shape_text(arrays[name])}"


def html(graph: Graph) -> str:
    """The table for a notebook."""
    table = rows(graph)
    head = "".join(f"<th style='text-align:left'>{title}</th>" for title in Row._fields[:4])
    body = "".join(_html_row(row) for row in table)
    title = f"{graph.name or 'net'} ({graph.state.phase}): {total(table)}"
    return f"<table><caption>{escape(title)}</caption><tr>{head}</tr>{body}</table>"


def _html_row(row: Row) -> str:
    cells = "".join(f"<td>{escape(text)}</td>" for text in row[:3])
    return f"<tr>{cells}<td style='text-align:right'>{f'{row.weights:,}' if row.weights else ''}</td></tr>"
