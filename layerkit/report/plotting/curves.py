"""Curves of runs as a figure: a panel a metric, a colour a run (or of one run: a colour for training and for tests)."""

from __future__ import annotations

from typing import Any

from layerkit.report.drawing.lettering import shorten
from layerkit.report.drawing.palette import INK, PAPER, QUIET
from layerkit.report.plotting import style
from layerkit.report.plotting.panels import Panel, Plot
from layerkit.report.plotting.series import TRAIN, Curve

_SIZES = {1: (7.0, 4.2), 2: (9.6, 3.9), 3: (12.8, 3.7), 4: (9.6, 6.5)}
"""Inches of a figure with so many panels; of more, three stand in a row."""
_WIDTH, _ROW, _HEAD = 12.8, 3.0, 0.5
_MOST_DOTS = 40
"""Of a curve of tests with more, only some have a dot."""
_TITLE = 40
"""Characters of a panel's title."""
_A_ROW_OF_LEGEND = 90
"""Characters of the legend's texts in a row."""


def draw(plot: Plot) -> Any:
    """The figure. It is made, and written, within `style.drawing()`."""
    count = len(plot.panels)
    columns = 2 if count == 4 else min(count, 3)
    rows = -(-count // columns)
    width, height = _SIZES.get(count, (_WIDTH, _ROW * rows + _HEAD))
    figure = style.figure(width, height)
    axes = figure.subplots(rows, columns, squeeze=False, sharex="all").ravel()
    by_run = len(plot.runs) > 1
    names = plot.runs if by_run else [TRAIN, *(source for source in plot.sources if source != TRAIN)]
    colours = dict(zip(names, style.colours(len(names)), strict=True))
    for panel, each in zip(plot.panels, axes, strict=False):
        _fill(each, panel, colours, by_run)
    for each in axes[count:]:
        each.set_visible(False)
    for each in axes[max(0, count - columns) : count]:
        each.set_xlabel(plot.across)
    axes[0].locator_params(axis="x", nbins=6, steps=[1, 2, 2.5, 5, 10], integer=plot.across == "iteration")
    (at, *others) = sorted({x for panel in plot.panels for curve in panel.curves for x in curve.x})
    if not others:
        axes[0].set_xlim(at - 1, at + 1)
    _legend(figure, plot, colours, by_run)
    return figure


def _fill(axes: Any, panel: Panel, colours: dict[str, str], by_run: bool) -> None:
    title = shorten(panel.title, _TITLE)
    axes.set_title(f"{title} (log)" if panel.log else title)
    if panel.log:
        _log_axis(axes, panel)
    both = len({curve.source == TRAIN for curve in panel.curves}) > 1
    for curve in panel.raw:
        axes.plot(curve.x, curve.y, color=colours[_key(curve, by_run)], alpha=0.25, linewidth=0.9, zorder=1.5)
    for i, curve in enumerate(panel.curves):
        colour = colours[_key(curve, by_run)]
        faint = by_run and both and curve.source == TRAIN  # behind the tests' curve in the same colour
        shown: dict[str, Any] = {"color": colour, "linewidth": 1.1, "alpha": 0.55} if faint else {"color": colour}
        if curve.source != TRAIN or len(curve.finite) == 1:
            shown |= {"marker": "o", "markevery": max(1, len(curve.x) // _MOST_DOTS), "markeredgecolor": PAPER}
        axes.plot(curve.x, curve.y, **shown, zorder=2 + (curve.source != TRAIN), gid=f"curve-{panel.metric}-{i}")
        if curve.lost:
            ends = axes.get_xaxis_transform()
            axes.plot(curve.lost, [0.02] * len(curve.lost), "x", color=style.LOST, transform=ends, clip_on=False)
    axes.tick_params(labelbottom=True)
    if not panel.log:
        axes.margins(y=0.07)


def _log_axis(axes: Any, panel: Panel) -> None:
    """A logarithmic axis with plain numbers at its decades, or where there are less than two of these, at all ticks."""
    ticker = style.matplotlib_part("ticker")
    numbers = [value for curve in (*panel.curves, *panel.raw) for value in curve.finite]
    axes.set_yscale("log")
    plain = ticker.FuncFormatter(lambda value, place: f"{value:g}")
    axes.yaxis.set_major_formatter(plain)
    axes.yaxis.set_minor_formatter(plain if max(numbers) < 10 * min(numbers) else ticker.NullFormatter())


def _key(curve: Curve, by_run: bool) -> str:
    return curve.run if by_run else curve.source


def _legend(figure: Any, plot: Plot, colours: dict[str, str], by_run: bool) -> None:
    """One legend for all panels, above them, unless there is one curve in each; one run's name is the title."""
    line = style.matplotlib_part("lines").Line2D
    dots = {"marker": "o", "markeredgecolor": PAPER}
    handles = []
    for name, colour in ((name, colours[name]) for name in (plot.runs if by_run else plot.sources)):
        tests = dots if not by_run and name != TRAIN else {}
        label = shorten(name, 40)
        label = f" {label}" if label.startswith("_") else label  # matplotlib leaves out what begins so
        handles.append(line([], [], color=colour, label=label, **tests))
    if by_run and TRAIN in plot.sources and len(plot.sources) > 1:
        handles.append(line([], [], color=QUIET, linewidth=1.1, alpha=0.7, label=TRAIN))
        handles.append(line([], [], color=INK, label="test", **dots))
    if plot.lost:
        handles.append(line([], [], color=style.LOST, marker="x", linestyle="", label="not finite"))
    if not by_run:
        figure.suptitle(shorten(plot.runs[0], 48), x=0.012, ha="left")
    if len(handles) > 1:
        longest = max(len(handle.get_label()) + 6 for handle in handles)
        columns = max(1, min(len(handles), int(figure.get_figwidth() / 9.6 * _A_ROW_OF_LEGEND) // longest))
        corner = "upper right" if not by_run and columns == len(handles) else "upper left"
        figure.legend(handles=handles, loc=f"outside {corner}", ncols=columns)
