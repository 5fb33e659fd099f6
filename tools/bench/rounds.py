"""Interleaved timing: in every round each side has one turn at each work, so that a disturbance meets all alike."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from bench import machine

WORKS = ("train", "predict", "predict_one")
TURN = 0.3
"""Seconds of a turn; one run is made where it takes longer."""
PAUSE = 0.02
"""Seconds between turns, in which the threads of the side before go to sleep."""


class Worker(Protocol):
    """What a round needs of a process."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    def ask(self, order: str, **details: Any) -> dict[str, Any]:
        """Give an order and wait for the answer."""
        ...


def warm_up(worker: Worker) -> None:
    """Run each work until all that is done once is done, compiling above all."""
    for work in WORKS:
        worker.ask("run", work=work, seconds=0)
        worker.ask("run", work=work, seconds=TURN)


def measure(
    workers: Mapping[str, Worker], rounds: int, works: Sequence[str] = WORKS, turn: float = TURN
) -> dict[str, Any]:
    """Seconds of one run by side, work and round; and how many cores others kept busy in each round.

    A round begins with another side than the one before.
    """
    turns: dict[str, dict[str, list[float]]] = {name: {work: [] for work in works} for name in workers}
    load: list[float | None] = []
    names = list(workers)
    pids = [os.getpid(), *(worker.pid for worker in workers.values())]
    for number in range(rounds):
        before = machine.used(pids)
        first = number % max(len(names), 1)
        for work in works:
            for name in names[first:] + names[:first]:
                time.sleep(PAUSE)
                answer = workers[name].ask("run", work=work, seconds=turn)
                turns[name][work].append(answer["seconds"])
        load.append(machine.foreign(before, machine.used(pids)))
    return {"turns": turns, "foreign": load}
