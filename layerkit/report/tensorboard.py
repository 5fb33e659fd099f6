"""A run's record as an event file for TensorBoard, which reads it while it grows."""

from __future__ import annotations

import importlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from layerkit.errors import DataError, UsageError
from layerkit.events import Event

_GREATEST = float(np.finfo(np.float32).max)
"""What an event file can hold."""
_OF_SOLVER = ("loss", "lr", "samples_per_s", "grad_norm", "weight_norm")


class Board:
    """Writes the numbers of events to a new file in `folder`; each event is on the disk when `take` returns.

    The curves are `solver/...` (loss as displayed, lr, samples_per_s, grad_norm, weight_norm), `train/NAME` and
    `test/NAME` for the outputs of the nets, and `debug_info/PART/LAYER/BLOB`. What the folder holds of a run's earlier
    course, from the first event's iteration on, is not shown any more.

    tensorboardX makes the messages and the records; its SummaryWriter is not used, since it writes in a thread of its
    own, and where the disk is full training would wait for that for ever.

    Raises UsageError without tensorboardX, DataError where the file cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        try:
            self._messages = importlib.import_module("tensorboardX.proto.event_pb2")
            self._summaries = importlib.import_module("tensorboardX.proto.summary_pb2")
            record_writer = importlib.import_module("tensorboardX").RecordWriter
        except ImportError:
            command = "pip install 'layerkit[plot]'"
            raise UsageError(
                f"files for TensorBoard need the package tensorboardX, which is missing: {command}"
            ) from None
        self.folder = Path(folder)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = record_writer(str(self.folder / name))
        except OSError as error:
            raise self._fault(error) from None
        self._begun = False

    def take(self, event: Event) -> None:
        """Write what there is to draw of an event."""
        values = [self._summaries.Summary.Value(tag=tag, simple_value=number) for tag, number in scalars(event)]
        if not values:
            return
        messages = [] if self._begun else self._first(event)
        summary = self._summaries.Summary(value=values)
        messages.append(self._messages.Event(wall_time=event["time"], step=event["iter"], summary=summary))
        self._begun = True
        try:
            for message in messages:
                self._file.write(message.SerializeToString())
            self._file.flush()
        except OSError as error:
            raise self._fault(error) from None

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _first(self, event: Event) -> list[Any]:
        """What an event file begins with; the second message takes back all from this iteration on."""
        when, log = event["time"], self._messages.SessionLog
        return [
            self._messages.Event(wall_time=when, file_version="brain.Event:2"),
            self._messages.Event(wall_time=when, step=event["iter"], session_log=log(status=log.START)),
        ]

    def _fault(self, error: OSError) -> DataError:
        return DataError(f"cannot write a file for TensorBoard to {str(self.folder)!r}: {error.strerror or error}")


def scalars(event: Event) -> Iterator[tuple[str, float]]:
    """The numbers of an event that can be drawn, each with its curve's name."""
    return ((tag, value) for tag, value in named(event) if isinstance(value, (int, float)) and abs(value) <= _GREATEST)


def named(event: Event) -> Iterator[tuple[str, Any]]:
    """What an event says under a curve's name, be it a number, or None where it was none that is finite."""
    kind = event["event"]
    if kind == "display":
        yield from ((f"solver/{name}", event[name]) for name in _OF_SOLVER if name in event)
    if kind in ("display", "test"):
        phase = "train" if kind == "display" else "test"
        yield from ((f"{phase}/{name}", value) for name, value in event.get("outputs", {}).items())
    if kind == "debug_info":
        for part in ("forward", "backward", "update"):
            for each in _lines(event.get(part)):
                blob = next((each[name] for name in ("top", "bottom", "weight") if name in each), "")
                for what in (what for what in ("data", "diff") if what in each):
                    yield f"debug_info/{part}_{what}/{each.get('layer')}/{blob}", each[what]


def _lines(part: Any) -> list[dict[str, Any]]:
    """The lines of a part of `debug_info`, as far as it has any."""
    return [each for each in part if isinstance(each, dict)] if isinstance(part, list) else []
