"""Samples that --skip leaves out: each is told of, and all are counted."""

from __future__ import annotations

from collections.abc import Callable

from layerkit.errors import DataError


class LeftOut:
    """Is called with what is wrong with each sample that is left out, which it tells by `line`."""

    def __init__(self, line: Callable[[str], object]):
        self._line = line
        self.count = 0

    def __call__(self, error: DataError) -> None:
        self.count += 1
        self._line(f"left out: {error}")

    @property
    def words(self) -> str:
        """`; 3 left out`, or nothing: the end of a sentence that counts the others."""
        return f"; {self.count:,} left out" if self.count else ""
