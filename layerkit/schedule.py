"""What falls due when: intervals in iterations, those in epochs once an epoch's length is known, and a time limit."""

from __future__ import annotations

import contextlib
import math
import time
from fractions import Fraction
from typing import NamedTuple

from layerkit.errors import UsageError
from layerkit.layer import SourceLayer
from layerkit.net import Net
from layerkit.spec import Epochs, SolverSpec


class Every(NamedTuple):
    """An interval of `iterations` / `parts` iterations, which need not be a whole number; of 0 it never falls due."""

    iterations: int
    parts: int = 1

    def due(self, iteration: int) -> bool:
        """Whether it falls due before the update of `iteration`; it does before the first."""
        if self.iterations == 0:
            return False
        return iteration * self.parts // self.iterations > (iteration - 1) * self.parts // self.iterations


class TimeLimit:
    """Ends a run after a time; once it is over it stays so, until it begins anew."""

    def __init__(self, seconds: float | None):
        self._seconds = math.inf if seconds is None else seconds
        self._end = math.inf
        self.over = False
        """Whether the time was over when it was last looked."""
        self.clock = time.monotonic
        """Gives the time in seconds."""

    def begin(self) -> None:
        """Count from now on."""
        self.over, self._end = False, self.clock() + self._seconds

    def look(self) -> bool:
        """Whether the time is over."""
        self.over = self.over or self.clock() >= self._end
        return self.over


class Schedule:
    """When displays, tests and snapshots fall due, and how many iterations there are.

    An interval of one epoch falls due in each iteration before which another epoch's last sample was read: an epoch is
    seldom a whole number of iterations, and so the intervals do not drift away from the epochs. max_epochs epochs take
    the fewest iterations that read as many samples.

    Raises UsageError for epochs of a net whose epoch has no known length; DataError where a source cannot be opened.
    """

    def __init__(self, spec: SolverSpec, net: Net):
        intervals = {"display": spec.display, "test_interval": spec.test_interval, "snapshot": spec.snapshot}
        said = [f"{name}: {each}" for name, each in intervals.items() if isinstance(each, Epochs)]
        said = [f"max_epochs: {spec.max_epochs}"] * (spec.max_epochs is not None) + said
        epoch = _expected(net, said[0]) / spec.iter_size if said else Fraction(0)
        self.display, self.test, self.snapshot = (
            Every(*(epoch * each.count).as_integer_ratio() if isinstance(each, Epochs) else (each,))
            for each in intervals.values()
        )
        length = spec.max_iter if spec.max_epochs is None else math.ceil(epoch * spec.max_epochs)
        self.spec = spec.model_copy(update={"max_iter": length})
        """The solver's fields, with max_iter in any case."""


def epoch_in_iterations(net: Net, iter_size: int) -> float | None:
    """How many iterations read the longest source of a train net once; None where no source has a known length.

    The sources are open.
    """
    epoch = _epoch(net)
    return None if epoch is None else float(epoch / iter_size)


def _epoch(net: Net) -> Fraction | None:
    """The same in batches, without rounding."""
    lengths: list[Fraction] = []
    for node in net.graph.nodes:
        if isinstance(node.layer, SourceLayer):
            with contextlib.suppress(NotImplementedError):
                lengths.append(Fraction(node.layer.length(), net.graph.shapes[node.tops[0]][0]))
    return max(lengths, default=None)


def _expected(net: Net, field: str) -> Fraction:
    """The epoch that a field of the solver counts in. Raises UsageError where its length is not known."""
    net.open()
    found = _epoch(net)
    if found is None:
        sources = [node for node in net.graph.nodes if isinstance(node.layer, SourceLayer)]
        why = "no layer of the train net reads samples from a source"
        if sources:
            why = f"its source {sources[-1].name!r} ({sources[-1].spec.type}) has no length"
        raise UsageError(f"solver: {field} cannot be counted: {why}; count in iterations instead")
    return found
