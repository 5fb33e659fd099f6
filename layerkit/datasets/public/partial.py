"""What has come of a file so far: `NAME.part`, and beside it a note from where it came, so that it can be gone on with.

The note is locked as long as a process works on the file, by the operating system, so that no process that was killed
leaves a lock behind.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
from pathlib import Path
from typing import IO

from layerkit.datasets.public import disk
from layerkit.errors import DataError

_BUSY = {errno.EAGAIN, errno.EACCES, errno.EDEADLK}
_LOCKED_BYTE = 1 << 30  # Windows locks bytes, also for reading: one that the note does not have


class Partial:
    """A file that is being fetched; a context manager that closes it and keeps what has come.

    Raises DataError, in one sentence, where another process works on it or the disk refuses it.
    """

    def __init__(self, path: Path):
        self._final = path
        self.path = path.with_name(path.name + ".part")
        self._note_path = path.with_name(path.name + ".part.json")
        self._file: IO[bytes] | None = None
        with disk.saving(self.path):
            self._note = self._locked_note()
        self.url, self.validator = self._read_note()

    @property
    def size(self) -> int:
        """Bytes that have come."""
        if self._file is not None:
            return self._file.tell()
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def begin(self, url: str, validator: str | None) -> None:
        """Start over with the file at `url`; the validator (an ETag or a date) tells later whether it is still that."""
        self._close_file()
        with disk.saving(self.path):
            self._file = open(self.path, "wb")  # noqa: SIM115 (closed by `close`)
            self._note.seek(0)
            self._note.truncate()
            self._note.write(json.dumps({"url": url, "validator": validator}).encode())
        self.url, self.validator = url, validator

    def go_on(self) -> None:
        """Write behind what has come."""
        if self._file is None:
            with disk.saving(self.path):
                self._file = open(self.path, "ab")  # noqa: SIM115 (closed by `close`)

    def write(self, block: bytes) -> None:
        """Add bytes, after `begin` or `go_on`."""
        assert self._file is not None
        with disk.saving(self.path):
            self._file.write(block)

    def flush(self) -> None:
        """Bring all that has come to the disk itself."""
        if self._file is not None:
            with disk.saving(self.path):
                self._file.flush()
                os.fsync(self._file.fileno())
        self._close_file()

    def finish(self) -> None:
        """Give the file its name, after `flush`."""
        disk.put_in_place(self.path, self._final)

    def discard(self) -> None:
        """Throw away what has come."""
        self._close_file()
        with disk.saving(self.path), contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self.url = self.validator = None

    def close(self) -> None:
        """Close all; the note goes unless there is something to go on with."""
        try:
            with disk.saving(self.path):
                self._close_file()
        finally:
            if not self.path.exists():
                with contextlib.suppress(OSError):  # Windows lets no open file go; the note is then left
                    self._note_path.unlink()
            self._note.close()

    def __enter__(self) -> Partial:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _locked_note(self) -> IO[bytes]:
        while True:
            note = open(self._note_path, "a+b", buffering=0)  # noqa: SIM115 (closed by `close`)
            try:
                self._lock(note)
                if _same(note, self._note_path):  # else another process finished and removed it in between
                    return note
            except BaseException:
                note.close()
                raise
            note.close()

    def _lock(self, note: IO[bytes]) -> None:
        try:
            if sys.platform == "win32":
                import msvcrt

                note.seek(_LOCKED_BYTE)
                msvcrt.locking(note.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _BUSY:
                raise DataError(f"another process is fetching '{self._final}' now; wait for it") from None
            # a file system without locks: the hash at the end finds what two processes at once would spoil

    def _read_note(self) -> tuple[str | None, str | None]:
        with disk.saving(self.path):
            self._note.seek(0)
            text = self._note.read()
        try:
            note = json.loads(text)
            return str(note["url"]), None if note["validator"] is None else str(note["validator"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return None, None


def _same(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
