"""`layerkit summary`: the layers of a net with shapes and weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from layerkit.cli import options

if TYPE_CHECKING:
    from layerkit.graph import Graph


def summary(
    file: options.File,
    assignments: options.Assignments = None,
    phase: Annotated[str, typer.Option("--phase", help="train, test or predict.")] = "train",
) -> None:
    """Print a table of a net's layers: type, output shapes, weights.

    Example: layerkit summary configs/lenet.yaml
    """
    from layerkit.graph import build
    from layerkit.spec import load_run

    run = load_run(file, assignments or [])
    _print(build(run.net, phase))


def _print(graph: Graph) -> None:
    import sys

    from rich.console import Console
    from rich.table import Table

    from layerkit.blob import shape_text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("layer", "type", "output", "weights"):
        table.add_column(title, justify="right" if title == "weights" else "left", overflow="fold")
    total = 0
    for node in graph.nodes:
        count = sum(math.prod(weight.shape) for weight in node.plan.weights)
        shared = [node.param(i).name for i in range(len(node.plan.weights)) if node.param(i).name]
        total += 0 if shared else count
        shapes = " ".join(shape_text(graph.shapes[ref]) for ref in node.tops)
        table.add_row(node.name, node.spec.type, shapes, f"{count:,}" if count else "")
    console = Console(file=sys.stdout, highlight=False)
    console.print(table)
    console.print(f"{len(graph.nodes)} layers, {total:,} weights")
