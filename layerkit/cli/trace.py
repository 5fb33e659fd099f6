"""`layerkit trace`: values and derivatives on every edge of a net's graph."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from layerkit.cli import options


def trace(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A YAML file that holds a net, or a snapshot.", show_default=False)
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="X=VALUE,...",
            help="Inputs and weights: numbers, lists in brackets, .npy files; may be repeated.",
        ),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", metavar="NAME", help="What is differentiated, instead of the loss.")
    ] = None,
    mode: Annotated[
        Literal["reverse", "forward"], typer.Option("--mode", help="Gradients, or tangents along --tangent.")
    ] = "reverse",
    tangents: Annotated[
        list[str] | None,
        typer.Option("--tangent", metavar="X=VALUE,...", help="What moves in forward mode, and how fast."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("-o", metavar="PATH", help="A picture instead of a text: .svg, .png, or .html to step through."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a text.")] = False,
    phase: Annotated[
        str | None, typer.Option("--phase", metavar="PHASE", help="train, test or predict; left out: train.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="W", help="A snapshot to take weights from.")
    ] = None,
    assignments: options.Assignments = None,
    allow_python: options.AllowPython = False,
) -> None:
    """Step through a net: values, and the chain rule edge by edge.

    Each edge has the upstream gradient, the local derivative and their product; where a blob has several readers, the
    products add up. An Expression is opened up into its primitives. Few numbers are written out; of more there are
    shape, norm and a histogram. The gradients are the loss's, or those of --output, whose own is 1. A source gives its
    first batch where --input does not. The HTML page is stepped through by the arrow keys.

    Example: layerkit trace net.yaml --input x=-2,y=5,z=-4
    """
    from layerkit.arrayfile import write_bytes
    from layerkit.errors import UsageError
    from layerkit.report.tracing import files, given, numbers, passes, steps, text, tree

    if picture is not None:
        files.expect_kind(picture.suffix.lower())
    if mode == "forward" and output is not None:
        raise UsageError("--output is for reverse mode; forward mode gives the tangents of everything")
    if mode == "reverse" and tangents:
        raise UsageError("--tangent is for forward mode: add --mode forward")
    arrays = given.values_of("--input", inputs or [])
    moving = given.values_of("--tangent", tangents or [])
    net = given.load(file, phase, assignments or [], arrays, weights=weights, allow_python=allow_python)
    graph = steps.read(net)
    found = passes.reverse(graph, output) if mode == "reverse" else passes.forward(graph, moving)
    if picture is not None:
        write_bytes(picture, files.draw(found, picture.suffix.lower()))
        typer.echo(f"wrote {picture}", err=True)
    elif as_json:
        typer.echo(json.dumps(tree.of(found)))
    else:
        for line in text.lines(found, numbers.bars_for(sys.stdout.encoding)):
            typer.echo(line)
