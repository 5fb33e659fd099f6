"""The values of an LMDB database, found by walking its B+ tree.

Reading needs no library. LMDB's own trusts the file: a cut or damaged one ends the process with a bus error, where this
raises DataError. Values are read by their place in the file, so that any number of threads and processes may read.

A page begins with its number (8 bytes), 2 unused ones, flags, and where its free space begins and ends (2 each); then
follow the places of its nodes, 2 bytes each. A node begins with the size of its value (4) and flags, or with the number
of the page below (6); then the length of its key (2), the key and the value. A value that is too large for the page has
pages of its own, and the node holds the number of the first one. Pages 0 and 1 tell the roots of two transactions.

Source: LMDB's mdb.c, data version 1, as 64-bit little-endian machines write it.
"""

from __future__ import annotations

import functools
import os
import struct
import threading
import weakref
from array import array
from collections.abc import Iterator
from typing import NamedTuple

from layerkit.errors import DataError
from layerkit.words import counted

FILE = "data.mdb"
"""The file of a database that is a folder."""

_MAGIC, _VERSION = 0xBEEFC0DE, 1
_BRANCH, _LEAF = 1, 2  # flags of a page
_OUTSIDE, _NO_VALUE = 1, 2 | 4  # flags of a value: it has pages of its own; it is a table, or a list of values
_DUPLICATES = 4  # a flag of a table: a key may have several values
_EMPTY = (1 << 64) - 1  # the root of an empty tree

_HEAD = struct.Struct("<QHHHH")
_NODE = struct.Struct("<HHHH")
_META = struct.Struct("<16x II16x I44x 4xH26xQQ 8xQ")


class _Root(NamedTuple):
    """What page 0 or 1 says, in its order."""

    magic: int
    version: int
    page_size: int
    flags: int
    entries: int
    page: int
    transaction: int


class _Index(NamedTuple):
    """Where values begin in the file, and their sizes in bytes."""

    starts: array[int]
    sizes: array[int]


class Values:
    """The values of a database, in the order of their keys; nothing may write to it meanwhile.

    `path` is a folder with data.mdb, or such a file. 16 bytes a value are kept. Raises DataError, naming the file, for
    one that is missing, damaged, empty, or holds anything but one table of keys with a value each.
    """

    def __init__(self, path: str):
        self._file = _File(path)
        try:
            self._index = _index(self._file.path, *self._file.state())
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._index.starts)

    def __getitem__(self, index: int) -> bytes:
        """A value. Raises DataError if the file has been cut since it was opened."""
        return self._file.read(self._index.starts[index], self._index.sizes[index])

    def spread(self) -> int:
        """How many bytes the longest value has more than the shortest."""
        return max(self._index.sizes) - min(self._index.sizes)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class _File:
    """Reads bytes by their place, in several threads at once; closed when nothing refers to it any more, if not before.

    Raises DataError.
    """

    def __init__(self, path: str):
        self.path = os.path.join(path, FILE) if os.path.isdir(path) else path
        try:
            self._file = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except FileNotFoundError:
            raise DataError(f"there is no file {self.path!r}") from None
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path!r} cannot be read: {getattr(error, 'strerror', error)}") from None
        self.close = weakref.finalize(self, os.close, self._file)
        self._lock = threading.Lock()

    def state(self) -> tuple[int, int]:
        """Size and time of the last change; another one is another file."""
        status = os.fstat(self._file)
        return status.st_size, status.st_mtime_ns

    def read(self, start: int, size: int) -> bytes:
        """These bytes. Raises DataError where the file ends before."""
        try:
            held = self._at(start, size)
        except OSError as error:
            raise DataError(f"{self.path!r} cannot be read: {error.strerror or error}") from error
        if len(held) < size:
            raise self.damaged(f"it ends within what lies at byte {start:,}")
        return held

    def damaged(self, what: str) -> DataError:
        """The error of a file that is not whole."""
        return DataError(f"{self.path!r} is no LMDB database, or is damaged: {what}")

    def _at(self, start: int, size: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file, size, start)
        with self._lock:  # Windows has only one position a file
            os.lseek(self._file, start, os.SEEK_SET)
            return os.read(self._file, size)


