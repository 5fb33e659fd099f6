"""Makers for the tests of prefetching; a module, since worker processes import it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from layerkit.blob import Array, laid_out
from layerkit.datasets.prefetch import Made
from layerkit.errors import DataError

N, LENGTH = 3, 8
SHAPE = (N, 2, 5, 4)


def buffers() -> list[Array]:
    """Images that lie channels-last, and labels."""
    return [laid_out(np.zeros(120, np.float32), SHAPE, channels_last=True), np.zeros(N, np.int64)]


def rows(position: int) -> int:
    """A pass has 8 samples, and its last batch has what is left of it."""
    return min(N, LENGTH - position % LENGTH)


def wanted(position: int) -> tuple[Made, list[Array]]:
    """The batch at a position, by a formula of its own."""
    labels = np.arange(position, position + rows(position)) * 7
    images = labels.reshape(-1, 1, 1, 1) + np.arange(40, dtype=np.float32).reshape(2, 5, 4)
    return Made(rows(position), position + rows(position), (position, f"at {position}")), [images, labels]


class CountingMaker:
    """Batches that tell where they come from; positions in `bad` cannot be made."""

    def __init__(self, bad: Sequence[int] = ()):
        self.bad = list(bad)
        self.opened = self.closed = 0

    def open(self) -> None:
        self.opened += 1

    def close(self) -> None:
        self.closed += 1

    def spec(self) -> dict[str, Any]:
        return {"bad": self.bad}

    def after(self, position: int) -> int:
        return position + rows(position)

    def make(self, position: int, out: Sequence[Array]) -> Made:
        for array in out:
            array.fill(-1)
        if position in self.bad:
            raise DataError(f"a.png: sample {position} is broken")
        made, arrays = wanted(position)
        for into, array in zip(out, arrays, strict=True):
            into[: made.rows] = array
        return made


class GatedMaker(CountingMaker):
    """Makes a batch only when it is let, and records who made what."""

    def __init__(self, bad: Sequence[int] = ()):
        super().__init__(bad)
        self.asked = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.made = threading.Semaphore(0)
        self.begun: list[int] = []
        self.threads: set[int] = set()

    def make(self, position: int, out: Sequence[Array]) -> Made:
        self.begun.append(position)
        self.threads.add(threading.get_ident())
        self.asked.release()
        self.gate.acquire()
        try:
            return super().make(position, out)
        finally:
            self.made.release()


class StrangeError(Exception):
    """An error whose text is not its argument."""

    def __init__(self, number: int):
        super().__init__(f"number {number}")
        self.number = number


class EndingMaker(CountingMaker):
    """Ends its process, or is stuck, or raises something, where it is told to."""

    def __init__(self, does: dict[str, str]):
        super().__init__()
        self.does = does

    def spec(self) -> dict[str, Any]:
        return {"does": self.does}

    def make(self, position: int, out: Sequence[Array]) -> Made:
        match self.does.get(str(position)):
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exits":
                os._exit(3)
            case "interrupted":
                os.kill(os.getpid(), signal.SIGINT)
            case "reads":
                with open("/no/such/file"):
                    pass
            case "strange":
                raise StrangeError(position)
            case "prints":
                print("printed", sys.stdin.read())
            case "environment":
                return super().make(position, out)._replace(notes=(os.environ["OMP_NUM_THREADS"],))
            case "stuck":
                print("stuck", file=sys.stderr, flush=True)
                time.sleep(60)
        return super().make(position, out)


class UnopenedMaker(CountingMaker):
    """Cannot be opened the first time."""

    def open(self) -> None:
        super().open()
        if self.opened == 1:
            raise DataError("a.hdf5 is not there")


def hidden_maker() -> CountingMaker:
    """A maker of a class that no other process can find."""

    class HiddenMaker(CountingMaker):
        """Known to this function only."""

    return HiddenMaker()
