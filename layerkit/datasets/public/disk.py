"""Writing of fetched files: room, folders, hashes, and one sentence for what a disk refuses."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from layerkit.arrayfile import FULL, size_text, sync_folder
from layerkit.errors import DataError


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """Turn an OSError into a DataError that says why the file `path` cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DataError(f"'{path}' cannot be written: the disk is full") from error
        raise DataError(f"'{path}' cannot be written: {error.strerror or error}") from error


def make_folder(folder: Path) -> None:
    """Make a folder and those above it where they are not there. Raises DataError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "set LAYERKIT_DATA to a folder that you may write to"
        raise DataError(f"the folder '{folder}' cannot be made: {error.strerror or error}; {hint}") from error


def check_room(path: Path, size: int) -> None:
    """Raise DataError unless the disk of the file `path` has room for `size` bytes more."""
    with saving(path):
        free = shutil.disk_usage(path.parent).free
    if free < size:
        room = f"it needs {size_text(size)}, and {size_text(free)} are free"
        raise DataError(f"'{path}' cannot be written: the disk is too full: {room}")


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal. Raises DataError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror or error}") from error


def put_in_place(temporary: Path, path: Path) -> None:
    """Give a file that was flushed to the disk its name. Raises DataError."""
    with saving(path):
        os.replace(temporary, path)
        sync_folder(path.parent)
