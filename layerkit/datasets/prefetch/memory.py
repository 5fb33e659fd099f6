"""Memory that several processes see, laid out as the arrays of some batches.

It is a file without a name, which a process gets as an open descriptor. So nothing has to be removed, however a process
ends: the system frees the memory with the last process that has it. On Linux it lies in no file system, so that the
few megabytes that containers have as /dev/shm are no limit.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from layerkit.blob import ALIGNMENT, Array, Shape
from layerkit.errors import DataError


class Layout(NamedTuple):
    """How an array lies in memory."""

    shape: Shape
    dtype: str
    axes: tuple[int, ...]
    """The axes from the one with the widest steps to the one whose elements are neighbours."""

    @classmethod
    def of(cls, array: Array) -> Self:
        """The layout of an array whose elements lie close together, in whatever order of the axes."""
        axes = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
        return cls(array.shape, array.dtype.str, tuple(axes))

    @property
    def bytes(self) -> int:
        """Size of the array, rounded up to where the next may begin."""
        size = math.prod(self.shape) * np.dtype(self.dtype).itemsize
        return -(-size // ALIGNMENT) * ALIGNMENT

    def over(self, memory: Any, offset: int) -> Array:
        """An array of this layout that begins `offset` bytes into memory."""
        flat = np.frombuffer(memory, self.dtype, math.prod(self.shape), offset)
        lying = flat.reshape([self.shape[axis] for axis in self.axes])
        return lying.transpose(np.argsort(self.axes))


class Memory:
    """Room for `count` batches whose arrays have these layouts; `descriptor` is given where a process has it already.

    Arrays stay valid as long as somebody holds them. Raises DataError where there is not that much memory.
    """

    def __init__(self, layouts: Sequence[Layout], count: int, descriptor: int | None = None):
        self.layouts = list(layouts)
        self.count = count
        self._stride = sum(layout.bytes for layout in layouts)
        size = max(1, self._stride * count)
        self.descriptor = _unnamed(size) if descriptor is None else descriptor
        """What another process opens it by."""
        self._close = weakref.finalize(self, os.close, self.descriptor)
        self._map = mmap.mmap(self.descriptor, size)

    def arrays(self, number: int) -> list[Array]:
        """The arrays of batch `number`, from 0 to `count` - 1."""
        found, offset = [], number * self._stride
        for layout in self.layouts:
            found.append(layout.over(self._map, offset))
            offset += layout.bytes
        return found

    def close(self) -> None:
        """Close the descriptor, which no other process will need any more."""
        self._close()


def _unnamed(size: int) -> int:
    """The descriptor of a file without a name, of this many bytes."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("layerkit")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        os.truncate(descriptor, size)
        if hasattr(os, "posix_fallocate"):  # a lack of memory is better met here than when it is written to
            os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        os.close(descriptor)
        raise DataError(
            f"there are no {size / 2**20:.0f} MiB of memory for batches made ahead ({error.strerror}); "
            "make fewer ahead, or smaller ones"
        ) from None
    return descriptor
