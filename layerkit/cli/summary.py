"""`layerkit summary`: the layers of a net with shapes and weights."""

from __future__ import annotations

from typing import Annotated

import typer

from layerkit.cli import options, table


def summary(
    file: options.File,
    assignments: options.Assignments = None,
    phase: Annotated[str, typer.Option("--phase", metavar="PHASE", help="train, test or predict.")] = "train",
    allow_python: options.AllowPython = False,
) -> None:
    """Print a net's layers with their shapes and weights.

    Weights that several layers share are counted once, with the first of these layers.

    Example: layerkit summary configs/lenet.yaml
    """
    from layerkit import graph
    from layerkit.graph import table as tables

    _, graphs = graph.load(file, [phase], assignments or [], allow_python=allow_python)
    rows = tables.rows(graphs[phase])
    cells = [(row.layer, row.type, row.outputs, f"{row.weights:,}" if row.weights else "") for row in rows]
    table.show(("layer", "type", "output", "weights"), cells, right=("weights",))
    typer.echo(f"{tables.total(rows)} (phase {phase})")
