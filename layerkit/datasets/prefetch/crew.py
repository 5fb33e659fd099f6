"""Crew: the threads that make batches, each by itself or by driving a process.

All is decided in the thread that takes: it alone says what is made next, and where. To the others it hands jobs by a
queue, and of each job they give back its lock; so there is nothing to look after together, and a hand-over costs no
more than waking a thread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from time import monotonic

from layerkit.datasets.prefetch.maker import Buffer, Made, Make
from layerkit.errors import UsageError

PATIENCE = 2.0
"""Seconds that a crew which ends waits for batches that are just being made; a thread that needs longer is left be."""


class Job:
    """A batch to make; `done` is held until it is made, has failed, or was dropped."""

    __slots__ = ("buffer", "done", "dropped", "error", "made", "position")

    def __init__(self, position: int, buffer: Buffer):
        self.position = position
        self.buffer = buffer
        self.made: Made | None = None
        self.error: BaseException | None = None
        self.dropped = False
        self.done = threading.Lock()
        self.done.acquire()

    def result(self) -> Made:
        """What was made. Raises what was raised in making it."""
        error, self.error = self.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # whose traceback holds this frame
        if self.made is None:
            raise UsageError(f"the source was closed while the batch at position {self.position} was waited for")
        return self.made


class Crew:
    """Threads that make batches, one for each of `makes`.

    Before they start, `open` is called. To `end`, `dismiss` asks those who are in the midst of something to stop, and
    the last thread out calls `close`. Its threads hold it, so it may not hold whoever takes the batches: the garbage
    collection of that one is what ends them.
    """

    def __init__(
        self,
        makes: Sequence[Make],
        open: Callable[[], None],
        dismiss: Callable[[], None],
        close: Callable[[], None],
        shares: bool = False,
    ):
        self.pid = os.getpid()
        """The process that the threads live in."""
        self.shares = shares
        """Whether `help` is wanted."""
        self._makes = makes
        self._open, self._dismiss, self._close = open, dismiss, close
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self.ended = False
        """Whether it was told to end, and makes no more batches."""
        self._door = threading.Lock()
        self._inside = 0
        self._opened = False
        self._threads = [
            threading.Thread(target=self._work, args=(make,), name=f"layerkit batches {i}", daemon=True)
            for i, make in enumerate(makes)
        ]

    def start(self) -> None:
        """Open what the batches are made of, and start the threads."""
        self._open()
        self._opened = True
        for thread in self._threads:
            thread.start()

    def ask(self, position: int, buffer: Buffer) -> Job:
        """Have the batch at `position` made in `buffer`, after those asked for before. Raises UsageError once ended."""
        if self.ended:
            raise UsageError(f"the source was closed while the batch at position {position} was to be made")
        job = Job(position, buffer)
        self._queue.put(job)
        return job

    def help(self) -> bool:
        """Make a batch that nobody has begun yet, in the thread that calls; returns whether there was one to make."""
        if not self.shares:
            return False
        try:
            job = self._queue.get_nowait()
        except Empty:
            return False
        if job is None:  # which is for a thread
            self._queue.put(None)
            return False
        if not job.dropped:
            try:
                job.made = self._makes[0](job.position, job.buffer)
            except Exception as error:  # an interrupt is not the job's, but the caller's
                _keep(error, job)
        job.done.release()
        return True

    def end(self) -> None:
        """End the threads. May be called again, and from any thread, as a garbage collector does."""
        self.ended = True
        for _ in self._threads:
            self._queue.put(None)
        self._dismiss()
        limit = monotonic() + PATIENCE
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(max(0.0, limit - monotonic()))
        self._close_if_empty()  # there may have been no room for a thread

    def _work(self, make: Make) -> None:
        with self._door:
            self._inside += 1
        try:
            while (job := self._queue.get()) is not None:
                if not job.dropped and not self.ended:
                    self._do(make, job)
                job.done.release()
                del job  # an idle thread holds no batch
        finally:
            with self._door:
                self._inside -= 1
            self._close_if_empty()

    def _do(self, make: Make, job: Job) -> None:
        try:
            job.made = make(job.position, job.buffer)
        except BaseException as error:  # whatever it is, whoever waits must hear of it
            _keep(error, job)

    def _close_if_empty(self) -> None:
        with self._door:
            due = self._opened and self.ended and self._inside == 0
            if due:
                self._opened = False
        if due:
            self._close()


def _keep(error: BaseException, job: Job) -> None:
    """Let whoever takes the job hear of an error."""
    error.add_note(f"while making the batch at position {job.position}")
    job.error = error
