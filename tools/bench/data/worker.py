"""The process of one side: reads batches as it is told, and says how long that took.

python -m bench.data.worker SIDE FOLDER THREADS
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench import worker
from bench.data.rows import ROWS
from bench.sides import Side

LEAST = 4
"""Batches in a turn, even where they take longer: workers that start together may also end together."""
LOOKED_AT = 10
"""Batches whose values are compared."""


class Worker:
    """Obeys orders; each public method is one."""

    def __init__(self, side: Side, folder: Path, threads: int):
        self._side, self._folder, self._threads = side, folder, threads
        self._stream: Iterator[tuple[Any, Any]] = iter(())

    def open(self, row: str, source: str, workers: int, shuffle: bool) -> dict[str, Any]:
        """Begin with a row's batches, after which others are read no more."""
        self._row, self._workers = ROWS[row], workers
        self._stream = iter(())
        gc.collect()  # which ends the threads and processes of the one before
        self._stream = self._reader()(self._row, Path(source), workers, shuffle, **self._side.options)
        return {}

    def look(self, file: str) -> dict[str, Any]:
        """Save the first batch, and what the first batches are like: each channel's mean and standard deviation."""
        data, label = (np.array(each) for each in next(self._stream))
        more = [np.array(next(self._stream)[0]) for _ in range(LOOKED_AT - 1)]
        values = np.concatenate([data, *more]).astype(np.float64)
        axes = (0, *range(2, values.ndim))
        np.savez(self._folder / file, data=data, label=label, mean=values.mean(axes), std=values.std(axes))
        return {"dtype": str(data.dtype)}

    def run(self, work: str, seconds: float) -> dict[str, Any]:
        """Read for so many seconds, at full speed, and say how many an image took.

        Batches that lie ready at the beginning, because nobody took them meanwhile, are not counted.
        """
        clock, stream = time.perf_counter, self._stream
        gc.collect()
        for _ in range(2 * self._workers + 2):  # at least as many as either side makes ahead
            next(stream)
        count, begun = 0, clock()
        while (taken := clock() - begun) < seconds or count < LEAST:
            next(stream)
            count += 1
        return {"seconds": taken / (count * self._row.batch)}

    def waiting(self, config: str, layer: str, source: str, seconds: float) -> dict[str, Any]:
        """Train; see `layerkit_reader.waiting`."""
        from bench.data.layerkit_reader import waiting

        return dict(waiting(config, layer, Path(source), seconds, self._threads))

    def _reader(self) -> Any:
        """The side's `batches`, imported when it is first needed."""
        if self._side.framework == "layerkit":
            from bench.data import layerkit_reader as reader
        else:
            from bench.data import torch_reader as reader
        return reader.batches


if __name__ == "__main__":
    worker.main(Worker)
