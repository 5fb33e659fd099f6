"""Where samples come from: bundled and public sets, files of several formats, and arrays that a program registers.

A `Dataset` says which samples there are, in YAML; a `Selection` is a part of one. It is described from headers and
known facts, so that a net can be checked without its files, and opened as a `Source`, which gives samples by index.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from layerkit.datasets import registered
from layerkit.datasets.dataset import Dataset
from layerkit.datasets.kinds import KINDS, AnyDataset
from layerkit.datasets.selection import Selection, select
from layerkit.datasets.source import ArraySource, Header, Source
from layerkit.errors import UsageError


def describe(dataset: str | Dataset | None, source: str | None, part: str) -> Header:
    """What the samples of a part are, without reading them; arguments and errors as of `select`, and DataError."""
    return select(dataset, source, part).describe()


def open_source(dataset: str | Dataset | None, source: str | None, part: str) -> Source:
    """The samples of a part; arguments and errors as in `describe`, and DataError for values that are not finite."""
    return select(dataset, source, part).open()


def add_dataset(
    name: str,
    *,
    train: Mapping[str, Any],
    test: Mapping[str, Any] | None = None,
    class_names: Iterable[str] = (),
) -> None:
    """Make arrays known as `dataset: NAME` for the rest of this process; they are not copied.

    `train` and `test` map names to arrays of N samples along the first axis, `data` in the shape (N, C, H, W) or any
    other, `label` (N,); a Data layer's tops take `data`, `label`, then the rest in order. `class_names` go by label.
    A name that was added before is replaced. Raises UsageError for a built-in set's name, DataError for arrays that
    differ in length, are not numeric, or hold values that are not finite.
    """
    if name in KINDS:
        raise UsageError(f"a dataset {name!r} is built in; choose another name")
    registered.add(name, train, test, class_names)


def dataset_names() -> list[str]:
    """The names that `dataset` can have now, sorted."""
    return sorted([*KINDS, *registered.names()])


__all__ = [
    "AnyDataset",
    "ArraySource",
    "Dataset",
    "Header",
    "Selection",
    "Source",
    "add_dataset",
    "dataset_names",
    "describe",
    "open_source",
    "select",
]
