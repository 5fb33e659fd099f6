"""Processes that make batches: each is driven by a thread, which waits for its answers.

A process is started by its command line and spoken to over pipes; see `worker`. Arrays lie in shared memory and are
sent by neither side.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from time import monotonic
from typing import Any

from layerkit import threads
from layerkit.datasets.prefetch.crew import PATIENCE, Crew
from layerkit.datasets.prefetch.maker import Buffer, Made, Maker
from layerkit.datasets.prefetch.memory import Memory
from layerkit.datasets.prefetch.messages import error_of, name_of, receive, send
from layerkit.errors import DataError, UsageError

_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); "
    "from layerkit.datasets.prefetch.worker import main; main()"
)


def processes(maker: Maker, memory: Memory, workers: int) -> Crew:
    """A crew of threads with a process each, which write to `memory`.

    Raises UsageError where there can be no such processes.
    """
    if os.name != "posix" or getattr(sys, "frozen", False) or not sys.executable:
        raise UsageError("worker processes need a POSIX system and a Python that can be started; use threads")
    first = {
        "maker": name_of(type(maker)),
        "spec": maker.spec(),
        "layouts": memory.layouts,
        "count": memory.count,
        "descriptor": memory.descriptor,
    }
    company = [_Process(first) for _ in range(workers)]

    def dismiss() -> None:
        for each in company:
            each.dismiss()
        limit = monotonic() + PATIENCE
        for each in company:
            each.end(limit)

    return Crew([each.make for each in company], lambda: None, dismiss, memory.close)


class _Process:
    """A worker process, started when there is something to make, and again where it has died."""

    def __init__(self, first: dict[str, Any]):
        self._first = first
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._dismissed = False

    def make(self, position: int, buffer: Buffer) -> Made:
        """Have a batch made; raises what was raised in making it, and DataError where the process dies over it."""
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        answer = None
        with contextlib.suppress(OSError):  # what cannot be asked will not be answered
            send(process.stdin, {"position": int(position), "number": buffer.number})
            answer = receive(process.stdout)
        if answer is None:
            raise DataError(f"{self._how_it_ended(process)} over the batch at position {position}")
        if "error" in answer:
            raise error_of(answer["error"])
        return Made(answer["rows"], answer["next"], tuple(answer["notes"]))

    def dismiss(self) -> None:
        """Let the process end; see `worker`."""
        with self._lock:
            self._dismissed = True
            if self._process is not None and self._process.stdin is not None:
                with contextlib.suppress(OSError):
                    self._process.stdin.close()

    def end(self, limit: float) -> None:
        """Wait for its end until a time, of the monotonic clock, then kill it."""
        if self._process is not None:
            _reap(self._process, limit)

    def _start(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._dismissed:
                raise UsageError("no process is started for a source that is closed")
            try:
                self._process = process = subprocess.Popen(
                    [sys.executable, "-P", "-c", _PROGRAM, json.dumps(sys.path)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    pass_fds=[self._first["descriptor"]],
                    process_group=0,  # a terminal's Ctrl-C does not reach it, not even while it starts
                    env={**os.environ, **dict.fromkeys(threads.VARIABLES, "1")},
                )
            except OSError as error:
                raise DataError(f"a worker process cannot be started: {error}; use threads, or fewer workers") from None
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            send(process.stdin, self._first)
        return process

    def _how_it_ended(self, process: subprocess.Popen[bytes]) -> str:
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # what could not be sent
            process.stdin.close()
        status = _reap(process, monotonic() + PATIENCE)
        with self._lock:
            self._process = None
        if status >= 0:
            return f"a worker process ended with status {status}"
        hint = " (is there enough memory?)" if status == -signal.SIGKILL else ""
        return f"a worker process was ended by {signal.Signals(-status).name}{hint}"


def _reap(process: subprocess.Popen[bytes], limit: float) -> int:
    """The status that a process ends with by itself, or is made to end with at a time of the monotonic clock."""
    try:
        process.wait(max(0.0, limit - monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
    return process.returncode
