"""`layerkit convert`: Caffe's files and ONNX models to layerkit's files, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_CAFFE = (".prototxt", ".pbtxt", ".txt", ".caffemodel")
_ONNX = (".onnx",)
_OURS = (".yaml", ".yml", ".safetensors")


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A .prototxt (net or solver), .onnx, .yaml or .safetensors.", show_default=False
        ),
    ],
    weights: Annotated[
        Path | None,
        typer.Argument(metavar="WEIGHTS", help="Its weights: a .caffemodel or .safetensors.", show_default=False),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Argument(metavar="STATE", help="Of a solver: its .solverstate, to go on from.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="What to write: .yaml, .safetensors, .prototxt, .onnx.",
            show_default=False,
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
    preprocess: Annotated[
        bool, typer.Option("--preprocess", help="Have the .onnx model do what is done to samples, and take raw ones.")
    ] = False,
) -> None:
    """Convert Caffe's nets and weights and ONNX models, and back.

    A .prototxt becomes a .yaml; with its .caffemodel also a .safetensors, which holds net and weights. A .yaml becomes
    a .prototxt, and with its .safetensors a .caffemodel. What cannot be converted is named with its line, and the rest
    is converted. Of a .caffemodel without a .prototxt say with --branch whose Caffe wrote it, such as bvlc or ssd.

    With a solver's .solverstate also a .state.safetensors is written, from which `layerkit train --snapshot` goes on;
    the weights are then those that it names, unless others stand in front of it.

    A .safetensors, or a .yaml with its weights, becomes an .onnx of the predict net, and an .onnx a .yaml with a
    .safetensors beside it, or that alone. Needs pip install 'layerkit[onnx]'.

    Example: layerkit convert deploy.prototxt net.caffemodel -o net.yaml
    """
    from layerkit.convert.solverstate import is_state
    from layerkit.errors import UsageError

    if state is None and weights is not None and is_state(weights):
        weights, state = None, weights
    kind, wanted = source.suffix, None if out is None else out.suffix
    if state is not None and kind not in _CAFFE:
        raise UsageError(
            f"a solver's state, {str(state)!r}, is converted with its solver.prototxt, not {str(source)!r}"
        )
    if model is None and out is not None and ((kind in _OURS and wanted in _ONNX) or kind in _ONNX):
        from layerkit.convert.onnx import converting

        if kind in _ONNX:
            report = converting.convert_in(source, out)
        else:
            report = converting.convert_out(source, out, weights, preprocess=preprocess)
    elif kind in _CAFFE and out is not None and model is None:
        from layerkit.convert import caffe_in

        report = caffe_in.convert(source, out, weights, branch, state)
    elif kind in _OURS and (out is None or wanted in _CAFFE) and (out or model) is not None:
        from layerkit.convert import caffe_out

        report = caffe_out.convert(source, out, weights, model)
    elif kind in (*_CAFFE, *_ONNX) or (out is None and kind in _OURS):
        suffix = ".onnx" if kind in _OURS else ".yaml"
        raise UsageError(f"say what to write, such as -o {source.with_suffix(suffix).name}")
    else:
        raise UsageError(
            f"cannot convert {str(source)!r} to {str(out)!r}: a .prototxt or .onnx becomes a .yaml or .safetensors, "
            "and these become an .onnx (-o), a .prototxt (-o) or a .caffemodel (-w)"
        )
    for line in (*report.lines(), *report.wrote):
        typer.echo(line, err=True)
