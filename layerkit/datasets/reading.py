"""Reading a source from one end to the other, a block at a time, so that memory is bounded by the block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from layerkit.blob import Array
from layerkit.datasets.source import Header, Source
from layerkit.errors import DataError

_BYTES = 1 << 23  # of a block, so that it is read in one go and still stays in a processor's cache
_ROWS = 1024


class Block(NamedTuple):
    """Some samples of a source."""

    indices: Array
    """Their numbers, int64 (k,)."""
    arrays: dict[str, Array]
    """Each array by name, (k, *sample shape). Where samples differ in size, k is 1."""


def blocks(
    source: Source, indices: Array | None = None, skip: Callable[[int, DataError], object] | None = None
) -> Iterator[Block]:
    """The samples `indices` (int64, (n,)) in this order, or all in theirs.

    Samples that cannot be read are left out where `skip` is given, which is then told their number and what is wrong.
    Raises DataError for one otherwise.
    """
    rows = 1 if source.header.varies else rows_of(source.header)
    order = np.arange(len(source)) if indices is None else indices
    for start in range(0, len(order), rows):
        here = order[start : start + rows]
        try:
            block = _block(source, here)
        except DataError:
            if skip is None:
                raise
            yield from _readable(source, here, skip)
        else:
            yield block


def _readable(source: Source, here: Array, skip: Callable[[int, DataError], object]) -> Iterator[Block]:
    """Of a block that cannot be read as it is, the samples that can, one by one."""
    for index in here:
        try:
            block = _block(source, np.array([index]))
        except DataError as error:
            skip(int(index), error)
        else:
            yield block


def rows_of(header: Header) -> int:
    """How many samples make a block."""
    size = sum(math.prod(shape) * header.dtypes[name].itemsize for name, shape in header.shapes.items())
    return max(1, min(_ROWS, _BYTES // max(1, size)))


def _block(source: Source, here: Array) -> Block:
    if source.header.varies:
        sample = source.sample(int(here[0]))
        return Block(here, {name: np.asarray(sample[name])[np.newaxis] for name in source.header.shapes})
    return Block(here, dict(zip(source.header.shapes, source.read(here), strict=True)))
