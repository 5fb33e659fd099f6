"""What a dataset holds: how many samples, of which shapes, in what range, of which classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.datasets.reading import blocks
from layerkit.datasets.source import Source
from layerkit.errors import DataError

MOST_CLASSES = 10_000
"""Different labels beyond which they are taken for quantities, not for classes."""
MOST_CHANNELS = 4
"""Channels up to which each has a mean of its own."""


@dataclass(frozen=True)
class ArrayFacts:
    """What is known of one array; its numbers are of the samples that could be read."""

    name: str
    shape: Shape
    """Of a sample; where samples differ, with the smallest sides."""
    largest: Shape
    """Of a sample; where samples differ, with the greatest sides."""
    dtype: str
    min: float
    max: float
    mean: float
    std: float
    channel_means: list[float]
    """Of images of a few channels; as stored, red, green, blue."""
    channel_stds: list[float]


@dataclass(frozen=True)
class PartFacts:
    """What is known of one part of a dataset."""

    part: str
    samples: int
    arrays: list[ArrayFacts]
    """Empty where no sample can be read."""
    classes: dict[str, int] | None
    """Class -> samples, in the order of labels; None where labels are no classes."""
    unreadable: int
    first_unreadable: str | None
    """What is wrong with the first of them."""


def describe(part: str, source: Source, advance: Callable[[int], object] = lambda count: None) -> PartFacts:
    """Read all samples of a part once; `advance` is told how many were read."""
    header = source.header
    moments = {name: _Moments(shape) for name, shape in header.shapes.items()}
    labels: Counter[float] | None = Counter() if header.shapes.get("label") == () else None
    wrong: list[str] = []

    def skip(index: int, error: DataError) -> None:
        wrong.append(str(error) if not wrong else "")
        advance(1)

    for block in blocks(source, skip=skip):
        for name, batch in block.arrays.items():
            moments[name].add(batch)
        if labels is not None:
            labels.update(block.arrays["label"].tolist())
            labels = labels if len(labels) <= MOST_CLASSES else None
        advance(len(block.indices))
    facts = [each.facts(name, header.dtypes[name].name) for name, each in moments.items() if each.count]
    classes = None if labels is None else _classes(labels, header.class_names)
    return PartFacts(part, len(source), facts, classes, len(wrong), wrong[0] if wrong else None)


def _classes(labels: Counter[float], names: tuple[str, ...]) -> dict[str, int] | None:
    """Samples by class, those that no sample has too; None where the labels are no whole numbers."""
    if any(label != int(label) for label in labels):
        return None
    counted = {int(label): count for label, count in sorted(labels.items())}
    named = {names[label] if 0 <= label < len(names) else str(label): count for label, count in counted.items()}
    return {**dict.fromkeys(names, 0), **named}


class _Moments:
    """Range, mean and spread of one array, by channel where it has a few."""

    def __init__(self, shape: Shape):
        self.count = 0
        """Values in a channel, or in all."""
        self._shape: Shape | None = None
        self._largest = shape
        self._channels = shape[0] if len(shape) == 3 and 1 < shape[0] <= MOST_CHANNELS else 1
        self._mean = np.zeros(self._channels)
        self._squares = np.zeros(self._channels)  # sums of squared differences from the mean
        self._low, self._high = np.inf, -np.inf

    def add(self, batch: Array) -> None:
        """Count samples, (k, *shape); by Chan's formula, so that a large mean costs no digits."""
        shape = batch.shape[1:]
        self._largest = shape if self._shape is None else tuple(map(max, self._largest, shape))
        self._shape = shape if self._shape is None else tuple(map(min, self._shape, shape))
        values = (np.moveaxis(batch, 1, 0) if self._channels > 1 else batch).reshape(self._channels, -1)
        self._low, self._high = min(self._low, float(values.min())), max(self._high, float(values.max()))
        more = values.shape[1]
        total = self.count + more
        apart = values.mean(axis=1, dtype=np.float64) - self._mean
        self._squares += values.var(axis=1, dtype=np.float64) * more + apart**2 * (self.count * more / total)
        self._mean += apart * (more / total)
        self.count = total

    def facts(self, name: str, dtype: str) -> ArrayFacts:
        """What was found."""
        assert self._shape is not None
        variance = self._squares / self.count
        mean = self._mean.mean()
        spread = np.sqrt((variance + (self._mean - mean) ** 2).mean())  # channels have equally many values
        by_channel = self._channels > 1
        return ArrayFacts(
            name,
            self._shape,
            self._largest,
            dtype,
            self._low,
            self._high,
            float(mean),
            float(spread),
            self._mean.tolist() if by_channel else [],
            np.sqrt(variance).tolist() if by_channel else [],
        )