@functools.lru_cache(maxsize=8)
def _index(path: str, size: int, changed: int) -> _Index:
    """Walk the tree. The arguments after `path` tell files apart, for planning a net asks for the same one often."""
    file = _File(path)
    try:
        root = _newest(file)
        index = _Index(array("q"), array("q"))
        if root.page == _EMPTY:
            raise DataError(f"the database {path!r} holds nothing")
        for start, length in _places(file, root, size):
            index.starts.append(start)
            index.sizes.append(length)
        if len(index.starts) != root.entries:
            raise file.damaged(
                f"it says that it holds {counted(root.entries, 'value')}, but there are {len(index.starts):,}"
            )
        return index
    finally:
        file.close()


def _newest(file: _File) -> _Root:
    """The root of the last transaction."""
    first = _root(file, 0)
    if not 512 <= first.page_size <= 1 << 16 or first.page_size & (first.page_size - 1):
        raise file.damaged(f"its pages cannot be of {first.page_size:,} bytes")
    newest = max(first, _root(file, first.page_size), key=lambda root: root.transaction)
    if newest.flags & _DUPLICATES:
        raise _no_table(file)
    return newest._replace(page_size=first.page_size)


def _root(file: _File, start: int) -> _Root:
    root = _Root(*_META.unpack(file.read(start, _META.size)))
    if root.magic != _MAGIC:
        raise file.damaged("it does not begin as one of a 64-bit machine does")
    if root.version != _VERSION:
        raise DataError(f"{file.path!r} is of LMDB's data version {root.version}; only version {_VERSION} is read")
    return root


def _places(file: _File, root: _Root, size: int) -> Iterator[tuple[int, int]]:
    """Start and length of each value, in the order of the keys; all lie within the file."""
    pages, seen, waiting = size // root.page_size, 0, [root.page]
    while waiting:
        number = waiting.pop()
        seen += 1
        if not 2 <= number < pages or seen > pages:
            raise file.damaged(f"its tree leads to page {number:,} of {pages:,}" if seen <= pages else "it has a loop")
        page = file.read(number * root.page_size, root.page_size)
        own_number, _, kind, lower, upper = _HEAD.unpack_from(page)
        kind &= _BRANCH | _LEAF
        count = (lower - _HEAD.size) // 2
        if own_number != number or kind not in (_BRANCH, _LEAF) or count <= 0 or not lower <= upper <= len(page):
            raise file.damaged(f"page {number:,} of {pages:,} is no page of its tree")
        nodes = struct.unpack_from(f"<{count}H", page, _HEAD.size)
        if min(nodes) < upper or max(nodes) > len(page) - _NODE.size:
            raise file.damaged(f"a node of page {number:,} lies outside of it")
        if kind == _BRANCH:
            below = [_NODE.unpack_from(page, node) for node in nodes]
            waiting += [low | middle << 16 | high << 32 for low, middle, high, _ in reversed(below)]
            continue
        for node in nodes:
            low, high, flags, key = _NODE.unpack_from(page, node)
            start, length = node + _NODE.size + key, low | high << 16
            if flags & _NO_VALUE:
                raise _no_table(file)
            end = start + (8 if flags & _OUTSIDE else length)
            if end > len(page):
                raise file.damaged(f"a value of page {number:,} ends outside of it")
            at = number * root.page_size + start
            if flags & _OUTSIDE:
                at = int.from_bytes(page[start:end], "little") * root.page_size + _HEAD.size
                if at + length > size:
                    raise file.damaged(f"a value that page {number:,} tells of lies beyond its end")
            yield at, length


def _no_table(file: _File) -> DataError:
    return DataError(f"{file.path!r} holds several tables, or several values for a key, but samples lie in one table")
