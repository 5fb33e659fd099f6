"""Drawn and Synthetic: the bases of sets that are drawn from a seed."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from layerkit.blob import Array
from layerkit.datasets.dataset import Dataset
from layerkit.datasets.source import ArraySource, Header, Source

_MOST = 10_000_000
_STREAM = {"train": 0, "test": 1}


class Drawn(Dataset):
    """Samples drawn from `seed`; the two parts are different draws. It takes no source."""

    samples: int = Field(500, ge=2, le=_MOST, description="Samples to train with.")
    test_samples: int = Field(500, ge=2, le=_MOST, description="Samples to test with.")
    seed: int = Field(0, ge=0, description="Another seed draws other samples.")

    def count(self, part: str) -> int:
        """How many samples a part has."""
        return self.samples if part == "train" else self.test_samples

    def rng(self, part: str) -> np.random.Generator:
        """What a part is drawn from."""
        return np.random.default_rng((self.seed, _STREAM[part]))


class Synthetic(Drawn):
    """Points with a label each.

    `data` is (dimensions,), float32. `label` is the number of a class, int64, where there are class names, and
    otherwise a real number, float32. A subclass says by `draw` what the points are.
    """

    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, by label; none where the label is a real number."""
        return ()

    def size(self) -> int:
        """Numbers a point has."""
        return 2

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Array, Array]:
        """`count` points, (count, size), and their labels, (count,)."""
        raise NotImplementedError(f"{type(self).__name__} draws nothing")

    def describe(self, source: str | None, part: str) -> Header:
        """Known without drawing anything. Raises DataError if a `source` is given: the set is drawn."""
        self.no_source(source)
        names = self.class_names()
        dtypes = {"data": np.dtype(np.float32), "label": np.dtype(np.int64 if names else np.float32)}
        return Header({"data": (self.size(),), "label": ()}, dtypes, self.count(part), names)

    def open(self, source: str | None, part: str) -> Source:
        """The points of one part. Raises DataError if a `source` is given."""
        header = self.describe(source, part)
        points, labels = self.draw(self.rng(part), self.count(part))
        arrays = {"data": points, "label": labels}
        arrays = {name: array.astype(header.dtypes[name]) for name, array in arrays.items()}
        return ArraySource(self.type, arrays, header.class_names)


class Classes(Synthetic):
    """Base of the sets of two classes or more, of which each has the same share of the samples, within one."""

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Array, Array]:
        """Points of each class, in a random order."""
        labels = rng.permutation(np.arange(count) % len(self.class_names()))
        return self.points(rng, labels)

    def points(self, rng: np.random.Generator, labels: Array) -> tuple[Array, Array]:
        """A point of each of these classes, (N, size), and the label that it gets, (N,), which noise may change."""
        raise NotImplementedError(f"{type(self).__name__} draws no points")


def around(radius: Array, angle: Array) -> Array:
    """Points at these distances from the origin and these angles, clockwise from the top, (N, 2)."""
    return np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
