"""A worker process: makes the batches that it is asked for, in shared memory, until nobody can ask any more.

It is a Python of its own, which was told what to make: neither a fork, which would not survive beside OpenMP's threads,
nor a second run of the user's script, which may have no `if __name__ == "__main__"`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from queue import SimpleQueue
from typing import IO, Any

from layerkit.datasets.prefetch.maker import Maker
from layerkit.datasets.prefetch.memory import Layout, Memory
from layerkit.datasets.prefetch.messages import error_message, named, receive, send

GRACE = 0.5
"""Seconds for the batch that is being made when nobody can take it any more; then the process ends all the same."""


def main() -> None:
    """Work, with requests coming in by standard input and answers going out by standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this; when that one ends, so does this
    requests, answers = _pipes()
    work(requests, answers, lambda: os._exit(0))


def work(requests: IO[bytes], answers: IO[bytes], give_up: Callable[[], object]) -> None:
    """Make what the first request describes, at the positions and in the places that the others name.

    Returns when the requests end, and calls `give_up` in a thread where it has not returned soon after.
    """
    queue: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
    threading.Thread(target=_listen, args=(requests, queue, give_up), daemon=True).start()
    first = queue.get()
    worker = None if first is None else _Worker(first)
    while worker is not None and (request := queue.get()) is not None:
        with contextlib.suppress(BrokenPipeError):  # then the requests end, too
            send(answers, worker.answer(request["position"], request["number"]))
    if worker is not None:
        worker.close()
    for pipe in (requests, answers):
        with contextlib.suppress(BrokenPipeError):  # what could not be sent
            pipe.close()


class _Worker:
    """The maker, once there is one, and the memory that it writes to."""

    def __init__(self, first: dict[str, Any]):
        self._cls, self._spec = first["maker"], first["spec"]
        layouts = [Layout(tuple(shape), dtype, tuple(axes)) for shape, dtype, axes in first["layouts"]]
        self._memory = Memory(layouts, first["count"], first["descriptor"])
        self._memory.close()
        self._maker: Maker | None = None

    def answer(self, position: int, number: int) -> dict[str, Any]:
        try:
            rows, following, notes = self._opened().make(position, self._memory.arrays(number))
        except Exception as error:
            error.add_note("in a worker process:\n" + "".join(traceback.format_tb(error.__traceback__)))
            return {"error": error_message(error)}
        return {"rows": int(rows), "next": int(following), "notes": notes}

    def close(self) -> None:
        if self._maker is not None:
            self._maker.close()

    def _opened(self) -> Maker:
        """The maker; what is wrong with it is the answer to whoever wants a batch."""
        if self._maker is None:
            maker: Maker = named(*self._cls)(**self._spec)
            maker.open()
            self._maker = maker
        return self._maker


def _pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Standard input and output, which nothing else that runs here reads or prints to from now on."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def _listen(requests: IO[bytes], queue: SimpleQueue[dict[str, Any] | None], give_up: Callable[[], object]) -> None:
    """Pass requests on. Where they end, so does the process, however whoever asked has ended."""
    while (request := receive(requests)) is not None:
        queue.put(request)
    queue.put(None)
    time.sleep(GRACE)
    give_up()
