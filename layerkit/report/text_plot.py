"""A curve drawn with characters, for a terminal or a log."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def curve(
    x: Sequence[float],
    y: Sequence[float],
    marks: Mapping[float, str],
    *,
    top: float | None = None,
    width: int = 72,
    height: int = 14,
) -> list[str]:
    """Lines that show y over the logarithm of x, with a column of `|` at each x of `marks` and its text below it.

    Each column of characters has the mean of the values that fall there, as a `*`. A value above `top` is drawn at the
    upper edge, as a `^`. The x are above 0 and rise; every number is finite.
    """
    low, high = min(y), max(y) if top is None else min(max(y), top)
    left, right = math.log10(x[0]), math.log10(x[-1])

    def column(value: float) -> int:
        return round((math.log10(value) - left) / (right - left) * (width - 1)) if right > left else 0

    def row(value: float) -> int:  # 0 is the upper edge
        return round((high - min(value, high)) / (high - low) * (height - 1)) if high > low else height - 1

    canvas = [[" "] * width for _ in range(height)]
    for place in map(column, marks):
        for line in canvas:
            line[place] = "|"
    columns: dict[int, list[float]] = {}
    for at, value in zip(x, y, strict=True):
        columns.setdefault(column(at), []).append(value)
    for place, values in columns.items():
        mean = sum(values) / len(values)
        canvas[row(mean)][place] = "^" if mean > high else "*"
    sides = [f"{high:.4g}", *[""] * (height - 2), f"{low:.4g}"]
    margin = max(map(len, sides))
    drawn = [f"{side:>{margin}} |{''.join(line)}".rstrip() for side, line in zip(sides, canvas, strict=True)]
    ends = f"{x[0]:.2g}", f"{x[-1]:.2g}"
    drawn.append(f"{'':{margin}} +{'-' * width}")
    drawn.append(f"{'':{margin}}  {ends[0]}{ends[1]:>{width - len(ends[0])}}")
    for at, text in marks.items():
        drawn.append(f"{'':{margin}}  {_beside(column(at), text, width)}")
    return drawn


def _beside(place: int, text: str, width: int) -> str:
    """A caret under a column with its text to the right, or to the left where there is no room."""
    if place + 2 + len(text) <= width:
        return f"{'':{place}}^ {text}"
    return f"{text:>{max(0, place - 1)}} ^"
