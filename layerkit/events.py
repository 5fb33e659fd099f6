"""The run's record: one JSON object a line. Every progress bar, plot and dashboard reads only this.

Every event has `event` (its kind), `iter` (updates made so far) and `time` (seconds since the epoch). Kinds:

    start      name, max_iter, weights (count), seed, resumed
    display    loss (smoothed over average_loss), lr, samples_per_s, outputs (name -> value)
    test       outputs (name -> value), samples
    snapshot   weights, state (file names)
    stop       reason: finished, interrupted
    error      message
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from layerkit.errors import DataError

Event = dict[str, Any]
Listener = Callable[[Event], None]


class EventLog:
    """Writes events to a file, if it has one, and tells every listener."""

    def __init__(self, path: str | os.PathLike[str] | None = None):
        self.path = None if path is None else Path(path)
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every event from now on."""
        self._listeners.append(listener)

    def emit(self, event: str, iteration: int, **fields: Any) -> None:
        """Record an event, then tell the listeners. Raises DataError if it cannot be recorded."""
        entry = {"event": event, "iter": iteration, "time": round(time.time(), 3), **fields}
        if self.path is not None:
            try:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(entry) + "\n")
            except OSError as error:
                raise DataError(f"cannot write the event log {str(self.path)!r}: {error.strerror}") from None
        for listener in self._listeners:
            listener(entry)

    def position(self) -> int:
        """How long the record is, in bytes; a snapshot notes it, so that a resumed run can go on from there."""
        return self.path.stat().st_size if self.path is not None and self.path.exists() else 0

    def rewind(self, position: int) -> None:
        """Forget what was recorded after `position`: the resumed run records it again."""
        if self.path is not None and self.path.exists() and self.path.stat().st_size > position:
            os.truncate(self.path, position)


def read(path: str | os.PathLike[str]) -> list[Event]:
    """All complete events of a record, in order; a line that a crash cut off is left out."""
    with Path(path).open(encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.endswith("\n")]
