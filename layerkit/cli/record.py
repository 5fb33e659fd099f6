"""What a run has recorded, as tables, as CSV, or for TensorBoard."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import typer

from layerkit.cli import folders, table

_WORDS = {
    "NumIters": "iteration",
    "Seconds": "seconds",
    "LearningRate": "lr",
    "SmoothedLoss": "mean loss",
    "SamplesPerSecond": "samples/s",
    "GradNorm": "gradient norm",
    "WeightNorm": "weight norm",
    "Samples": "samples",
}
"""Titles of the CSV -> titles in print, which fold between words."""


def show(run: str, printed: bool, csv: Path | None, tensorboard: Path | None) -> None:
    """Print the displays and tests of a run as tables; write them to FILE.train.csv and FILE.test.csv, to a folder.

    Raises UsageError where there is no such run.
    """
    from layerkit import events
    from layerkit.report.log import cells, how_it_ended, tables

    record = events.read(folders.event_log(run))
    found = {name: each for name, each in tables(record).items() if each.rows}
    if csv is not None:
        from layerkit.arrayfile import write_text
        from layerkit.report.log import to_csv

        for name, each in found.items():
            path = csv.with_name(f"{csv.name.removesuffix('.csv')}.{name}.csv")
            write_text(path, to_csv(each))
            typer.echo(f"{path}: {len(each.rows)} rows", err=True)
    if tensorboard is not None:
        _write_board(record, tensorboard)
    if printed:
        for name, each in found.items():
            typer.echo(f"{name}:")
            titles = [_WORDS.get(title, title) for title in each.titles]
            table.show(titles, cells(each), titles)
            typer.echo("")
    typer.echo(how_it_ended(record), err=not printed)


def _write_board(record: list[dict[str, object]], folder: Path) -> None:
    from layerkit.report.tensorboard import Board

    with closing(Board(folder)) as board:
        for event in record:
            board.take(event)
    typer.echo(f"to look at it: tensorboard --logdir {folder}", err=True)
