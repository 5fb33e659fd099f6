"""Curves of runs as characters: a chart a metric, a mark a curve."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import NamedTuple

from layerkit.report.drawing.lettering import shorten
from layerkit.report.plotting.panels import Panel, Plot
from layerkit.report.plotting.series import TRAIN, Curve
from layerkit.report.text_plot import MARKS, Line, chart

_HEIGHT, _NARROWEST = 12, 20
_LOG = " (log)"
_MARGIN = 8
"""Characters of the numbers at the left, so that all charts stand one below the other."""


class Drawn(NamedTuple):
    """One line of text; what of `marks` stands in it from column `marks_from` on is part of a curve."""

    text: str
    marks_from: int | None = None


class Drawing(NamedTuple):
    """Lines of text, and the marks in them; those in one place of `marks` belong to the same run or source."""

    lines: list[Drawn]
    marks: list[str]


def draw(plot: Plot, width: int) -> Drawing:
    """The charts, one below the other over one x axis, at most `width` characters wide.

    The curves of one run are `*` for training and `o` and so on for tests; of several runs each has a letter, a small
    one for training and a capital for tests.
    """
    by_run = len(plot.runs) > 1
    marks = _letters(len(plot.runs)) if by_run else _signs(plot.sources)
    names = plot.runs if by_run else plot.sources

    def mark(curve: Curve) -> str:
        own = marks[names.index(curve.run if by_run else curve.source)]
        return own[-1] if curve.source != TRAIN else own[0]

    lines = [Drawn(text) for text in _legend(plot, names, marks, width)]
    across = [x for panel in plot.panels for curve in panel.curves for x in curve.x if math.isfinite(x)]
    x_range = (min(across), max(across))
    for panel in plot.panels:
        lines.append(Drawn(""))
        lines += _chart(panel, [mark(curve) for curve in panel.curves], x_range, width)
    lines.append(Drawn(f"{plot.across:>{width}}"))
    return Drawing(lines, marks)


def _chart(panel: Panel, marks: Sequence[str], x_range: tuple[float, float], width: int) -> list[Drawn]:
    lines = [Line(curve.x, curve.y, mark) for curve, mark in zip(panel.curves, marks, strict=True)]
    order = sorted(range(len(lines)), key=lambda i: panel.curves[i].source != TRAIN)
    columns = max(_NARROWEST, width - _MARGIN - 2)
    lines = [lines[i] for i in order]
    drawn = chart(lines, x_range=x_range, log_y=panel.log, width=columns, height=_HEIGHT, margin=_MARGIN)
    title = shorten(panel.title, max(_NARROWEST, width - len(_LOG))) + (_LOG if panel.log else "")
    return [
        Drawn(title),
        *(Drawn(row, drawn.margin) for row in drawn.canvas),
        *map(Drawn, drawn.below),
        *(Drawn(note) for note in _lost(panel)),
    ]


def _letters(count: int) -> list[str]:
    """A small letter and its capital for each run; after z they begin again."""
    letters = [letter + letter.upper() for letter in string.ascii_lowercase]
    return [letters[i % len(letters)] for i in range(count)]


def _signs(sources: Sequence[str]) -> list[str]:
    """A mark for each source, training's always the first one."""
    tests = iter(MARKS[1:] * len(sources))
    return [MARKS[0] if source == TRAIN else next(tests) for source in sources]


def _legend(plot: Plot, names: Sequence[str], marks: Sequence[str], width: int) -> list[str]:
    """Which mark is whose, in as few lines as it takes; the one run's name comes first."""
    train, tests = TRAIN in plot.sources, any(source != TRAIN for source in plot.sources)
    entries = [] if len(plot.runs) > 1 else [shorten(plot.runs[0], width)]
    for name, mark in zip(names, marks, strict=True):
        shown = mark if len(mark) == 1 or (train and tests) else mark[-1] if tests else mark[0]
        entries.append(f"{' '.join(shown)} {shorten(name, max(_NARROWEST, width - 4))}")
    if len(plot.runs) > 1 and train and tests:
        entries.append("(small letters: train, capitals: test)")
    lines = [entries[0]]
    for entry in entries[1:]:
        if len(lines[-1]) + 3 + len(entry) <= width:
            lines[-1] += f"   {entry}"
        else:
            lines.append(entry)
    return lines


def _lost(panel: Panel) -> list[str]:
    """What was not finite, a line a curve."""
    found = []
    for curve in (curve for curve in panel.curves if curve.lost):
        count = len(curve.lost)
        rest = "" if count == 1 else f" and {count - 1} more"
        found.append(f"  not finite: {curve.run} ({curve.source}) at {curve.lost[0]:g}{rest}")
    return found
