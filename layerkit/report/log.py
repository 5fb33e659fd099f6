"""A run's record as two tables, of displays and of tests: printed by `layerkit plot --table`, and written as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from layerkit.events import Event

Cell = int | float | None
"""A number; None where there is none, or none that is finite."""

_SHARED = ("NumIters", "Seconds", "LearningRate")
_TRAIN = {
    "SmoothedLoss": "loss",
    "SamplesPerSecond": "samples_per_s",
    "GradNorm": "grad_norm",
    "WeightNorm": "weight_norm",
}
_TEST = {"Samples": "samples", "SamplesPerSecond": "samples_per_s"}


@dataclass(frozen=True)
class Table:
    """Rows of numbers under their columns' titles."""

    titles: list[str]
    rows: list[list[Cell]]


def tables(record: Sequence[Event]) -> dict[str, Table]:
    """The tables `train` and `test`, a row for each display and each test.

    First come the columns of Caffe's parse_log.py: NumIters, Seconds, LearningRate, and the net's outputs by name. Then
    in `train` SmoothedLoss (over average_loss iterations), SamplesPerSecond, GradNorm and WeightNorm, and in `test`
    Samples and SamplesPerSecond. Seconds count from the start of the run; the time between its being interrupted and
    resumed does not count.
    """
    seconds = seconds_of(record)
    return {
        "train": _table(record, seconds, "display", _TRAIN),
        "test": _table(record, seconds, "test", _TEST),
    }


def seconds_of(record: Sequence[Event]) -> list[float]:
    """For each event, how long the run's processes had run by then."""
    total, found = 0.0, [0.0] * min(len(record), 1)
    for before, event in pairwise(record):
        if event["event"] != "start":  # in front of a start nothing ran
            total += max(0.0, event["time"] - before["time"])
        found.append(round(total, 3))
    return found


def _table(record: Sequence[Event], seconds: Sequence[float], kind: str, own: Mapping[str, str]) -> Table:
    chosen = [(event, at) for event, at in zip(record, seconds, strict=True) if event["event"] == kind]
    names = list(dict.fromkeys(name for event, _ in chosen for name in event.get("outputs", {})))
    rows = [
        [
            event["iter"],
            at,
            _number(event.get("lr")),
            *(_number(event.get("outputs", {}).get(name)) for name in names),
            *(_number(event.get(field)) for field in own.values()),
        ]
        for event, at in chosen
    ]
    return Table([*_SHARED, *names, *own], rows)


def _number(value: Any) -> Cell:
    return value if isinstance(value, (int, float)) else None


def to_csv(table: Table) -> str:
    """A table as CSV text; nothing stands for a number that is not finite."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.titles)
    writer.writerows(cells(table, repr))
    return text.getvalue()


def cells(table: Table, written: Callable[[Cell], str] = lambda value: f"{value:.6g}") -> Iterable[list[str]]:
    """A table's rows as text; whole numbers are written whole."""
    for row in table.rows:
        yield ["" if value is None else str(value) if isinstance(value, int) else written(value) for value in row]


def how_it_ended(record: Sequence[Event]) -> str:
    """One line on what the record says last."""
    if not record:
        return "nothing has been recorded yet"
    last = record[-1]
    kind, at = last["event"], f"at iteration {last['iter']}"
    if kind == "stop":
        return f"{last.get('reason')} {at}"
    if kind == "error":
        return f"failed {at}: {last.get('message')}"
    return f"the record ends {at} with {kind!r}: it goes on, or was cut off"
