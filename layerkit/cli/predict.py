"""`layerkit predict`: what a trained net says of samples."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from layerkit.cli import options
from layerkit.words import counted

if TYPE_CHECKING:
    from layerkit.net import Net
    from layerkit.report.predictions import Answer

MOST = 16
"""Values that are printed of an output; of more, only their range."""


def predict(
    snapshot: Annotated[
        Path,
        typer.Argument(metavar="SNAPSHOT", help="A snapshot; or a YAML file, with --weights.", show_default=False),
    ],
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Image files, .npy, tables and rows of numbers (.csv, .txt), folders of images, datasets as "
            "`layerkit data info` takes them; - is standard input, an image or rows of numbers.",
            show_default=False,
        ),
    ],
    top: Annotated[int, typer.Option("--top", metavar="K", min=1, help="Classes to print, a line each.")] = 1,
    blobs: Annotated[
        list[str] | None,
        typer.Option("--blob", metavar="NAME", help="A blob to answer with instead of the outputs; repeatable."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write the blobs to NAME.npz or NAME.h5, with labels."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    part: Annotated[
        str | None, typer.Option("--part", metavar="PART", help="Part of a dataset, instead of test.")
    ] = None,
    kind: options.Kind = None,
    fields: options.Fields = None,
    skip: options.Skip = False,
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="W", help="The weights of the net in a YAML file.")
    ] = None,
    threads: options.Threads = None,
    engine: options.Engine = None,
    allow_python: options.AllowPython = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
) -> None:
    """Ask a trained net about samples.

    Samples are given as the net's source had them: what was done to them in training is in the snapshot, and is done
    here. Prints the likeliest class of each with its probability, or the values of a net that knows no classes.
    With --blob and -o it extracts features, of whole datasets too.

    Example: layerkit predict runs/mlp/iter_1000.safetensors digits --top 3
    """
    from layerkit.cli.interrupts import ending
    from layerkit.cli.left_out import LeftOut
    from layerkit.errors import DataError, UsageError
    from layerkit.events import plain
    from layerkit.report.inputs import Reader
    from layerkit.report.predictions import Predictor

    if output is not None:
        options.refuse_beside("-o", {"--json": as_json})
    net = _net(snapshot, weights, tuple(blobs or ()), threads, engine, allow_python)
    left = LeftOut(_note)
    predictor = Predictor(net, blobs or (), left if skip else None)
    reader = Reader(
        predictor.shape,
        sys.stdin.buffer,
        _note,
        part,
        kind,
        tuple(fields or ()),
        table=predictor.table,
        skip=left if skip else None,
    )
    samples = reader.read(inputs)
    if output is not None:
        if not blobs:
            raise UsageError(f"-o writes blobs: name some by --blob, of: {', '.join(net.blobs)}")
        with ending() as check:
            count = predictor.extract(samples, output, force, check)
        typer.echo(f"wrote {output}: {', '.join(blobs)} of {counted(count, 'sample')}{left.words}", err=True)
        return
    count = 0
    for answer in predictor.answers(samples, top):
        count += 1
        if as_json:
            typer.echo(json.dumps(plain(_object(answer))))
        else:
            for line in _lines(answer):
                typer.echo(line)
    if left.count:
        _note(f"answered {counted(count, 'sample')}{left.words}")
    if left.count and not count:
        raise DataError("none of the samples can be used")


def _net(
    path: Path,
    weights: Path | None,
    blobs: tuple[str, ...],
    threads: int | None,
    engine: str | None,
    allow_python: bool,
) -> Net:
    """The net to ask, in the predict phase."""
    from layerkit import graph, snapshot
    from layerkit.errors import UsageError
    from layerkit.net import Net
    from layerkit.report.predictions import expect_blobs
    from layerkit.threads import use

    def look(built: graph.Graph) -> None:
        expect_blobs(built, blobs)
        use(options.wanted_threads(threads, built), "blas")

    if path.suffix.lower() in (".yaml", ".yml"):
        if weights is None:
            raise UsageError(f"{path} holds no weights: give --weights, or a snapshot instead of it")
        run, graphs = graph.load(path, ["predict"], allow_python=allow_python)
        look(graphs["predict"])
        net = Net.from_graph(graphs["predict"], engine=engine or run.engine, keep=blobs)
        net.load_weights(weights)
        return net
    if weights is not None:
        raise UsageError("--weights goes with a YAML file; a snapshot has its own")
    return snapshot.load(path, engine=engine or "auto", keep=blobs, allow_python=allow_python, look=look)


def _note(sentence: str) -> None:
    typer.echo(sentence, err=True)


def _lines(answer: Answer) -> list[str]:
    """The lines of one sample, each of which begins with its name, and with the output's if there are several."""
    several = len(answer.classes) + len(answer.values) > 1
    lines = []
    for name, best in answer.classes.items():
        lines += [f"{name + ': ' if several else ''}{label} {score:.4f}" for label, score in best]
    for name, values in answer.values.items():
        text = " ".join(f"{value:.6g}" for value in values.reshape(-1)[:MOST])
        if values.size > MOST:
            text = f"{'x'.join(map(str, values.shape))} values from {values.min():.6g} to {values.max():.6g}"
        lines.append(f"{name + ': ' if several else ''}{text}")
    return [f"{answer.sample.place}: {line}" for line in lines]


def _object(answer: Answer) -> dict[str, object]:
    scored = {
        name: [{"class": label, "score": score} for label, score in best] for name, best in answer.classes.items()
    }
    return {"input": answer.sample.place, **scored, **{name: each.tolist() for name, each in answer.values.items()}}
