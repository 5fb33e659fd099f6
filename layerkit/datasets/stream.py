"""Stream: which samples come when. A batch is a function of its position alone, so that any thread may make it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from layerkit.blob import Array
from layerkit.errors import DataError
from layerkit.words import counted

Generator = Callable[..., np.random.Generator]
"""`generator(*key)`: a fresh generator, a pure function of its own seed and `key`."""

LastBatch = Literal["wrap", "keep", "drop"]
Order = Callable[[np.random.Generator], Array]
"""One epoch's order of the samples, (length,), drawn from a generator."""


class Stream:
    """Epoch after epoch of `length` samples, cut into batches of `batch_size`; a position counts samples from 0 on.

    `order` draws an epoch's order, which is a function of the generator's seed and the epoch alone; without it samples
    come in their own. Of what is left at the end of an epoch, `wrap` fills the batch up from the next epoch, `keep`
    makes a smaller batch, and `drop` nothing. `skip` leaves out as many samples at the very beginning.

    Raises DataError where `drop` leaves nothing.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        *,
        last_batch: LastBatch = "wrap",
        order: Order | None = None,
        generator: Generator | None = None,
        skip: int = 0,
    ):
        self._batch_size = batch_size
        self._keeps = last_batch == "keep"
        self._order = order
        self._generator = generator
        self._skip = skip
        self._samples = np.arange(length)
        self._length = length - length % batch_size if last_batch == "drop" else length
        if not self._length:
            raise DataError(
                f"last_batch: drop leaves nothing of {counted(length, 'sample')} in batches of {batch_size}"
            )
        self._kept: tuple[tuple[int, Array], ...] = ()
        """The orders of the last epochs; threads may make batches on both sides of an epoch's end."""

    @property
    def batches(self) -> int:
        """Forward passes that read every sample once (with `drop`: every one that is read)."""
        return -(-self._length // self._batch_size)

    def after(self, position: int) -> int:
        """The position of the batch that follows the one at `position`."""
        return position + self._count(position)

    def batch(self, position: int) -> tuple[Array, Array]:
        """The batch at `position`: its samples' numbers and the epoch that each belongs to, (n,) int64 each."""
        count = self._count(position)
        epoch, start = divmod(self._skip + position, self._length)
        if start + count <= self._length:  # as nearly all are
            return self._order_of(epoch)[start : start + count], np.full(count, epoch)
        indices, epochs = [], []
        while count > 0:
            here = self._order_of(epoch)[start : min(start + count, self._length)]
            indices.append(here)
            epochs.append(np.full(len(here), epoch))
            count, epoch, start = count - len(here), epoch + 1, 0
        return np.concatenate(indices), np.concatenate(epochs)

    def _count(self, position: int) -> int:
        if not self._keeps:
            return self._batch_size
        return min(self._batch_size, self._length - (self._skip + position) % self._length)

    def _order_of(self, epoch: int) -> Array:
        if self._order is None or self._generator is None:
            return self._samples
        kept = self._kept  # read once: another thread may replace it meanwhile, by what is as good
        for known, order in kept:
            if known == epoch:
                return order
        order = self._order(self._generator(epoch))
        self._kept = (*kept[-1:], (epoch, order))
        return order


def shuffled(length: int) -> Order:
    """Every sample once, at random."""
    return lambda rng: rng.permutation(length)


def balanced(labels: Array) -> Order:
    """As many samples as there are, of each class equally many (to within one): small classes come several times.

    A class's samples all come before one of them comes again.
    """
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]

    def order(rng: np.random.Generator) -> Array:
        count = -(-len(labels) // len(members))  # of each class
        drawn = [_over_and_over(rng, each, count) for each in members]
        rounds = np.array(drawn)[rng.permutation(len(drawn))]  # (classes, count); what is cut off is of any class
        return rng.permutation(rounds.T.reshape(-1)[: len(labels)])

    return order


def by_file(starts: Sequence[int]) -> Order:
    """The files in an order, and each file's samples in one; `starts` are their first numbers, then the length."""

    def order(rng: np.random.Generator) -> Array:
        parts = [start + rng.permutation(end - start) for start, end in itertools.pairwise(starts)]
        return np.concatenate([parts[file] for file in rng.permutation(len(parts))])

    return order


def _over_and_over(rng: np.random.Generator, members: Array, count: int) -> Array:
    times = -(-count // len(members))
    return np.concatenate([rng.permutation(members) for _ in range(times)])[:count]
