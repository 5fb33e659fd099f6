"""`layerkit summary`: the layers of a net with their shapes, weights and costs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from layerkit.cli import options, table
from layerkit.words import counted

if TYPE_CHECKING:
    from layerkit.report.summary import Summary

_TITLES = ("layer", "type", "output", "weights", "mult-adds", "activations", "runs on")


def summary(
    file: options.File,
    assignments: options.Assignments = None,
    phase: options.OnePhase = "train",
    engine: options.Engine = None,
    allow_python: options.AllowPython = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Print a net's layers with shapes, weights and costs.

    Multiply-adds are those of a forward pass over the batch; activations are the bytes of what a layer writes, with
    gradients while training. A body counts for each time that it runs, and with all that it keeps. Weights that several
    layers share count once, with the first of these layers. A terminal that is too narrow gets fewer columns.

    Example: layerkit summary configs/lenet.yaml
    """
    from layerkit import graph
    from layerkit.report.summary import summarize

    run, graphs = graph.load(
        file, [phase], [*(assignments or []), *options.run_overrides(None, engine)], allow_python=allow_python
    )
    found = summarize(graphs[phase], run.engine)
    if as_json:
        typer.echo(json.dumps(asdict(found)))
    else:
        _print(found)


def _print(found: Summary) -> None:
    from layerkit.blob import shape_text

    rows = [
        (
            row.layer,
            row.type,
            ", ".join(shape_text(tuple(shape)) for shape in row.outputs),
            f"{row.weights:,}" if row.weights else "",
            table.in_units(row.multiply_adds) if row.multiply_adds else "",
            table.in_units(row.activations, "B"),
            row.runs_on,
        )
        for row in found.rows
    ]
    omitted = table.show(_TITLES, rows, right=_TITLES[3:6], may_omit=("runs on", "activations", "mult-adds"))
    besides = f" and {counted(found.statistics, 'statistic')}" if found.statistics else ""
    typer.echo(f"{counted(len(rows), 'layer')}, {counted(found.weights, 'weight')}{besides} (phase {found.phase})")
    typer.echo(f"{table.in_units(found.multiply_adds)} multiply-adds forward (engine {found.engine})")
    planned = ""
    if found.planned is not None:
        planned = f"; {table.in_units(found.planned, 'B')} with planned memory, work arrays included"
    typer.echo(f"activations {table.in_units(found.activations, 'B')}{planned}")
    table.note_omitted(omitted)
