"""`layerkit draw`: a picture of a net."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from layerkit.cli import complete, options


def draw(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A YAML file that holds a net, or a snapshot.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="PATH", help="The picture: .svg, .png, .html or .dot.", show_default=False
        ),
    ] = None,
    phase: Annotated[
        str | None,
        typer.Option(
            "--phase", metavar="PHASE", help="train, test or predict; left out: train.", autocompletion=complete.phases
        ),
    ] = None,
    direction: Annotated[
        Literal["LR", "TB"], typer.Option("--direction", help="The flow: left to right, or top to bottom.")
    ] = "LR",
    expand: Annotated[
        bool, typer.Option("--expand", help="Unfold blocks and bodies: draw every layer in them.")
    ] = False,
    assignments: options.Assignments = None,
    allow_python: options.AllowPython = False,
) -> None:
    """Draw a net.

    Boxes are layers, coloured by family; lines are blobs with their shapes. Activations and normalizations stand under
    the layer that feeds them, and each use of a block is one box. Long nets run in rows. In SVG and HTML a layer that
    is pointed at tells its parameters. Without -o, SVG goes to standard output.

    Example: layerkit draw configs/lenet.yaml -o lenet.svg
    """
    from layerkit.arrayfile import write_bytes
    from layerkit.errors import UsageError
    from layerkit.report.drawing import files

    if output is None and sys.stdout.isatty():
        raise UsageError("a terminal shows no picture; name a file, as in: -o net.svg")
    suffix = ".svg" if output is None else output.suffix.lower()
    files.expect_kind(suffix)
    net = files.load(file, phase, assignments or [], allow_python=allow_python)
    drawn = files.draw(net, suffix, direction, expand=expand)
    if output is None:
        typer.echo(drawn.decode(), nl=False)
    else:
        write_bytes(output, drawn)
        typer.echo(f"wrote {output}", err=True)
