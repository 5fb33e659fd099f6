"""`layerkit check`: validate a file without running anything."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from layerkit.cli import options

if TYPE_CHECKING:
    from layerkit.graph import Graph


def check(
    file: options.File,
    assignments: options.Assignments = None,
    phase: options.Phase = None,
    expand: Annotated[bool, typer.Option("--expand", help="Print the layers with blocks and names filled in.")] = False,
) -> None:
    """Validate a file: all its errors, with line and column.

    Every phase of the net is built, without reading any samples; samples that are not there are noted on standard
    error. With --phase, prints the net of that phase as YAML (predict is derived from the test net); with --expand,
    the layers of all phases, out of their blocks, with names, bottoms and tops filled in.

    Example: layerkit check configs/mlp.yaml --phase predict
    """
    from layerkit import graph, text
    from layerkit.errors import Problems, UsageError

    if phase and expand:
        raise UsageError("--phase prints the net of one phase and --expand the layers of all; give one")
    run, graphs = graph.load(file, [phase] if phase else None, assignments or [])
    if expand:
        layers = [flat.tree for flat in graph.expand(run.net, Problems())]
        typer.echo(text.dump({"name": run.name, "layers": layers}), nl=False)
    elif phase:
        layers = [graph.as_tree(node.spec) for node in graphs[phase].nodes]
        typer.echo(text.dump({"name": run.name, "layers": layers}), nl=False)
    else:
        listed = ", ".join(f"{each} {len(built.nodes)}" for each, built in graphs.items())
        typer.echo(f"{file}: ok (layers: {listed})")
    _note_missing_samples(graphs.values())


def _note_missing_samples(graphs: Iterable[Graph]) -> None:
    """Say which samples are not on this machine: the file is right all the same."""
    from layerkit.layer import SourceLayer

    notes: dict[str, None] = {}
    for graph in graphs:
        for node in graph.nodes:
            missing = node.layer.missing() if isinstance(node.layer, SourceLayer) else None
            if missing is not None:
                notes[f"note: {node.spec.problem(missing)}"] = None
    for note in notes:
        typer.echo(note, err=True)
