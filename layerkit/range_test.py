"""The range test: at which learning rates does a net learn, and at which does it fall apart?

A few updates are made by the run's own rule, the rate growing from one to the next by the same factor. While the rate
is too small the loss stays; then it falls; at last it rises and diverges. A good rate lies where it falls fastest.

Source: Smith, Cyclical Learning Rates for Training Neural Networks (2015), section 3.3.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from layerkit.errors import LayerkitError, UsageError
from layerkit.net import Net
from layerkit.solver import Solver
from layerkit.spec import SolverSpec

DIVERGED = 4.0
"""The loss has diverged once its mean over a window is so many times the lowest such mean."""

NOISE = 2.0
"""A fall of the loss is only believed if it is so many times as much as the loss differs from batch to batch."""

Array = npt.NDArray[np.float64]


class RangeTest(NamedTuple):
    """What a range test found; the arrays have an element for each update."""

    rates: Array
    losses: Array
    smooth: Array
    """The loss's mean over a window around each update."""
    slopes: Array
    """How the loss changes there as the rate grows tenfold: that of the line that fits the window best."""
    lowest: int
    """Index of the lowest smooth loss."""
    steepest: int | None
    """Index of the update where the loss falls fastest, before the lowest; None where it never falls."""
    diverged: float | None
    """The rate at which the loss diverged and the test ended, if it did."""

    @property
    def suggestion(self) -> float | None:
        """The rate at which the loss falls fastest, or None where it never falls."""
        return None if self.steepest is None else float(self.rates[self.steepest])


class RangeSolver(Solver):
    """A solver whose learning rate grows from `first` to `last` over `count` updates, whatever policy the run has."""

    first: float
    last: float
    count: int

    @classmethod
    def over(cls, net: Net, spec: SolverSpec, first: float, last: float, count: int) -> Self:
        """A solver over a net, with the run's update rule; it tests, displays and snapshots nothing."""
        if not 0 < first < last < math.inf:
            raise UsageError(f"the rate must grow from above 0 to a greater one, not from {first:g} to {last:g}")
        if count < 2:
            raise UsageError(f"a range test takes at least 2 iterations, not {count}")
        solver = cls.from_net(net, spec.model_copy(update={"display": 0, "test_interval": 0, "snapshot": 0}))
        solver.first, solver.last, solver.count = first, last, count
        return solver

    @property
    def lr(self) -> float:
        """The learning rate of the next update."""
        return float(self.first * (self.last / self.first) ** (self.iteration / (self.count - 1)))


def find(solver: RangeSolver, told: Callable[[float, float], Any] = lambda rate, loss: None) -> RangeTest:
    """Make the updates until the loss diverges or all are made; `told` hears each one's rate and loss.

    The solver's net is trained, and so spoilt, by it. Raises DataError for samples that cannot be read or used, and
    UsageError where the loss cannot be computed even once.
    """
    half = window(solver.count) // 2
    rates: list[float] = []
    losses: list[float] = []
    diverged: float | None = None
    lowest = math.inf
    while len(losses) < solver.count:
        rate = solver.lr
        try:
            loss = solver.step()
        except LayerkitError:
            if not _fell_apart(solver):
                raise
            diverged = rate
            break
        rates.append(rate)
        losses.append(loss)
        told(rate, loss)
        mean = sum(losses[-2 * half - 1 :]) / len(losses[-2 * half - 1 :])
        lowest = min(lowest, mean)
        if mean - lowest > (DIVERGED - 1) * abs(lowest):
            diverged = rate
            break
    if len(losses) < 2:
        raise UsageError("the loss is not finite even at the smallest rate; look for extreme values in the data")
    return _judge(np.array(rates), np.array(losses), half, diverged)


def window(count: int) -> int:
    """How many updates are smoothed over, of a test with `count`: a tenth, an odd number, at least 3."""
    return max(3, count // 10) | 1


def to_csv(found: RangeTest) -> str:
    """The test as CSV text, a line an update."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["iteration", "lr", "loss", "smooth_loss", "slope"])
    columns = (found.rates, found.losses, found.smooth, found.slopes)
    for i, row in enumerate(zip(*columns, strict=True)):
        writer.writerow([i, *(repr(float(number)) for number in row)])
    return text.getvalue()


def _fell_apart(solver: Solver) -> bool:
    """Whether a step failed because numbers were no longer finite, and not for any other reason."""
    values = solver.net.flat.values
    return not (math.isfinite(solver.net.loss) and math.isfinite(values.min()) and math.isfinite(values.max()))


def _judge(rates: Array, losses: Array, half: int, diverged: float | None) -> RangeTest:
    """Fit a line to each window of losses over the logarithm of the rate, and see where it falls."""
    fits = [_line(rates, losses, max(0, i - half), i + half + 1) for i in range(len(losses))]
    smooth, slopes = np.array([fit[0] for fit in fits]), np.array([fit[1] for fit in fits])
    lowest = int(np.argmin(smooth))
    noise = float(np.std(np.diff(losses[: 2 * half + 1]))) / math.sqrt(2)  # of one loss: a difference has two
    falls = smooth[0] - smooth[lowest] > NOISE * noise
    steepest = int(np.argmin(slopes[: lowest + 1])) if falls else None
    return RangeTest(rates, losses, smooth, slopes, lowest, steepest, diverged)


def _line(rates: Array, losses: Sequence[float] | Array, start: int, stop: int) -> tuple[float, float]:
    """The mean of the losses in a window, and the slope of the line of least squares over log10 of their rates."""
    x, y = np.log10(rates[start:stop]), np.asarray(losses[start:stop])
    x = x - x.mean()
    return float(y.mean()), float(x @ (y - y.mean()) / (x @ x))
