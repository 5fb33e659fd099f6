"""Reading text files in UTF-8, with or without a byte order mark, whatever ends their lines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from layerkit.errors import DataError


@contextmanager
def reading(path: str) -> Iterator[TextIO]:
    """The open file; what goes wrong while it is read becomes a DataError, which for other encodings names the line."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            yield file
    except OSError as error:
        raise _unreadable(path, error) from None
    except UnicodeDecodeError:
        raise DataError(f"'{path}', line {_foreign(path)}: this is not text in UTF-8; save the file as such") from None


def stamp(path: str) -> tuple[int, ...]:
    """What is different for another file, and for this one once it has changed. Raises DataError."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise _unreadable(path, error) from None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _unreadable(path: str, error: OSError) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"there is no file {path!r}")
    return DataError(f"'{path}' cannot be read: {error.strerror or error}")


def _foreign(path: str) -> int:
    """The first line that is not UTF-8."""
    with open(path, "rb") as file:
        return next((number for number, line in enumerate(file, 1) if not _is_utf8(line)), 1)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
