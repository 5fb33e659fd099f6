"""From a row's name to its results: make the data, compare both sides, let them read in turns; and train two nets."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import rounds
from bench.data import agree, made
from bench.data.rows import ROWS
from bench.process import Process
from bench.sides import READERS

TURN = 1.0
"""Seconds of a turn."""
NETS = {"lenet": ("mnist", "mnist"), "cifar10_quick": ("cifar", "cifar")}
"""Configs that are trained to see how long they wait for data: their Data layer, and what it is given to read."""
TRAINED = 8.0
"""Seconds that each is trained."""
CONFIGS = Path(__file__).parents[3] / "configs"
Say = Callable[[str], None]


def measure_row(name: str, workers: Sequence[int], count: int, folder: Path, say: Say) -> dict[str, Any]:
    """A row's results: for each number of workers, each side's turns in seconds an image, or a `fault`."""
    source = str(made.make(folder, ROWS[name].files))
    results: dict[str, Any] = {"workers": {}}
    with ExitStack() as stack:
        sides = {side: stack.enter_context(Process(READERS[side], folder, 1)) for side in READERS}
        say(f"{name}: compare")
        for side, process in sides.items():
            process.ask("open", row=name, source=source, workers=1, shuffle=False)
            process.ask("look", file=f"{side}.npz")
        faults = [agree.fault(ROWS[name], folder / f"{side}.npz", folder / "torch.npz") for side in READERS]
        results["fault"] = next(filter(None, faults), None)
        if results["fault"]:
            return results
        for number in workers:
            say(f"{name}: {count} rounds with {number} {'worker' if number == 1 else 'workers'}")
            for process in sides.values():
                process.ask("open", row=name, source=source, workers=number, shuffle=True)
                process.ask("run", work="read", seconds=0.1)
            found = rounds.measure(sides, count, ["read"], TURN)
            turns = {side: each["read"] for side, each in found["turns"].items()}
            results["workers"][str(number)] = {"turns": turns, "foreign": found["foreign"]}
    return results


def measure_waiting(name: str, count: int, threads: int, folder: Path, say: Say) -> dict[str, Any]:
    """How long a step of training takes, and which share of it goes by in waiting for data: medians of some runs."""
    layer, files = NETS[name]
    source = str(made.make(folder, files))
    say(f"{name}: train and see how long it waits for data")
    found = []
    for _ in range(count):
        with Process(READERS["threads"], folder, threads) as process:
            config = str(CONFIGS / f"{name}.yaml")
            found.append(process.ask("waiting", config=config, layer=layer, source=source, seconds=TRAINED))
    return {what: statistics.median(each[what] for each in found) for what in ("step_s", "share")}
