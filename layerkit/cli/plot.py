"""`layerkit plot`: curves of runs, and pictures of what a snapshot has learned."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from layerkit.cli import folders

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
            metavar="RUN...",
            help="Runs, by their folders, names in runs or event logs; folders of runs, as a sweep's.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="PATH", help="The picture: .png, .svg or .pdf.", show_default=False),
    ] = None,
    across: Annotated[Literal["iteration", "epoch", "time"], typer.Option("--x", help="What curves run over.")] = (
        "iteration"
    ),
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", metavar="A,B", help="Draw these: loss, lr, grad_norm, weight_norm, outputs."),
    ] = None,
    smooth: Annotated[
        int, typer.Option("--smooth", metavar="N", min=1, help="Mean of N displays, of training's curves.")
    ] = 1,
    log: Annotated[
        bool | None,
        typer.Option("--log/--linear", help="Logarithmic axes, or none; left out: where numbers span decades."),
    ] = None,
) -> None:
    """Plot runs.

    Curves of one or several runs: the loss, what tests say, the learning rate, the norm of the gradients. The runs may
    still go on. Without -o they are drawn with characters on standard output.

    Example: layerkit plot runs/mlp -o curves.svg
    """
    from layerkit.report.plotting import style

    if output is not None:
        style.expect_kind(output.suffix.lower())
    names = [name.strip() for name in (metrics or "").split(",") if name.strip()]
    arranged = _read(targets, across, names, smooth, log)
    if output is None:
        _print(arranged)
        return
    from layerkit.arrayfile import write_bytes
    from layerkit.report.plotting import curves

    with style.drawing():
        write_bytes(output, style.to_bytes(curves.draw(arranged), output.suffix.lower()))
    typer.echo(f"wrote {output}", err=True)


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
            typer.echo(f"note: {path} is left out: no display and no test has been recorded", err=True)
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
    for line in drawing.lines:
        text = Text(line.text)
        if line.marks_from is not None:
            for i, character in enumerate(line.text[line.marks_from :], line.marks_from):
                if character in colours:
                    text.stylize(colours[character], i, i + 1)
        console.print(text)
