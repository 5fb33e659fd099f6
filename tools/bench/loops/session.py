"""From a row's name to its results: compare the body and the layer under each engine, and let them run in turns."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from bench import parity, rounds
from bench.process import Process
from bench.sides import LOOP_REFERENCE, LOOPERS

WORKS = ("forward", "both")
"""A forward pass, and one with a backward pass."""
LIMIT = 1e-4
"""How far an array may lie from float64's, relative to its length: rounding adds up over a hundred steps."""
Say = Callable[[str], None]


def measure_row(name: str, count: int, threads: int, folder: Path, say: Say) -> dict[str, Any]:
    """A row's results: each side's turns in seconds by work, or a `fault`. Raises SideError where a side fails."""
    say(f"{name}: build, compare, warm up")
    with Process(LOOP_REFERENCE, folder, threads) as reference:
        reference.ask("open", row=name)
        reference.ask("outputs", file="reference.npz")
    with ExitStack() as stack:
        sides = {name: stack.enter_context(Process(side, folder, threads)) for name, side in LOOPERS.items()}
        for side, process in sides.items():
            process.ask("open", row=name)
            process.ask("outputs", file="found.npz")
            found = fault(folder / "found.npz", folder / "reference.npz")
            if found:
                return {"fault": f"{LOOPERS[side].label}: {found}"}
            for work in WORKS:
                process.ask("run", work=work, seconds=0)
        say(f"{name}: {count} rounds")
        return {"fault": None, **rounds.measure(sides, count, WORKS)}


def fault(found: Path, reference: Path) -> str | None:
    """What differs between the results in two files, in a sentence; None where nothing does."""
    with np.load(found) as ours, np.load(reference) as theirs:
        for name in theirs.files:
            off = parity.difference(ours[name], theirs[name])
            if not off <= LIMIT:
                return f"its {name} differs from float64 by {off:.1e}, more than {LIMIT:.0e}"
    return None
