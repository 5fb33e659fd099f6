"""Selection: a part of a dataset, as the dataset has it, in a file of its own, or as a share of all samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.datasets import registered
from layerkit.datasets.dataset import Dataset
from layerkit.datasets.kinds import KINDS, kind_of
from layerkit.datasets.picture import Picture
from layerkit.datasets.public.archives import expect_none
from layerkit.datasets.registered import Registered
from layerkit.datasets.source import Header, Source
from layerkit.errors import DataError, UnknownNameError, did_you_mean
from layerkit.words import counted

Split = Literal["random", "stratified", "in_order"]

WHOLE = "train"
"""The part of a dataset that is divided where shares are asked for."""


@dataclass(frozen=True)
class Selection:
    """Which samples of a dataset are meant."""

    dataset: Dataset
    source: str | None
    part: str
    """The dataset's part."""
    share: tuple[float, float] | None = None
    """From where to where, of 0 to 1, in the divided samples; None is all of them."""
    split: Split = "random"
    """How samples are divided: at random, at random within each class, or in their order."""
    seed: int = 0
    """Another seed divides otherwise."""

    def describe(self) -> Header:
        """What the samples are, without reading them. Raises DataError for what is missing, broken or unfit."""
        header = self.dataset.describe(self.source, self.part)
        if self.share is None:
            return header
        known = header.length is not None and self.split == "random"
        return replace(header, length=_length(header.length or 0, self.share) if known else None)

    def open(self) -> Source:
        """The samples. Raises DataError for what is missing, broken, unfit or empty."""
        source = self.dataset.open(self.source, self.part)
        if self.share is None:
            return source
        indices = self._divided(source)
        if not len(indices):
            low, high = self.share
            raise DataError(f"a share of {high - low:g} of {counted(len(source), 'sample')} holds none")
        return Subset(source, indices)

    def _divided(self, source: Source) -> Array:
        """Numbers of the share's samples, in their order."""
        assert self.share is not None
        count, rng = len(source), np.random.default_rng(self.seed)
        first, last = (_bound(count, each) for each in self.share)
        if self.split == "in_order":
            if first and self.dataset.overlaps:
                first = min(first + source.header.overlap, last)  # these share values with the part before
            return np.arange(first, last)
        order = rng.permutation(count)
        if self.split == "random":
            return np.sort(order[first:last])
        labels = source.labels()[order]
        chosen = []
        for label in np.unique(labels):
            among = order[labels == label]
            low, high = (_bound(len(among), each) for each in self.share)
            chosen.append(among[low:high])
        return np.sort(np.concatenate(chosen))


class Subset(Source):
    """Some samples of another source, numbered anew."""

    def __init__(self, source: Source, indices: Array):
        self._source = source
        self._indices = indices
        self.in_memory = source.in_memory
        self.header = replace(source.header, length=len(indices))

    def read(self, indices: Array, out: Mapping[str, Array] | None = None) -> tuple[Array, ...]:
        """Samples of the other source; see Source."""
        return self._source.read(self._indices[indices], out)

    def sample(self, index: int) -> Mapping[str, Array]:
        """A sample of the other source."""
        return self._source.sample(int(self._indices[index]))

    def shape_of(self, index: int) -> Shape:
        """That of a sample of the other source."""
        return self._source.shape_of(int(self._indices[index]))

    def as_read(self, index: int) -> Mapping[str, Array | Picture]:
        """A sample of the other source; see Source."""
        return self._source.as_read(int(self._indices[index]))

    def place(self, index: int) -> str:
        """What the other source calls it."""
        return self._source.place(int(self._indices[index]))

    def labels(self) -> Array:
        """The labels of these samples."""
        labels: Array = self._source.labels()[self._indices]
        return labels

    def verify(self) -> None:
        """Raise DataError where samples of the other source, of this share or not, are known to be missing."""
        self._source.verify()

    def close(self) -> None:
        """Close the other source."""
        self._source.close()


def select(
    dataset: str | Dataset | None,
    source: str | None,
    part: str,
    *,
    parts: Mapping[str, float | str] | None = None,
    split: Split | None = None,
    seed: int = 0,
) -> Selection:
    """The samples of one part.

    `dataset` is a kind of dataset, or its name; without one, the kind is told by `source`, a path. `parts` gives a
    share (of the dataset's train part, or of its only one) or a path for each part. A part that `parts` does not name
    is the dataset's own. Raises UnknownNameError for a dataset that does not exist, DataError for what does not fit.
    """
    parts = parts or {}
    given = parts.get(part)
    if isinstance(given, str):
        source = given
    kind = _kind(dataset, source)
    own = kind.parts_at(source)
    paths = {name: path for name, path in parts.items() if isinstance(path, str)}
    if isinstance(given, str):
        kind = kind.beside(paths)
    if isinstance(given, str) or (given is None and (part in own or not (parts or own))):
        return Selection(kind, source, part)
    if given is None:
        have = list(dict.fromkeys([*parts, *own]))
        hint = did_you_mean(part, have) or f"; it has: {', '.join(have)}"
        raise DataError(f"the dataset {kind.type!r} has no part {part!r}{hint}")
    shares = [float(each) for each in parts.values() if not isinstance(each, str)]
    at = [name for name, each in parts.items() if not isinstance(each, str)].index(part)
    share = sum(shares[:at]), min(sum(shares[: at + 1]), 1.0)
    in_order = kind.overlaps
    return Selection(kind, source, WHOLE, share, split or ("in_order" if in_order else "random"), seed)


def _kind(dataset: str | Dataset | None, source: str | None) -> Dataset:
    if isinstance(dataset, str):
        dataset = KINDS[dataset]() if dataset in KINDS else Registered(type=dataset)
    if isinstance(dataset, Registered) and dataset.type not in registered.names():
        raise UnknownNameError("dataset", dataset.type, sorted([*KINDS, *registered.names()]))
    if dataset is not None:
        return dataset
    if source is None:
        raise DataError("a source of samples needs the name of a dataset, or the path of a file as its source")
    kind = kind_of(source)
    if kind is None:
        _expect_something(Path(source))
        expect_none(source)
        raise DataError(
            f"{source!r} does not tell by its name of which kind it is; name its dataset too, one of: "
            f"{', '.join(name for name, each in KINDS.items() if not each.parts)}"
        )
    return kind()


def _expect_something(path: Path) -> None:
    """Raise DataError for a path where nothing is, or an empty folder."""
    if path.is_dir() and not any(path.iterdir()):
        raise DataError(f"the folder {str(path)!r} is empty")
    if not path.exists():
        beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"there is no file or folder {str(path)!r}{did_you_mean(path.name, beside)}")


def _bound(count: int, share: float) -> int:
    """How many of `count` samples lie before a share; the same for the end of one part and the start of the next."""
    return round(count * share)


def _length(count: int, share: tuple[float, float]) -> int:
    low, high = (_bound(count, each) for each in share)
    return high - low
