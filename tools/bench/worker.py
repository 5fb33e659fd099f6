"""The process of one side: reads orders as JSON lines, and answers each with one line.

    python -m bench.worker SIDE FOLDER THREADS

An answer is an object; {"error": "..."} says that the order failed, and the worker goes on.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from bench import sides

FRESH_STEPS = 4
"""Training steps of a worker whose memory is measured."""
PRODUCT = 2048
"""Rows and columns of the matrices whose product shows the machine's peak."""


class Worker:
    """Obeys orders; each public method is one."""

    def __init__(self, side: sides.Side, folder: Path, threads: int):
        self._side, self._folder, self._threads = side, folder, threads
        self._works: dict[str, Callable[[], Any]] = {}

    def build(self) -> dict[str, Any]:
        """Import the framework, build the net for training; seconds of each."""
        begun = time.perf_counter()
        maker = _layerkit_side if self._side.framework == "layerkit" else _torch_side
        side = maker()
        imported = time.perf_counter()
        from bench import job  # not before: it imports numpy, which counts as part of the framework

        self._batch = job.read(self._folder)["batch"]
        self._net = side(self._folder, self._threads, **self._side.options)
        return {"import_s": imported - begun, "build_s": time.perf_counter() - imported}

    def fresh(self) -> dict[str, Any]:
        """Import, build and train a little: set-up seconds up to the end of the first step, and the greatest memory."""
        found = self.build()
        self._net.enter(True)
        step, begun = self._net.train(), time.perf_counter()
        step()
        setup = found["build_s"] + time.perf_counter() - begun
        for _ in range(FRESH_STEPS - 1):
            step()
        return {"import_s": found["import_s"], "setup_s": setup, "peak_mb": _peak_mb()}

    def outputs(self, file: str) -> dict[str, Any]:
        """Save probabilities, loss and weight gradients at the first weights, under the names in `parity`."""
        import numpy as np

        self._net.enter(False)
        probabilities = np.array(self._net.predict(self._batch)())
        self._net.enter(True)
        loss, gradients = self._net.gradients()
        np.savez(self._folder / file, loss=loss, probabilities=probabilities, **gradients)
        return {}

    def works(self) -> dict[str, Any]:
        """Make ready to run: train, predict (a batch) and predict_one."""
        self._works = {
            "train": self._net.train(),
            "predict": self._net.predict(self._batch),
            "predict_one": self._net.predict(1),
        }
        return {}

    def run(self, work: str, seconds: float) -> dict[str, Any]:
        """Run for so many seconds, and say how many a run took on average."""
        self._net.enter(work == "train")
        return timed(self._works[work], seconds)

    def loss(self) -> dict[str, Any]:
        """The loss of the last training step."""
        return {"loss": self._net.loss()}

    def peak(self, repeats: int) -> dict[str, Any]:
        """The best rate of a product of two large float32 matrices, in GFLOP/s."""
        multiply = self._net.product(PRODUCT)
        multiply()
        best = float("inf")
        for _ in range(repeats):
            begun = time.perf_counter()
            multiply()
            best = min(best, time.perf_counter() - begun)
        return {"gflops": 2 * PRODUCT**3 / best / 1e9}


def timed(function: Callable[[], Any], seconds: float) -> dict[str, Any]:
    """Call a function for so many seconds, and say how many a call took on average.

    The first call counts only where it takes all the time. The clock ends a turn, and not a count of calls, for on a
    busy machine a call can take a hundred times as long as the one before.
    """
    clock = time.perf_counter
    gc.collect()
    begun = clock()
    function()
    once = clock() - begun
    if once >= seconds:
        return {"seconds": once}
    count, begun = 0, clock()
    while (taken := clock() - begun) < seconds:
        function()
        count += 1
    return {"seconds": taken / count}


def _layerkit_side() -> Any:
    from bench.layerkit_side import LayerkitSide

    return LayerkitSide


def _torch_side() -> Any:
    from bench.torch_side import TorchSide

    return TorchSide


def _first_line(error: Exception) -> str:
    """What an error says, in a line; torch's compiler says pages."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")


def _peak_mb() -> float | None:
    """The most memory that this process ever held, in MB; None where the system does not say."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1000


def obey(worker: Any, orders: TextIO, answers: TextIO) -> None:
    """Answer orders until there are no more."""
    for line in orders:
        order = json.loads(line)
        try:
            answer = getattr(worker, order.pop("do"))(**order)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {_first_line(error)}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main(make: Callable[[sides.Side, Path, int], Any]) -> None:
    """Answer on what was standard output; whatever else is printed goes to standard error."""
    name, folder, threads = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    obey(make(sides.EVERY[name], Path(folder), int(threads)), sys.stdin, answers)


if __name__ == "__main__":
    main(Worker)
