"""Numbers and their nouns in messages."""

from __future__ import annotations


def plural(count: int, noun: str, many: str = "") -> str:
    """`sample` or `samples`: the noun that follows a number; `many` is its plural where an s does not make it."""
    return noun if count == 1 else many or f"{noun}s"


def counted(count: int, noun: str, many: str = "") -> str:
    """`1 sample`, `2,000 samples`: a number with its noun."""
    return f"{count:,} {plural(count, noun, many)}"
