"""What became of a sweep's runs: read from their folders, put in order, and written as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from layerkit import events, snapshot
from layerkit.errors import DataError, UnknownNameError
from layerkit.sweep.grid import Combination, Goal

TRAIN_LOSS = "train_loss"
"""The column of the last displayed loss of training."""

ERRORS = "errors.txt"
"""What a run's process said on standard error, where it failed."""

State = Literal["finished", "interrupted", "failed", "not begun"]


@dataclass(frozen=True)
class Result:
    """What a run has come to."""

    state: State
    iteration: int = 0
    seconds: float = 0.0
    """Wall time of all its processes together, as far as its record tells."""
    outputs: Mapping[str, float | None] | None = None
    """What the last test gave, and TRAIN_LOSS; None for a number that was not finite."""
    error: str = ""
    """One sentence, where it failed."""
    reason: str = ""
    """Why it ended, in the record's word, where it finished."""

    def value(self, name: str) -> float | None:
        """One of the outputs, if it is there."""
        return (self.outputs or {}).get(name)


def read(folder: Path) -> Result:
    """What became of the run in a folder, by its event log and by what its process said last."""
    log = folder / snapshot.EVENTS
    error = _last_line(folder / ERRORS)
    try:
        record = events.read(log) if log.exists() else []
    except DataError as fault:
        return Result("failed", error=error or str(fault))
    if not record:
        return Result("failed" if error else "not begun", error=error)
    outputs: dict[str, float | None] = {}
    seconds = 0.0
    for before, event in zip([record[0], *record], record, strict=False):
        if event["event"] == "test":
            outputs.update(event.get("outputs", {}))
        elif event["event"] == "display":
            outputs[TRAIN_LOSS] = event.get("loss")
        if event["event"] != "start":  # in front of a start nothing ran
            seconds += max(0.0, event["time"] - before["time"])
    last = record[-1]
    state: State = "interrupted"
    reason = str(last.get("reason", ""))
    if last["event"] == "stop" and reason != "interrupted":
        state = "finished"
    elif error or last["event"] == "error":
        state, error = "failed", error or str(last.get("message", ""))
    return Result(state, last["iter"], seconds, outputs, error if state == "failed" else "", reason)


def default_goal(combinations: Sequence[Combination], by: str | None) -> tuple[str, Goal]:
    """The number that runs are put in order by, and whether more or less of it is better.

    Without `by`, the first metric of the test net, else its first number, else the loss of training. Raises
    UnknownNameError for a number that no run gives.
    """
    goals: dict[str, Goal] = {}
    for combination in combinations:
        goals.update(combination.goals)
    goals[TRAIN_LOSS] = "min"
    if by is not None and by not in goals:
        raise UnknownNameError("number to put runs in order by", by, goals)
    first = combinations[0]
    name = by or next(iter([*first.metrics, *first.goals, TRAIN_LOSS]))
    return name, goals[name]


def ranked(rows: Sequence[tuple[Combination, Result]], by: str, best: Goal) -> list[tuple[Combination, Result]]:
    """The runs in order, the best first; those that did not finish come after all others."""

    def place(row: tuple[Combination, Result]) -> tuple[bool, bool, float]:
        value = row[1].value(by)
        worth = 0.0 if value is None else value if best == "min" else -value
        return row[1].state != "finished", value is None, worth

    return sorted(rows, key=place)


def output_names(rows: Sequence[tuple[Combination, Result]]) -> list[str]:
    """All numbers that tests gave or would give, and TRAIN_LOSS, in order."""
    names = dict.fromkeys(name for combination, _ in rows for name in combination.goals)
    return [*names, TRAIN_LOSS]


def to_csv(rows: Sequence[tuple[Combination, Result]], folder: Path) -> str:
    """The runs in this order as CSV text: varied values, what became of the run, its numbers, and where it lies."""
    varied = list(rows[0][0].values)
    outputs = output_names(rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*varied, "state", "iterations", "seconds", *outputs, "folder", "error"])
    for combination, result in rows:
        numbers = [result.value(name) for name in outputs]
        writer.writerow(
            [
                *combination.values.values(),
                result.state,
                result.iteration,
                f"{result.seconds:.1f}",
                *("" if number is None else repr(number) for number in numbers),
                (folder / combination.folder).as_posix(),
                result.error,
            ]
        )
    return text.getvalue()


def _last_line(path: Path) -> str:
    """The last line of text in a file: where a process failed, its sentence; nothing without a file."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
