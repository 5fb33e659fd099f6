"""Counts as bars of characters."""

from __future__ import annotations

from collections.abc import Mapping

MOST = 20
"""Rows at most; of more, the greatest and the smallest counts are shown."""
LARGEST, SMALLEST = 12, 5
WIDTH = 40
"""Characters of the longest bar."""


def rows(counts: Mapping[str, int]) -> list[tuple[str, str, str, str]]:
    """Name, count, share and bar of each, in their order; of too many by count, with a row for those between."""
    total, most = sum(counts.values()) or 1, max(counts.values(), default=0) or 1

    def row(name: str, count: int) -> tuple[str, str, str, str]:
        bar = "#" * max(round(WIDTH * count / most), int(count > 0))
        return name, f"{count:,}", f"{count / total:.1%}", bar

    if len(counts) <= MOST:
        return [row(*each) for each in counts.items()]
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    between = ranked[LARGEST:-SMALLEST]
    folded = f"... {len(between):,} more", f"{between[-1][1]:,} to {between[0][1]:,}", "", ""
    return [*(row(*each) for each in ranked[:LARGEST]), folded, *(row(*each) for each in ranked[-SMALLEST:])]
