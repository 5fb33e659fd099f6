"""`layerkit summary`: the layers of a net with shapes and weights."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from layerkit.cli import options

if TYPE_CHECKING:
    from layerkit.graph.table import Row


def summary(
    file: options.File,
    assignments: options.Assignments = None,
    phase: Annotated[str, typer.Option("--phase", metavar="PHASE", help="train, test or predict.")] = "train",
) -> None:
    """Print a net's layers with their shapes and weights.

    Weights that several layers share are counted once, with the first of these layers.

    Example: layerkit summary configs/lenet.yaml
    """
    from layerkit import graph
    from layerkit.graph import table

    _, graphs = graph.load(file, [phase], assignments or [])
    rows = table.rows(graphs[phase])
    _print(rows)
    typer.echo(f"{table.total(rows)} (phase {phase})")


def _print(rows: list[Row]) -> None:
    """The table: in a terminal folded to its width, in a pipe never cut."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("layer", "type", "output", "weights"):
        table.add_column(title, justify="right" if title == "weights" else "left", overflow="fold")
    for row in rows:
        count = f"{row.weights:,}" if row.weights else ""
        table.add_row(*map(Text, (row.layer, row.type, row.outputs, count)))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 10_000)
    with console.capture() as captured:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))
