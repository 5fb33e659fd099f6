"""Where samples come from: bundled and known sets, .npz files, and arrays that a program registers.

`describe` says what a dataset holds from headers and known facts, so that a net can be checked without its files;
`open_source` reads it. A named dataset has the parts `train` and `test`; an .npz file is one part by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from layerkit.datasets import (
    cifar10,
    cifar100,
    digit_pairs,
    digits,
    fashion_mnist,
    mnist,
    npz,
    parity,
    registered,
    shakespeare,
    shapes,
)
from layerkit.datasets.source import ArraySource, Header, Part, Source
from layerkit.errors import DataError, UnknownNameError, UsageError


class _BuiltIn(Protocol):
    """What the module of a built-in set offers."""

    def describe(self, source: str | None, part: Part) -> Header: ...
    def open_source(self, source: str | None, part: Part) -> Source: ...


_BUILT_IN: dict[str, _BuiltIn] = {
    "cifar10": cifar10,
    "cifar100": cifar100,
    "digit_pairs": digit_pairs,
    "digits": digits,
    "fashion_mnist": fashion_mnist,
    "mnist": mnist,
    "parity": parity,
    "shakespeare": shakespeare,
    "shapes": shapes,
}


def describe(dataset: str | None, source: str | None, part: Part) -> Header:
    """What the dataset's samples are, without reading them.

    `dataset` is a name and `source` its path where it needs one; without a `dataset`, `source` is an .npz file.
    Raises UnknownNameError for a dataset that does not exist, DataError for a source that is missing, broken or unfit.
    """
    if dataset is None:
        return npz.describe(_npz(source))
    if dataset in _BUILT_IN:
        return _BUILT_IN[dataset].describe(source, part)
    return registered.describe(_known(dataset), source, part)


def open_source(dataset: str | None, source: str | None, part: Part) -> Source:
    """The dataset's samples; arguments and errors as in `describe`, and DataError for values that are not finite."""
    if dataset is None:
        return npz.open_source(_npz(source))
    if dataset in _BUILT_IN:
        return _BUILT_IN[dataset].open_source(source, part)
    return registered.open_source(_known(dataset), source, part)


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
    if name in _BUILT_IN:
        raise UsageError(f"a dataset {name!r} is built in; choose another name")
    registered.add(name, train, test, class_names)


def dataset_names() -> list[str]:
    """The names that `dataset` can have now, sorted."""
    return sorted([*_BUILT_IN, *registered.names()])


def _known(dataset: str) -> str:
    if dataset not in registered.names():
        raise UnknownNameError("dataset", dataset, dataset_names())
    return dataset


def _npz(source: str | None) -> str:
    if source is None:
        raise DataError("a source of samples needs the name of a dataset, or the path of an .npz file as its source")
    if Path(source).suffix.lower() != ".npz":
        raise DataError(f"{source!r} is no .npz file; a source of another kind needs the name of its dataset too")
    return source


__all__ = ["ArraySource", "Header", "Part", "Source", "add_dataset", "dataset_names", "describe", "open_source"]
