"""Maker: what makes batches; Made: what it says of one; Buffer: where it writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from layerkit.blob import Array


class Made(NamedTuple):
    """What a maker says of a batch that it has made."""

    rows: int
    """Samples in the batch, n: the first n rows of each array are written."""
    next: int
    """Position of the batch after this one."""
    notes: tuple[Any, ...] = ()
    """What else whoever takes the batch should know: numbers, strings, None, and lists or dicts of these."""


class Maker(Protocol):
    """Makes the batches of a stream. Several threads may call `make` of one maker at the same time."""

    def open(self) -> None:
        """Open files; called once in each process that makes batches, before the first. May raise DataError."""
        ...

    def close(self) -> None:
        """Close them again; called after the last batch."""
        ...

    def make(self, position: int, out: Sequence[Array]) -> Made:
        """Write the batch that begins at `position` into the first rows of each array of `out`, (N, *sample shape).

        What is written, and what is returned, is a function of `position` alone. Raises DataError, which names the file
        and the index, for a sample that cannot be used.
        """
        ...

    def after(self, position: int) -> int:
        """Position of the batch after the one at `position`: cheap, and asked of a maker that may not be open."""
        ...

    def spec(self) -> dict[str, Any]:
        """Keyword arguments, JSON values, of which its class makes an equal maker in a worker process.

        The class must stand in a module, under its own name. Only worker processes need it; there it is asked once.
        """
        ...


@dataclass(frozen=True)
class Buffer:
    """Room for one batch."""

    number: int
    arrays: list[Array]


Buffers = Callable[[], Sequence[Array]]
"""Makes the arrays for one batch, (N, *sample shape) each, in whatever memory layout they are to have."""

Make = Callable[[int, Buffer], Made]
"""Makes the batch at a position in a buffer: a maker's `make`, here or in a worker process."""
