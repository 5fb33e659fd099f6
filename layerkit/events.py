"""The run's record: one JSON object a line. Every progress bar, plot and dashboard reads only this.

Every event has `event` (its kind), `iter` (updates made so far) and `time` (seconds since the epoch). Kinds:

    start      name, max_iter, weights (count), seed, resumed, threads, engine
    display    loss (mean over the last average_loss iterations), lr, samples_per_s, outputs (name -> value)
    test       outputs (name -> mean over samples), samples (count)
    snapshot   weights, state (file names)
    stop       reason: finished, interrupted
    error      message

A number that is not finite is null in the file, since JSON has no word for it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from layerkit.errors import DataError

Event = dict[str, Any]
Listener = Callable[[Event], None]


class EventLog:
    """Writes events to a file, if it has one, and tells every listener.

    The file and its folder are made by the first event. A line is written whole: where the disk is full what was
    begun of it is taken back.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None):
        self.path = None if path is None else Path(path)
        self._listeners: list[Listener] = []
        self._begun = False

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every event from now on."""
        self._listeners.append(listener)

    def emit(self, event: str, iteration: int, **fields: Any) -> None:
        """Record an event, then tell the listeners. Raises DataError if it cannot be recorded."""
        entry = {"event": event, "iter": iteration, "time": round(time.time(), 3), **fields}
        if self.path is not None:
            with _one_sentence("write", self.path):
                if not self._begun:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                    self.rewind()  # an earlier process may have been cut off within a line
                    self._begun = True
                _append(self.path, json.dumps(_plain(entry), allow_nan=False).encode() + b"\n")
        for listener in self._listeners:
            listener(entry)

    def position(self) -> int:
        """How long the record is, in bytes, once it is safe on the disk; a state notes it, to go on from there.

        Raises DataError, as `rewind` does, where the file cannot be used.
        """
        if self.path is None or not self.path.exists():
            return 0
        with _one_sentence("read", self.path), self.path.open("rb") as file:
            os.fsync(file.fileno())
            return file.seek(0, os.SEEK_END)

    def rewind(self, position: int = -1) -> None:
        """Forget what was recorded after `position`, and in any case a last line that a crash cut off."""
        if self.path is None or not self.path.exists():
            return
        with _one_sentence("write", self.path), self.path.open("r+b") as file:
            whole = file.read(position)
            file.truncate(whole.rfind(b"\n") + 1)


def read(path: str | os.PathLike[str]) -> list[Event]:
    """All complete events of a record, in order; a line that a crash cut off is left out.

    Raises DataError where the file cannot be read or another line is no event.
    """
    events: list[Event] = []
    with _one_sentence("read", path):
        lines = Path(path).read_bytes().split(b"\n")[:-1]  # what follows the last line end was cut off
    for number, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
            sound = _is_event(event)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            sound = False
        if not sound:
            raise DataError(f"{os.fspath(path)}:{number}: this line is no event")
        events.append(event)
    return events


def _is_event(event: Any) -> bool:
    """Whether what every reader counts on is there; raises where it is no object, or lacks a field."""
    numbers = [event.get("loss"), *event.get("outputs", {}).values()]
    return (
        isinstance(event["event"], str)
        and isinstance(event["iter"], int)
        and abs(event["time"]) < 1e12
        and all(number is None or isinstance(number, int | float) for number in numbers)
    )


@contextlib.contextmanager
def _one_sentence(verb: str, path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot {verb} the event log {os.fspath(path)!r}: {error.strerror}") from None


def _append(path: Path, line: bytes) -> None:
    with path.open("ab", buffering=0) as file:
        start = file.seek(0, os.SEEK_END)
        try:
            _write(file.fileno(), line)
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(start)
            raise


def _write(descriptor: int, line: bytes) -> None:
    while line:
        line = line[os.write(descriptor, line) :]


def _plain(value: Any) -> Any:
    """The value with None for every number that is not finite."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
