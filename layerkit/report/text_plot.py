"""Curves drawn with characters, for a terminal, a log or a mail: ASCII only, which all of them can show."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

MARKS = "*o+x#@%&=$"
"""What curves are told apart by, in this order."""

_ROWS_A_NUMBER, _COLUMNS_A_NUMBER = 3, 14
"""About how far apart the numbers at an axis stand."""


class Line(NamedTuple):
    """Points of a curve, and the character that they are drawn with; values that are not finite are left out."""

    x: Sequence[float]
    y: Sequence[float]
    mark: str = MARKS[0]


class Chart(NamedTuple):
    """A drawing: `canvas` are the rows with the curves, each begun by `margin` characters of axis; `below` the rest."""

    canvas: list[str]
    below: list[str]
    margin: int

    @property
    def lines(self) -> list[str]:
        """All of it."""
        return [*self.canvas, *self.below]


class _Axis:
    """Where values stand along `cells` characters; the numbers are those that are drawn."""

    def __init__(self, low: float, high: float, cells: int, log: bool):
        self._log = log
        self.low, self.high = low, high
        self._from, self._to, self._cells = self._scaled(low), self._scaled(high), cells

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self._log else value

    def place(self, value: float) -> int:
        """The character that a value stands at, from 0 on; on an axis without length the first."""
        span = self._to - self._from
        return round((self._scaled(value) - self._from) / span * (self._cells - 1)) if span > 0 else 0

    def numbers(self, count: int) -> list[float]:
        """About `count` round numbers on the axis, or its ends where there are not two; one if it has no length."""
        if self.high <= self.low:
            return [self.low]
        found = self._round_ones(max(1, count))
        return found if len(found) > 1 else [self.low, self.high]

    def _round_ones(self, count: int) -> list[float]:
        if self._log and self.high >= 10 * self.low:
            first, last = math.ceil(self._from - 1e-9), math.floor(self._to + 1e-9)
            return [10.0**k for k in range(first, last + 1, max(1, math.ceil((last - first) / count)))]
        rough = (self.high - self.low) / count
        if rough < sys.float_info.min:  # where a power of ten may round to 0
            return []
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= 0.95 * rough)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [k * step for k in range(first, last + 1)]


def chart(
    lines: Sequence[Line],
    marks: Mapping[float, str] | None = None,
    *,
    x_range: tuple[float, float] | None = None,
    top: float | None = None,
    log_x: bool = False,
    log_y: bool = False,
    width: int = 72,
    height: int = 14,
    margin: int = 0,
) -> Chart:
    """Curves over a common axis, with a column of `|` at each x of `marks` and its text below.

    Each column of characters has the mean of a curve's values that fall there; where curves meet, the later one is
    seen. `x_range` has all values of x, and may be wider than they are. A value above `top` is drawn at the upper edge,
    as a `^`. Numbers at a logarithmic axis are above 0; there is at least one finite value. `width` and `height` are in
    characters, without the axes and their numbers; `margin` is what the numbers at the left have at least.
    """
    marks = marks or {}
    finite = [
        [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(x) and math.isfinite(y)] for line in lines
    ]
    across, up = zip(*(point for points in finite for point in points), strict=True)
    high = max(up) if top is None else min(max(up), top)
    left, right = x_range or (min(across), max(across))
    x_axis = _Axis(left, right, width, log_x)
    y_axis = _Axis(min(*up, high), high, height, log_y)
    canvas = [[" "] * width for _ in range(height)]
    for place in map(x_axis.place, marks):
        for row in canvas:
            row[place] = "|"
    for line, points in zip(lines, finite, strict=True):
        columns: dict[int, list[float]] = {}
        for x, y in points:
            columns.setdefault(x_axis.place(x), []).append(y)
        for place, values in columns.items():
            mean = sum(values) / len(values)
            row = canvas[height - 1 - y_axis.place(min(mean, high))]
            row[place] = "^" if mean > high else line.mark
    sides = {height - 1 - place: text for place, text in _numbers(y_axis, height // _ROWS_A_NUMBER).items()}
    margin = max(margin, *map(len, sides.values()))
    drawn = [f"{sides.get(i, ''):>{margin}} |{''.join(row)}".rstrip() for i, row in enumerate(canvas)]
    indent = " " * (margin + 2)
    numbers = _numbers(x_axis, width // _COLUMNS_A_NUMBER)
    rule = "".join("+" if i in numbers else "-" for i in range(width))
    below = [f"{' ' * margin} +{rule}", f"{indent}{_ruler(numbers, width)}"]
    below += [f"{indent}{_beside(x_axis.place(at), text, width)}" for at, text in marks.items()]
    return Chart(drawn, below, margin + 2)


def _numbers(axis: _Axis, count: int) -> dict[int, str]:
    """About `count` numbers by their places, with as many digits as it takes to tell them apart, at least six."""
    numbers = axis.numbers(count)
    written = ([f"{number:.{digits}g}" for number in numbers] for digits in range(6, 18))
    texts = next((each for each in written if len(set(each)) == len(numbers)), [str(number) for number in numbers])
    return dict(zip(map(axis.place, numbers), texts, strict=True))


def _ruler(numbers: Mapping[int, str], width: int) -> str:
    """Numbers below their places, as far as they do not run into each other."""
    text = ""
    for place, number in sorted(numbers.items()):
        start = min(max(0, place - len(number) // 2), max(0, width - len(number)))
        if not text or start > len(text):
            text = f"{text:<{start}}{number}"
    return text


def _beside(place: int, text: str, width: int) -> str:
    """A caret under a column with its text to the right, or to the left where there is no room."""
    if place + 2 + len(text) <= width:
        return f"{'':{place}}^ {text}"
    return f"{text:>{max(0, place - 1)}} ^"
