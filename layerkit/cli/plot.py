"""`layerkit plot`: curves and tables of runs, and pictures of what a snapshot has learned."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from layerkit.cli import folders, options, record

if TYPE_CHECKING:
    from layerkit.report.plotting.panels import Plot

_COLOURS = ("blue", "yellow", "green", "magenta", "red", "cyan")
"""Those of marks in a terminal."""
_OF_A_PIPE = 80
"""Columns where there is no terminal."""


def plot(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...|SNAPSHOT",
            help="Runs, by their folders, names in runs or event logs; folders of runs, as a sweep's; or one snapshot.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="PATH", help="The picture: .png, .svg or .pdf.", show_default=False),
    ] = None,
    across: Annotated[
        Literal["iteration", "epoch", "time"], typer.Option("--x", help="Runs: what curves run over.")
    ] = "iteration",
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", metavar="A,B", help="Runs: draw these: loss, lr, grad_norm, weight_norm, outputs."),
    ] = None,
    smooth: Annotated[
        int, typer.Option("--smooth", metavar="N", min=1, help="Runs: means of N displays, of training's curves.")
    ] = 1,
    log: Annotated[
        bool | None,
        typer.Option("--log/--linear", help="Runs: logarithmic axes, or none; left out: where numbers span decades."),
    ] = None,
    table: Annotated[bool, typer.Option("--table", help="A run: its displays and tests as tables.")] = False,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="A run: write these to FILE.train.csv and FILE.test.csv."),
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option("--tensorboard", metavar="DIR", help="A run: write a file for TensorBoard to DIR.")
    ] = None,
    filters: Annotated[bool, typer.Option("--filters", help="Snapshot: the first convolution's filters.")] = False,
    weights: Annotated[bool, typer.Option("--weights", help="Snapshot: a histogram of each weight.")] = False,
    layer: Annotated[
        str | None, typer.Option("--layer", metavar="NAME", help="Snapshot: the filters and weights of this layer.")
    ] = None,
    blob: Annotated[
        str | None, typer.Option("--blob", metavar="NAME", help="Snapshot: a blob, for the sample of --input.")
    ] = None,
    saliency: Annotated[
        bool, typer.Option("--saliency", help="Snapshot: which pixels of --input a class's score hangs on.")
    ] = False,
    wanted: Annotated[
        str | None, typer.Option("--class", metavar="C", help="Its name or number, instead of the likeliest.")
    ] = None,
    given: Annotated[
        str | None,
        typer.Option("--input", metavar="INPUT", help="An image, or another sample as `layerkit predict` takes it."),
    ] = None,
    part: Annotated[
        str | None, typer.Option("--part", metavar="PART", help="Part of a dataset that is the input, instead of test.")
    ] = None,
    allow_python: options.AllowPython = False,
) -> None:
    """Plot runs, or a snapshot.

    Curves of one or several runs: the loss, what tests say, the learning rate, the norm of the gradients. The runs may
    still go on. Without -o they are drawn with characters on standard output. Of one run the same numbers are printed
    by --table; --csv writes them, in columns that begin as those of Caffe's parse_log.py; and what --tensorboard wrote
    is shown by `tensorboard --logdir DIR`.

    Of a snapshot: filters and histograms of weights; or, with --input, a blob, or the saliency of an image.

    Example: layerkit plot runs/mlp -o curves.svg
    """
    from layerkit.errors import UsageError
    from layerkit.report.plotting import curves, snapshots, style

    if output is not None:
        style.expect_kind(output.suffix.lower())
    of_curves = {"--metrics": metrics, "--x": across != "iteration", "--smooth": smooth > 1, "--log": log is not None}
    of_tables = {"--table": table, "--csv": csv, "--tensorboard": tensorboard}
    choice = snapshots.Choice(filters, weights, layer, blob, saliency, wanted, given, part)
    if any(target.endswith(".safetensors") for target in targets):
        if len(targets) > 1:
            raise UsageError("a snapshot is drawn alone, without other snapshots or runs beside it")
        options.refuse_beside("a snapshot", {**of_curves, **of_tables})
        if output is None:
            raise UsageError("of a snapshot there is no picture made of characters; name a file, as in: -o filters.png")
        path, stdin = Path(targets[0]), sys.stdin.buffer
        _write(output, lambda: snapshots.draw(path, choice, stdin, _note, allow_python=allow_python))
        return
    choice.refuse()
    if any(of_tables.values()):
        if len(targets) > 1 or output is not None:
            raise UsageError("--table, --csv and --tensorboard go with one run, and without -o")
        options.refuse_beside("--table, --csv and --tensorboard", of_curves)
        record.show(targets[0], table, csv, tensorboard)
        return
    names = [name.strip() for name in (metrics or "").split(",") if name.strip()]
    arranged = _read(targets, across, names, smooth, log)
    if output is None:
        _print(arranged)
    else:
        _write(output, lambda: curves.draw(arranged))


def _write(output: Path, draw: Callable[[], Any]) -> None:
    """Write the figure that is drawn."""
    from layerkit.arrayfile import write_bytes
    from layerkit.report.plotting import style

    with style.drawing():
        write_bytes(output, style.to_bytes(draw(), output.suffix.lower()))
    _note(f"wrote {output}")


def _note(sentence: str) -> None:
    typer.echo(sentence, err=True)


def _read(
    targets: list[str],
    across: Literal["iteration", "epoch", "time"],
    metrics: list[str],
    smooth: int,
    log: bool | None,
) -> Plot:
    """What is to be drawn of runs; of several, those without a number yet are left out, and noted."""
    from layerkit import events
    from layerkit.errors import DataError
    from layerkit.report.plotting import panels, series

    logs = folders.event_logs(targets)
    found = []
    for name, path in logs.items():
        curves = series.read(name, events.read(path), across)
        if not curves:
            if len(logs) == 1:
                raise DataError(f"{path}: there is nothing to draw yet, no display and no test has been recorded")
            _note(f"note: {path} is left out: no display and no test has been recorded")
        found += curves
    return panels.arrange(found, across, metrics, smooth, log)


def _print(arranged: Plot) -> None:
    """Draw with characters, in colours where standard output is a terminal that has some."""
    from rich.console import Console
    from rich.text import Text

    from layerkit.report.plotting import terminal

    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else _OF_A_PIPE
    drawing = terminal.draw(arranged, columns)
    colours = {mark: _COLOURS[i % len(_COLOURS)] for i, marks in enumerate(drawing.marks) for mark in marks}
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    with console.capture() as captured:  # rich itself would end with status 1 where a pipe's reader has gone
        for line in drawing.lines:
            text = Text(line.text)
            if line.marks_from is not None:
                for i, character in enumerate(line.text[line.marks_from :], line.marks_from):
                    if character in colours:
                        text.stylize(colours[character], i, i + 1)
            console.print(text)
    typer.echo(captured.get(), nl=False)
