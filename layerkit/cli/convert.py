"""`layerkit convert`: Caffe's files to layerkit's and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_CAFFE = (".prototxt", ".pbtxt", ".txt", ".caffemodel")
_OURS = (".yaml", ".yml", ".safetensors")


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A .prototxt (net or solver), a .yaml or a .safetensors.", show_default=False
        ),
    ],
    weights: Annotated[
        Path | None,
        typer.Argument(metavar="WEIGHTS", help="Its weights: a .caffemodel or .safetensors.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="FILE", help="What to write: a .yaml, .safetensors or .prototxt.", show_default=False
        ),
    ] = None,
    branch: Annotated[
        str | None,
        typer.Option("--branch", metavar="NAME", help="Whose Caffe wrote a .caffemodel alone.", show_default=False),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("-w", "--weights-out", metavar="FILE", help="The .caffemodel to write.", show_default=False),
    ] = None,
) -> None:
    """Convert Caffe's nets, solvers and weights, and convert back.

    A .prototxt becomes a .yaml; with its .caffemodel also a .safetensors, which holds net and weights. A .yaml becomes
    a .prototxt, and with its .safetensors a .caffemodel. What cannot be converted is named with its line, and the rest
    is converted. Of a .caffemodel without a .prototxt say with --branch whose Caffe wrote it, such as bvlc or ssd.

    Example: layerkit convert deploy.prototxt net.caffemodel -o net.yaml
    """
    from layerkit.convert import caffe_in, caffe_out
    from layerkit.errors import UsageError

    if source.suffix in _CAFFE and out is not None and model is None:
        report = caffe_in.convert(source, out, weights, branch)
    elif source.suffix in _OURS and (out is None or out.suffix in _CAFFE) and (out or model) is not None:
        report = caffe_out.convert(source, out, weights, model)
    elif source.suffix in _CAFFE:
        raise UsageError(f"say what to write, such as -o {source.with_suffix('.yaml').name}")
    else:
        raise UsageError(
            f"cannot convert {str(source)!r} to {str(out)!r}: a .prototxt becomes a .yaml or .safetensors, and these "
            "become a .prototxt (-o) or .caffemodel (-w)"
        )
    for line in report.lines():
        typer.echo(line, err=True)
    for line in report.wrote:
        typer.echo(line)
