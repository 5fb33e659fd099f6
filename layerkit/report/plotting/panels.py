"""Which curves are drawn together, in what order, and on what axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from layerkit.errors import DataError, UnknownNameError
from layerkit.report.plotting.series import TRAIN, Across, Curve

_TITLES = {
    "lr": "learning rate",
    "grad_norm": "gradient norm",
    "weight_norm": "weight norm",
    "samples_per_s": "samples per second",
}
_FIRST, _LAST = ("loss",), ("lr", "grad_norm")
"""What is drawn unless something is asked for: these, and between them all that the nets gave out."""
_ONLY_IF_ASKED = ("weight_norm", "samples_per_s", "debug_info")
_SPANS_DECADES = 100.0
"""A loss, rate or norm that changes by this factor is drawn on a logarithmic axis."""
_UNITS = ((2 * 3600.0, 3600.0, "hours"), (2 * 60.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
"""From so many seconds on, time is counted in units of so many seconds."""


class Panel(NamedTuple):
    """One metric, of all runs."""

    metric: str
    title: str
    curves: list[Curve]
    raw: list[Curve]
    """Those of the curves that were smoothed, as they were; none without smoothing."""
    log: bool


class Plot(NamedTuple):
    """What is to be drawn."""

    runs: list[str]
    sources: list[str]
    """Where numbers come from: train first, then the test nets."""
    panels: list[Panel]
    across: str
    """What stands at the x axis."""

    @property
    def lost(self) -> bool:
        """Whether any of the numbers was not finite."""
        return any(curve.lost for panel in self.panels for curve in panel.curves)


def arrange(
    curves: Sequence[Curve],
    across: Across = "iteration",
    metrics: Sequence[str] = (),
    smooth: int = 1,
    log: bool | None = None,
) -> Plot:
    """The panels of some runs' curves: of all metrics, or of those that are named, in that order.

    Training's curves, except the learning rate, are means over `smooth` displays. `log` says whether axes are
    logarithmic, as far as all numbers are above 0; None: where a loss, rate or norm spans decades. Raises
    UnknownNameError for a metric that no run has, DataError where there is no number to draw.
    """
    known = list(dict.fromkeys(curve.metric for curve in curves))
    for metric in metrics:
        if metric not in known:
            raise UnknownNameError("metric", metric, known)
    chosen = [curve for curve in curves if curve.metric in (metrics or _usual(known)) and curve.finite]
    if not chosen:
        raise DataError("there is nothing to draw yet: no display or test has given a number that is finite")
    label: str = across
    if across == "time":
        longest = max(max(curve.x) for curve in chosen)
        _, unit, label = next(each for each in _UNITS if longest >= each[0])
        chosen = [curve._replace(x=[x / unit for x in curve.x]) for curve in chosen]
    panels = []
    for metric in metrics or _usual(known):
        own = [curve for curve in chosen if curve.metric == metric]
        if own:
            panels.append(_panel(metric, own, smooth, log))
    sources = sorted(dict.fromkeys(curve.source for curve in chosen), key=lambda source: source != TRAIN)
    return Plot(list(dict.fromkeys(curve.run for curve in chosen)), sources, panels, label)


def _usual(known: Sequence[str]) -> list[str]:
    between = [
        metric for metric in known if metric not in (*_FIRST, *_LAST) and metric.partition("/")[0] not in _ONLY_IF_ASKED
    ]
    return [*(name for name in _FIRST if name in known), *between, *(name for name in _LAST if name in known)]


def _panel(metric: str, curves: list[Curve], smooth: int, log: bool | None) -> Panel:
    rough = [curve for curve in curves if smooth > 1 and curve.source == TRAIN and metric != "lr"]
    drawn = [curve.smoothed(smooth) if curve in rough else curve for curve in curves]
    numbers = [value for curve in curves for value in curve.finite]
    wide = ("loss" in metric or metric in _TITLES) and max(numbers) >= _SPANS_DECADES * min(numbers)
    logarithmic = min(numbers) > 0 and (wide if log is None else log)
    return Panel(metric, _TITLES.get(metric, metric), drawn, rough, logarithmic)
