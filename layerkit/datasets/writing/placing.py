"""Files and folders that are made beside their place and put there whole, or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from layerkit.arrayfile import FULL
from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import DataError


class Writer(Protocol):
    """A dataset that grows, a batch of samples at a time, and appears in its place when it is closed."""

    def append(self, **arrays: Array) -> None:
        """Add samples, (k, *sample shape) of each array. Raises DataError for what the format cannot hold."""
        ...

    def close(self) -> None:
        """Put it in its place. Raises DataError."""
        ...

    def abandon(self) -> None:
        """Remove what there is of it. May be called at any time, also after `close`."""
        ...


@contextmanager
def whole(writer: Writer) -> Iterator[Writer]:
    """Close the writer at the end of the block; abandon it where the block, or closing, ends in an error."""
    try:
        yield writer
        writer.close()
    finally:
        writer.abandon()


def beside(path: Path) -> Path:
    """A name that nothing has, in the folder of `path`, for what is to become `path`. Raises DataError without one."""
    if not path.parent.is_dir():
        raise DataError(f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}")
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def put(temporary: Path, path: Path) -> None:
    """Give a finished file or folder its name, in the place of what has it. Raises OSError."""
    if not path.is_dir():
        os.replace(temporary, path)
        return
    old = beside(path)  # a folder that is not empty cannot be replaced in one go
    os.rename(path, old)
    try:
        os.rename(temporary, path)
    except OSError:
        os.rename(old, path)
        raise
    shutil.rmtree(old)


def expect_shape(path: Path, name: str, shape: Shape, found: Shape) -> None:
    """Raise DataError where samples of another shape are to follow those that are there."""
    if found != shape:
        was, now = shape_text(shape), shape_text(found)
        raise DataError(f"the samples of {name!r} in {str(path)!r} are {was}, so {now} cannot follow")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the system refuses inside into a DataError."""
    try:
        yield
    except OSError as error:
        reason = "the disk is full" if error.errno in FULL else error.strerror or error
        raise DataError(f"cannot write {str(path)!r}: {reason}") from error


def expect_free(path: Path, force: bool, ours: Callable[[Path], bool]) -> None:
    """Raise DataError if something is in the place of `path` that is not to be replaced.

    With `force` a file may be, and a folder where `ours` says that it holds nothing else than such a dataset.
    """
    if not os.path.lexists(path):
        return
    if not force:
        raise DataError(f"{str(path)!r} exists; --force replaces it")
    if path.is_dir() and any(path.iterdir()) and not ours(path):
        raise DataError(f"the folder {str(path)!r} holds other things, so it is not replaced; remove it by hand")
