"""Sweeps: the same run with several values of some of its settings, side by side, each run in a process of its own.

`plan` makes the combinations and checks every one of them before anything runs; `Sweep` runs those that are not
finished yet; `read` says what became of a run, from what its folder holds and nothing else, so that a sweep that was
interrupted at any moment goes on where it was.
"""

from layerkit.sweep.children import Sweep
from layerkit.sweep.grid import Combination, plan
from layerkit.sweep.results import TRAIN_LOSS, Result, default_goal, output_names, ranked, read, to_csv

__all__ = [
    "TRAIN_LOSS",
    "Combination",
    "Result",
    "Sweep",
    "default_goal",
    "output_names",
    "plan",
    "ranked",
    "read",
    "to_csv",
]
