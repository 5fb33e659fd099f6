"""Batches: hands out batches by position, made when they are asked for, or ahead of that."""

from __future__ import annotations

import itertools
import os
import weakref
from collections import deque
from time import perf_counter
from types import TracebackType
from typing import Literal, Self, get_args

from layerkit import cores
from layerkit.blob import Array
from layerkit.datasets.prefetch.crew import Crew, Job
from layerkit.datasets.prefetch.maker import Buffer, Buffers, Made, Maker
from layerkit.datasets.prefetch.memory import Layout, Memory
from layerkit.datasets.prefetch.processes import processes
from layerkit.errors import UsageError

Kind = Literal["threads", "processes"]


class Batches:
    """Batches of a maker by position; for one thread at a time to take from.

    With a `depth` of 0, `take` makes the batch itself, in the thread that calls it. Else `workers` threads or processes
    make up to `depth` batches ahead of the last one taken, which with that one is all the memory there is; beside fewer
    threads than processors, `take` makes the next batch that nobody has begun while it would only wait. `buffers` is
    called when room for a batch is first needed; for processes the arrays lie in shared memory in the same layout.

    Nothing is opened, started or taken up before the first `take`, nor left behind: `close`, the end of the interpreter
    and garbage collection end all threads and processes and close the maker. After `close`, and after a `take` that
    was interrupted, the next `take` starts again.

    Raises UsageError for a depth, number or kind of workers that cannot be.
    """

    def __init__(self, maker: Maker, buffers: Buffers, *, depth: int = 0, workers: int = 1, kind: Kind = "threads"):
        if depth < 0 or workers < 1:
            raise UsageError(
                f"batches cannot be made ahead {depth} deep by {workers} workers; the least are 0 deep and 1 worker"
            )
        if kind not in get_args(Kind):
            raise UsageError(f"workers are {' or '.join(get_args(Kind))}, not {kind!r}")
        self.waited = 0.0
        """Seconds that `take` took in making a batch or in waiting for one."""
        self.taken = 0
        """Batches taken."""
        self._maker, self._buffers = maker, buffers
        self._depth, self._workers, self._kind = depth, min(workers, depth), kind
        self._end: weakref.finalize[[], Batches] | None = None
        self._inline: list[Array] = []
        self._crew: Crew | None = None
        self._memory: Memory | None = None
        self._ahead: deque[Job] = deque()  # in the order of the stream
        self._free: list[Buffer] = []
        self._in_use: Buffer | None = None
        self._numbers = itertools.count()

    def take(self, position: int) -> tuple[Made, list[Array]]:
        """The batch at `position`, and its arrays, (n, *sample shape) each, which are valid until the next `take`.

        A position other than that after the last batch's is as good as any, but drops what was made ahead. Raises what
        the maker raised in making this batch, and DataError where the worker that was to make it has died; another
        batch, or the same again, can be taken all the same.
        """
        if self._depth == 0:
            made, arrays = self._make(position)
        else:
            try:
                job = self._next(position)
            except BaseException:  # an interrupt may have left anything half done
                self.close()
                raise
            made, arrays = job.result(), job.buffer.arrays
        self.taken += 1
        return made, [array[: made.rows] for array in arrays]

    def close(self) -> None:
        """End threads and processes and close the maker, as far as there is anything to end; see `Batches`."""
        if self._crew is not None:
            self._crew.end()
            self._crew = None
        elif self._end is not None:
            self._maker.close()
        if self._end is not None:
            self._end.detach()
            self._end = None
        self._inline = []
        self._ahead.clear()
        self._free = []
        self._in_use = None
        self._numbers = itertools.count()
        self._memory = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _make(self, position: int) -> tuple[Made, list[Array]]:
        """Make a batch here and now."""
        if self._end is None:
            self._maker.open()
            self._end = weakref.finalize(self, self._maker.close)
            self._inline = list(self._buffers())
        start = perf_counter()
        made = self._maker.make(position, self._inline)
        self.waited += perf_counter() - start
        return made, self._inline

    def _next(self, position: int) -> Job:
        """The job of the batch at `position`, once it is done."""
        crew = self._crew
        if crew is None or crew.ended or crew.pid != os.getpid():  # a fork has none of the threads
            crew = self._hire()
        if self._in_use is not None:
            self._free.append(self._in_use)
            self._in_use = None
        if self._ahead and self._ahead[0].position != position:
            self._drop(crew)
        self._fill(crew, position)
        job = self._ahead.popleft()
        self._in_use = job.buffer
        self._wait(crew, job)
        return job

    def _fill(self, crew: Crew, position: int) -> None:
        """Ask for batches, from `position` on, until as many are under way as there may be."""
        if self._ahead:
            position = self._maker.after(self._ahead[-1].position)
        while len(self._ahead) <= self._depth:
            buffer = self._free.pop() if self._free else self._new_buffer()
            self._ahead.append(crew.ask(position, buffer))
            if len(self._ahead) <= self._depth:
                position = self._maker.after(position)

    def _drop(self, crew: Crew) -> None:
        """Take back what was asked for; what is just being made must be waited for, since its buffer is written to."""
        for job in self._ahead:
            job.dropped = True
        while self._ahead:
            job = self._ahead.popleft()
            self._wait(crew, job)
            self._free.append(job.buffer)

    def _wait(self, crew: Crew, job: Job) -> None:
        """Wait for a job, and meanwhile make what nobody has begun: where batches are late, every hand helps."""
        if job.done.acquire(blocking=False):
            return
        start = perf_counter()
        while crew.help():
            if job.done.acquire(blocking=False):
                break
        else:
            job.done.acquire()
        self.waited += perf_counter() - start

    def _hire(self) -> Crew:
        """Start the workers."""
        self.close()
        if self._kind == "processes":
            self._memory = Memory([Layout.of(array) for array in self._buffers()], self._depth + 1)
            crew = processes(self._maker, self._memory, self._workers)
        else:
            crew = _threads(self._maker, self._workers)
        self._crew = crew
        self._end = weakref.finalize(self, crew.end)
        crew.start()
        return crew

    def _new_buffer(self) -> Buffer:
        number = next(self._numbers)
        return Buffer(number, list(self._buffers()) if self._memory is None else self._memory.arrays(number))


def _threads(maker: Maker, workers: int) -> Crew:
    """A crew of threads that share a maker."""

    def make(position: int, buffer: Buffer) -> Made:
        return maker.make(position, buffer.arrays)

    idle = workers < len(cores.allowed())  # whether there is a processor that whoever takes may use meanwhile
    return Crew([make] * workers, maker.open, lambda: None, maker.close, shares=idle)
