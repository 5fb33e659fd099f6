"""`layerkit convert`: Caffe's files to layerkit's and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .prototxt (a net or a solver).", show_default=False)
    ],
    weights: Annotated[
        Path | None,
        typer.Argument(metavar="WEIGHTS", help="Its trained weights: a .caffemodel.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="What to write: a .yaml or .safetensors.", show_default=False),
    ] = None,
) -> None:
    """Convert Caffe's nets, solvers and weights.

    A .prototxt becomes a .yaml; with its .caffemodel also a .safetensors, which holds net and weights. What cannot be
    converted is named with its line, and the rest is converted.

    Example: layerkit convert deploy.prototxt net.caffemodel -o net.yaml
    """
    from layerkit.convert import caffe_in
    from layerkit.errors import UsageError

    if out is None:
        raise UsageError(f"say what to write, such as -o {source.with_suffix('.yaml').name}")
    for line in caffe_in.convert(source, out, weights):
        typer.echo(line)
