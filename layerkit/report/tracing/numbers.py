"""Arrays in a few characters: their numbers where these are few, else shape, norm and how their values spread."""

from __future__ import annotations

import numpy as np

from layerkit.blob import Array, Shape, shape_text
from layerkit.report.tracing.local import Local

FEW = 8
"""Most numbers of an array that are written out."""
FEW_OF_JACOBIAN = 16
"""The same of a Jacobian."""
BINS = 8
BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = "_.-:=+*#"
"""Bars for what cannot write the others."""


def number(value: float, digits: int = 6) -> str:
    """A number; no -0."""
    return f"{float(value) + 0.0:.{digits}g}"


def listed(array: Array, digits: int = 6) -> str:
    """Every number, axes in brackets: [[1, 2], [3, 4]]; an array of one number is written as that."""
    if array.size == 1:
        return number(array.ravel()[0], digits)
    return _nested(array)


def _nested(array: Array) -> str:
    if array.ndim == 0:
        return number(float(array), 4)
    return f"[{', '.join(_nested(each) for each in array)}]"


def short(array: Array, bars: str = BARS) -> str:
    """The numbers, or `64x128, norm 8.31, -0.3 ▁▂▇▂▁ 0.3`."""
    if 0 < array.size <= FEW:
        return listed(array)
    return f"{summed(array)}{_spread(array, bars)}"


def summed(array: Array) -> str:
    """Shape and norm."""
    return f"{shape_text(array.shape)}, norm {number(float(np.linalg.norm(array)), 3)}"


def short_local(local: Local, bars: str = BARS) -> str:
    """A local derivative: `[0.2, 0.1] by element`, or `10 by 64, norm 8.3` for a Jacobian."""
    if local.by_element:
        assert local.array is not None
        if local.array.size == 1:
            return listed(local.array)
        return f"{short(local.array, bars)} by element"
    array = local.array
    if array is not None and array.size == 1:
        return listed(array)
    if array is not None and array.size <= FEW_OF_JACOBIAN:
        return _matrix(array, local.result, local.argument)
    about = "about " if local.estimated else ""
    shapes = f"{_shape(local.result)} by {_shape(local.argument)}"
    spread = "" if array is None else _spread(array, bars)
    return f"{shapes}, norm {about}{number(local.norm, 3)}{spread}"


def _matrix(array: Array, result: Shape, argument: Shape) -> str:
    """A Jacobian with a row for each element of the result; of a single result or argument, a list."""
    rows = array.reshape(int(np.prod(result)), int(np.prod(argument)))
    return listed(rows[0] if len(rows) == 1 else rows)


def _shape(shape: Shape) -> str:
    return shape_text(shape) if shape else "1"


def histogram(array: Array) -> tuple[list[int], float, float] | None:
    """Counts of the finite values in BINS equal intervals between the least and the greatest; None without any."""
    finite = array[np.isfinite(array)].astype("float64")
    if not finite.size:
        return None
    low, high = float(finite.min()), float(finite.max())
    counts, _ = np.histogram(finite, BINS, (low, high) if low < high else (low - 0.5, high + 0.5))
    return counts.tolist(), low, high


def _spread(array: Array, bars: str) -> str:
    """The least value, a bar for each interval, and the greatest."""
    found = histogram(array)
    if found is None:
        return ""
    counts, low, high = found
    if low == high:
        return f", all {number(low, 3)}"
    most = max(counts)
    drawn = "".join(bars[min(len(bars) - 1, -(-count * (len(bars) - 1) // most))] for count in counts)
    return f", {number(low, 3)} {drawn} {number(high, 3)}"


def bars_for(encoding: str | None) -> str:
    """The bars that a stream of this encoding can write."""
    try:
        BARS.encode(encoding or "ascii")
    except (UnicodeError, LookupError):
        return PLAIN_BARS
    return BARS
