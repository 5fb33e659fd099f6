"""Facts: what is known of samples when a run is to be written for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from layerkit.blob import Array, Shape, shape_text
from layerkit.datasets import Source
from layerkit.datasets.kinds import kind_of
from layerkit.datasets.reading import blocks
from layerkit.datasets.selection import Subset
from layerkit.errors import DataError, UsageError
from layerkit.report import samples
from layerkit.report.dataset import ArrayFacts, describe
from layerkit.spec.overrides import override
from layerkit.text import Map, to_python
from layerkit.words import counted

LOOKED_AT = 1000
"""Samples that are read, spread over all of them, for means and ranges."""
MOST_CLASSES = 1000
"""Whole-numbered labels from 0 on up to which they are taken for classes where nothing names these."""
LARGEST_SIDE = 96
"""Images with a longer side than this are made smaller, so that a first run takes minutes."""


@dataclass(frozen=True)
class Facts:
    """Samples by what a net has to know of them."""

    words: str
    """What they are, in words."""
    written: dict[str, Any]
    """How the Data layer names them: `dataset`, `source`."""
    divided: bool
    """Whether there is a part to test with; otherwise a share of the samples has to be."""
    count: int
    """Samples to train with."""
    shape: Shape
    """Of one sample as it is stored."""
    varies: bool
    """Whether images differ in size."""
    task: Literal["classes", "numbers", "text"]
    """What the labels are: a class, one or more amounts, or the same text one place later."""
    classes: int
    """How many there are; of a text, in its vocabulary; of numbers, how many a sample has."""
    means: Sequence[float] = ()
    """Of all values, of each channel, or of each number of a sample of a table."""
    stds: Sequence[float] = ()
    """The spread likewise; 1 where all values are the same."""
    label_mean: float = 0.0
    label_std: float = 1.0

    @property
    def is_image(self) -> bool:
        """Whether samples are (C, H, W), large enough for convolutions."""
        return len(self.shape) == 3 and min(self.shape[1:]) >= 6

    @property
    def side(self) -> int | None:
        """To how many pixels images are brought; None where they stay as they are."""
        large = self.is_image and (self.varies or max(self.shape[1:]) > LARGEST_SIDE)
        return 64 if large else None

    @property
    def seen(self) -> Shape:
        """Of one sample as the net gets it."""
        return self.shape if self.side is None else (self.shape[0], self.side, self.side)

    @property
    def batch(self) -> int:
        """Samples a batch: fewer where there are few, so that an epoch has several updates."""
        return next((size for least, size in ((1000, 64), (300, 32), (100, 16)) if self.count >= least), 8)

    @property
    def epochs(self) -> int:
        """Passes over the samples that make about a thousand updates, at least 2 and at most 100."""
        updates = max(1, self._trained // self.batch)
        return max(2, min(100, -(-1000 // updates)))

    @property
    def _trained(self) -> int:
        return self.count if self.divided else int(0.8 * self.count)


def look(name: str, kind: str | None, fields: Sequence[str], model: str | None) -> Facts:
    """What there is to know of samples, by their headers and by up to LOOKED_AT of them.

    `model` may be `regression`, which takes whole-numbered labels for amounts. Raises UsageError for samples that no
    starter is for, and what reading them raises.
    """
    found = samples.find(name, kind, fields)
    if found.layers:
        raise UsageError(f"{name!r} is a run already; give the samples themselves")
    part = found.choose(None)
    source = found.open(part)
    try:
        return _look(name, found, fields, source, as_numbers=model == "regression")
    finally:
        source.close()


def _look(name: str, found: samples.Found, fields: Sequence[str], source: Source, *, as_numbers: bool) -> Facts:
    header, count = source.header, len(source)
    data, *others = header.shapes
    if "label" not in others:
        listed = ", ".join(header.shapes)
        raise UsageError(f"{name!r} has no labels, which a starter needs to train with; its arrays: {listed}")
    shape, labels, names = header.shapes[data], header.shapes["label"], len(header.class_names)
    base = Facts(
        words=f"{name}: {counted(count, 'sample')} of {shape_text(shape)}{' (the first)' if header.varies else ''}",
        written=_written(name, found, fields),
        divided=bool({"test", "val"} & found.parts.keys()),
        count=count,
        shape=shape,
        varies=header.varies,
        task="text",
        classes=names,
    )
    if labels == shape and len(shape) == 1 and names and header.dtypes[data].kind in "iu":
        return replace(base, words=f"{name}: {count:,} windows of {shape[0]}, a vocabulary of {names:,}")
    chosen = Subset(source, np.unique(np.linspace(0, count - 1, min(count, LOOKED_AT)).astype(np.int64)))
    base, spread = _with_moments(base, chosen, data)
    classes = 0 if as_numbers or labels != () else names or _classes(source.labels())
    if classes:
        return replace(
            base, words=f"{base.words}, {counted(classes, 'class', 'classes')}", task="classes", classes=classes
        )
    if len(labels) > 1 or (names and labels == ()) or (labels and header.dtypes["label"].kind != "f"):
        what = "names of classes" if labels == () else f"labels of {shape_text(labels)}"
        one = "one class a sample, or some numbers, and for texts"
        raise UsageError(f"{name!r} has {what}, which no starter is for; there are some for {one}")
    width = labels[0] if labels else 1
    words = f"{base.words}, labels of {counted(width, 'number')}"
    return replace(
        base, words=words, task="numbers", classes=width, label_mean=spread.mean, label_std=spread.std or 1.0
    )


def _with_moments(base: Facts, chosen: Source, data: str) -> tuple[Facts, ArrayFacts]:
    """The same with the means and spreads of some samples; and what is known of their labels."""
    found = {each.name: each for each in describe("", chosen).arrays}
    if not found:
        raise DataError("none of the samples that were looked at can be read; layerkit data info says why")
    means, stds = found[data].channel_means or [found[data].mean], found[data].channel_stds or [found[data].std]
    if len(base.shape) == 1:
        rows = np.concatenate([block.arrays[data] for block in blocks(chosen)]).astype(np.float64)
        means, stds = rows.mean(axis=0).tolist(), rows.std(axis=0).tolist()
    return replace(base, means=means, stds=[std if std > 0 else 1.0 for std in stds]), found["label"]


def _written(name: str, found: samples.Found, fields: Sequence[str]) -> dict[str, Any]:
    """How a Data layer says what the command line said."""
    said = Map()
    for each in fields:
        override(said, each)
    kind, own = found.kind, to_python(said)
    if found.source is None:
        return {"dataset": {"type": kind, **own} if own else kind}
    known = kind_of(name)
    named = own or known is None or known.model_fields["type"].default != kind
    return {"source": name, **({"dataset": {"type": kind, **own}} if named else {})}


def _classes(labels: Array) -> int:
    """How many classes labels tell apart; 0 where they are amounts."""
    if (labels != np.floor(labels)).any() or labels.min() < 0 or labels.max() >= MOST_CLASSES:
        return 0
    different = np.unique(labels).size
    count = int(labels.max()) + 1
    return count if different > 1 and 2 * different >= count and different <= max(2, labels.size // 3) else 0
