"""Where a long net is broken into rows, so that the picture has about the shape of a slide or a page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from layerkit.report.drawing.picture import Edge
from layerkit.report.drawing.ranks import breakable

_LONGEST = {"LR": 1600.0, "TB": 1300.0}
"""A row that is no longer than this is not broken."""
_ASPECT = {"LR": 16 / 9, "TB": 9 / 12}
"""Length of a row over the extent of all rows, which a net that is broken comes near to."""
_MOST_ROWS = 40
_BEND, _GAP, _GUTTER = 40.0, 26.0, 64.0


def breaks(
    ranks: Sequence[int],
    extents: Sequence[tuple[float, float]],
    stubs: Sequence[float],
    edges: Sequence[Edge],
    direction: str,
) -> list[int]:
    """The ranks after which rows end. `extents` of boxes are along and across the flow, `stubs` follow the ranks."""
    length = [stub + _BEND for stub in stubs]
    across = [0.0] * len(stubs)
    for rank in range(len(stubs)):
        held = [extent for extent, at in zip(extents, ranks, strict=True) if at == rank]
        length[rank] += max((along for along, _ in held), default=0.0)
        across[rank] = sum(size + _GAP for _, size in held)
    if sum(length) <= _LONGEST[direction]:
        return []
    allowed = set(breakable(ranks, edges))

    def fault(ends: list[int]) -> float:
        rows = _rows(length, ends)
        lengths = [sum(length[rank] for rank in row) for row in rows]
        extent = sum(max(across[rank] for rank in row) + _GUTTER for row in rows)
        return abs(math.log(max(lengths) / extent / _ASPECT[direction])) + math.log(max(lengths) / min(lengths)) / 2

    return min((_balanced(length, allowed, count) for count in range(1, _MOST_ROWS + 1)), key=fault)


def _balanced(length: Sequence[float], allowed: set[int], count: int) -> list[int]:
    """The breaks into at most `count` rows, if so few can be, whose longest row is shortest."""
    low, high = max(length), sum(length)
    best: list[int] = []
    for _ in range(20):  # halves the interval until less than a pixel is left of it
        limit = (low + high) / 2
        ends = _filled(length, allowed, limit)
        if len(ends) < count and _longest(length, ends) <= limit:
            best, high = ends, limit
        else:
            low = limit
    return best


def _rows(length: Sequence[float], ends: list[int]) -> list[range]:
    starts = [0, *(end + 1 for end in ends)]
    return [range(start, stop) for start, stop in zip(starts, [*starts[1:], len(length)], strict=True)]


def _longest(length: Sequence[float], ends: list[int]) -> float:
    return max(sum(length[rank] for rank in row) for row in _rows(length, ends))


def _filled(length: Sequence[float], allowed: set[int], limit: float) -> list[int]:
    """Rows filled one after the other to `limit`, as far as there are ranks after which one may end."""
    ends: list[int] = []
    start = 0.0
    last: tuple[int, float] | None = None
    at = 0.0
    for rank, size in enumerate(length):
        at += size
        if at - start > limit and last is not None:
            ends.append(last[0])
            start, last = last[1], None
        if rank in allowed:
            last = (rank, at)
    return ends
