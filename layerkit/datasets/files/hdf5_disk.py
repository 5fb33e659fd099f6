"""The disk under an HDF5 file that is written."""

from __future__ import annotations

import os
from pathlib import Path


class Disk:
    """A new file that HDF5 writes through h5py's driver for Python's files; it takes every write, also when it fails.

    HDF5 cannot get over a write that fails: what it holds of the file fails again as that is let go of, until the
    process ends in a segmentation fault. So the first failure is kept, for `check` to raise, and what is to be written
    from then on stays in memory, where HDF5 finds it again until it has closed its file. Whoever writes much calls
    `check` now and then. Raises OSError where the file cannot be made.
    """

    def __init__(self, path: Path):
        self._file = path.open("w+b", buffering=0)  # HDF5 gathers small writes itself
        self._at = 0
        self._failure: BaseException | None = None
        self._unwritten: list[tuple[int, bytes]] = []

    def check(self) -> None:
        """Raise what kept the file from being written, if anything did."""
        if self._failure is not None:
            raise self._failure

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte, counted from the start or, with SEEK_END, from the end."""
        end = self._end() if whence == os.SEEK_END else 0
        self._at = end + offset
        return self._at

    def tell(self) -> int:
        """Where the next byte is read or written."""
        return self._at

    def read(self, size: int) -> bytes:
        """`size` bytes; see `readinto`."""
        found = bytearray(size)
        self.readinto(memoryview(found))
        return bytes(found)

    def readinto(self, into: memoryview) -> int:
        """Fill `into`, with zeros where nothing was written."""
        start, rest = self._at, into
        self._file.seek(start)
        while rest and (count := self._file.readinto(rest)):
            rest = rest[count:]
        rest[:] = bytes(len(rest))
        end = start + len(into)
        for at, held in self._unwritten:
            first, last = max(start, at), min(end, at + len(held))
            if first < last:
                into[first - start : last - start] = held[first - at : last - at]
        self._at = end
        return len(into)

    def write(self, part: memoryview) -> int:
        """Write all of `part`, or keep it and why it could not be written."""
        if self._failure is None:
            try:
                self._file.seek(self._at)
                rest = part
                while rest:
                    rest = rest[self._file.write(rest) :]  # a disk that fills up takes some of it first
            except BaseException as error:  # of an interrupt, too, HDF5 must not hear
                self._failure = error
        if self._failure is not None:
            self._unwritten.append((self._at, bytes(part)))
        self._at += len(part)
        return len(part)

    def truncate(self, size: int) -> int:
        """Make the file so long."""
        if self._failure is None:
            try:
                self._file.truncate(size)
            except BaseException as error:
                self._failure = error
        return size

    def flush(self) -> None:
        """Nothing: all that could be written has been."""

    def close(self) -> None:
        """Let go of the file, once HDF5 has."""
        self._unwritten.clear()
        self._file.close()

    def _end(self) -> int:
        return max(self._file.seek(0, os.SEEK_END), *(at + len(held) for at, held in self._unwritten), 0)
