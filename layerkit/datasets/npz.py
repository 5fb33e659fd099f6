"""Samples from an .npz file that someone wrote with `np.savez(path, data=x, label=y)`.

Arrays are offered as `data`, `label`, then the rest in the file's order; each has N samples along its first axis.
"""

from __future__ import annotations

from layerkit import arrayfile
from layerkit.datasets.source import ArraySource, Header, Source, check_headers, in_order
from layerkit.errors import DataError, SnapshotError


def describe(source: str) -> Header:
    """Names, shapes and length, from the file's headers. Raises DataError for a missing, broken or unfit file."""
    try:
        arrays = in_order(arrayfile.header(source))
    except SnapshotError as error:
        raise DataError(str(error)) from None
    check_headers(repr(source), arrays)
    return Header.of(arrays)


def open_source(source: str) -> Source:
    """The file's samples, all read into memory. Raises DataError for a missing, broken or unfit file."""
    try:
        arrays, _ = arrayfile.load(source)
    except SnapshotError as error:
        raise DataError(str(error)) from None
    return ArraySource(repr(source), in_order(arrays))
