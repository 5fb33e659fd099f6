"""The run's record: one JSON object a line. Every progress bar, plot and dashboard reads only this.

The first line says what the file is, `{"record": "layerkit", "format": 1}`; every other line is an event. Every event
has `event` (its kind), `iter` (updates made so far) and `time` (wall time, in seconds since the epoch). Kinds, in the
order in which they can come at one iteration:

    start       name, max_iter, epoch (how many iterations read the longest source once; null: not known), weights
                (how many numbers are trained), seed, resumed, threads, engine
    snapshot    weights, state (file names), of what the updates so far have led to
    test        outputs (name -> mean over samples; of one of several test nets NET.name), samples (count), lr (of the
                next update), samples_per_s (of the test), and where metrics count by class tables (name -> rows)
    lr          the policy plateau lowered the rate: lr (new), was, metric, best (the best test so far)
    best        metric, value, at (iteration), weights (file name): the test was the best so far
    display     loss (mean over the last average_loss iterations), lr, samples_per_s (of training, since the last
                display), grad_norm, weight_norm, outputs (name -> value, of the last batch)
    skipped     layer, phase, samples (how often samples that cannot be used were left out), different (how many samples
                these are), first (what is wrong with the first of them): once there are others, and at the end
    debug_info  forward, backward, update, norms: see `layerkit.magnitudes`
    stop        reason: finished, early_stopping, max_time, interrupted; of a run that follows its tests also best:
                metric, value, at
    error       message

grad_norm is the L2 norm of all gradients together, their mean over iter_size batches, before clipping and decay;
weight_norm that of all trained weights, before the update. A number that is not finite is null in the file, since JSON
has no word for it.

Fields and kinds may be added without another format; readers pass over what they do not know.
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

FORMAT = 1
"""Version of the file; another one means that what a reader knows has changed its meaning."""
_RECORD = "layerkit"
_HEADER = json.dumps({"record": _RECORD, "format": FORMAT}).encode() + b"\n"

Event = dict[str, Any]
Listener = Callable[[Event], None]


class EventLog:
    """Writes events to a file, if it has one, and tells every listener.

    The file and its folder are made by the first event. A line is written whole: where the disk is full what was
    begun of it is taken back. A file that is there already must be an event log: it is gone on with.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None):
        self.path = None if path is None else Path(path)
        self._listeners: list[Listener] = []
        self._begun = False

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every event from now on."""
        self._listeners.append(listener)

    def emit(self, event: str, iteration: int, **fields: Any) -> None:
        """Record an event, then tell the listeners. Raises DataError if it cannot be recorded, or in a foreign file."""
        entry = {"event": event, "iter": iteration, "time": round(time.time(), 3), **fields}
        if self.path is not None:
            with _one_sentence("write", self.path):
                if not self._begun:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                    self.rewind()  # an earlier process may have been cut off within a line
                    self._begun = True
                _append(self.path, json.dumps(plain(entry), allow_nan=False).encode() + b"\n")
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
        """Forget what was recorded after `position`, and in any case a last line that a crash cut off.

        Raises DataError for a file that is no event log, and changes nothing of it.
        """
        if self.path is None or not self.path.exists():
            return
        with _one_sentence("write", self.path), self.path.open("r+b") as file:
            _expect_header(file.readline(), self.path)
            file.seek(0)
            whole = file.read(position)
            file.truncate(whole.rfind(b"\n") + 1)


def read(path: str | os.PathLike[str]) -> list[Event]:
    """All complete events of a record, in order; a line that a crash cut off is left out.

    Raises DataError where the file cannot be read, is no event log or a newer one, or another line is no event.
    """
    with _one_sentence("read", path):
        header, *lines = Path(path).read_bytes().split(b"\n")
    _expect_header(header if not lines else header + b"\n", path)
    events: list[Event] = []
    for number, line in enumerate(lines[:-1], 2):  # what follows the last line end was cut off
        event = _parsed(line)
        if not _is_event(event):
            raise DataError(f"{os.fspath(path)}:{number}: this line is no event")
        events.append(event)
    return events


def _expect_header(line: bytes, path: str | os.PathLike[str]) -> None:
    """Raise DataError unless this is the first line of an event log that can be read, or a part that was begun."""
    if not line.endswith(b"\n") and _HEADER.startswith(line):
        return
    header = _parsed(line)
    if not isinstance(header, dict) or header.get("record") != _RECORD or not isinstance(header.get("format"), int):
        raise DataError(f"{os.fspath(path)} is not an event log of layerkit: its first line does not say so")
    if header["format"] > FORMAT:
        newer = f"(format {header['format']}, this one reads {FORMAT})"
        raise DataError(f"{os.fspath(path)} was written by a newer layerkit {newer}")


def _parsed(line: bytes) -> Any:
    """What a line of JSON says; None if it says nothing that can be understood."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _is_event(event: Any) -> bool:
    """Whether what every reader counts on is there."""
    if not isinstance(event, dict):
        return False
    kind, iteration, when, outputs = (event.get(name) for name in ("event", "iter", "time", "outputs"))
    numbers = [event.get("loss"), *(outputs.values() if isinstance(outputs, dict) else ())]
    return (
        isinstance(kind, str)
        and isinstance(iteration, int)
        and 0 <= iteration < 2**63
        and isinstance(when, (int, float))
        and abs(when) < 1e12
        and ("outputs" not in event or isinstance(outputs, dict))
        and all(number is None or isinstance(number, (int, float)) for number in numbers)
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
        line = line if start else _HEADER + line
        try:
            _write(file.fileno(), line)
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(start)
            raise


def _write(descriptor: int, line: bytes) -> None:
    while line:
        line = line[os.write(descriptor, line) :]


def plain(value: Any) -> Any:
    """The value with None for every number that is not finite, for which JSON has no word."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
