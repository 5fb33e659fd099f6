"""Labels as vectors, and samples mixed in pairs, whose labels are mixed alike."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from layerkit.blob import Array, shape_text
from layerkit.datasets.transforms.base import FLOAT, Layout, Samples, Transform
from layerkit.errors import DataError, ShapeError

_CLASSES = "Number of classes, K; by default as many as the dataset names."


class OneHot(Transform):
    """Make a vector of each label: 1 for its class and 0 for the others, (K,)."""

    of_labels: ClassVar[bool] = True

    type: Literal["one_hot"] = "one_hot"
    num_classes: int | None = Field(None, gt=0, description=_CLASSES)

    def plan(self, layout: Layout) -> Layout:
        if len(layout.shapes) < 2:
            raise ShapeError("it needs labels, but the layer has one top only")
        if layout.shapes[1] != ():
            raise ShapeError(f"it takes labels of one number a sample, not of shape {shape_text(layout.shapes[1])}")
        return _with_vectors(layout, self.num_classes)

    def apply(self, samples: Samples) -> None:
        samples.arrays[1] = _vectors(samples, self.num_classes)


class _Mixing(Transform):
    """What both have in common: labels become vectors, each sample has a partner and a share that is its own.

    The partners of a batch go round in a circle, in the order of a number that is drawn for each sample.
    """

    random: ClassVar[bool] = True

    alpha: float = Field(1.0, gt=0, description="Shares are drawn from Beta(alpha, alpha): a small one mixes little.")
    p: float = Field(1.0, ge=0, le=1, description="Share of the samples that are mixed, at random.")
    num_classes: int | None = Field(None, gt=0, description=_CLASSES)

    def plan(self, layout: Layout) -> Layout:
        if not layout.settled:
            raise ShapeError("it takes images of one size; put a resize or a crop in front of it")
        if len(layout.shapes) < 2:
            return layout
        if len(layout.shapes[1]) > 1:
            raise ShapeError(f"it takes labels of one class a sample, not of shape {shape_text(layout.shapes[1])}")
        return layout if layout.shapes[1] else _with_vectors(layout, self.num_classes)

    def mix_labels(self, samples: Samples, partner: Array, share: Array) -> None:
        """Put mixed labels in the place of the labels: `share` of its own and the rest of its partner's."""
        if len(samples.arrays) > 1:
            whole = samples.arrays[1].ndim == 1
            vectors = _vectors(samples, self.num_classes) if whole else samples.arrays[1].astype(FLOAT)
            samples.arrays[1] = _mixed(vectors, partner, share)

    def draw(self, samples: Samples) -> tuple[Array, Array]:
        """The row of each sample's partner, (k,), and the share that is its own, (k,)."""
        drawn = samples.uniform(2)
        order = np.argsort(drawn[:, 0], kind="stable")
        partner = np.empty_like(order)
        partner[order] = np.roll(order, -1)
        return partner, np.where(drawn[:, 1] < self.p, samples.beta(self.alpha, 1), 1)


class Mixup(_Mixing):
    """Add another sample of the batch to each one, and its label to the label, in random shares.

    Source: H. Zhang et al., "mixup: beyond empirical risk minimization", 2017, with a share for each sample.
    """

    type: Literal["mixup"] = "mixup"

    def plan(self, layout: Layout) -> Layout:
        return super().plan(layout).with_data(dtype=FLOAT)

    def apply(self, samples: Samples) -> None:
        partner, share = self.draw(samples)
        samples.data = _mixed(samples.data, partner, share)
        self.mix_labels(samples, partner, share)


class Cutmix(_Mixing):
    """Put a part of another sample of the batch over each one, and mix the labels by the area.

    Source: S. Yun et al., "CutMix: regularization strategy to train strong classifiers with localizable features",
    2019, with a part for each sample.
    """

    type: Literal["cutmix"] = "cutmix"

    def plan(self, layout: Layout) -> Layout:
        layout.image()
        return super().plan(layout)

    def apply(self, samples: Samples) -> None:
        partner, share = self.draw(samples)
        height, width = samples.data.shape[2:]
        sides = np.array([height, width])
        middle = (samples.uniform(2, 2) * sides).astype(np.int64)  # (k, 2)
        half = (sides * (np.sqrt(1 - share) / 2)[:, np.newaxis]).astype(np.int64)
        first, last = np.maximum(middle - half, 0), np.minimum(middle + half, sides)
        given, mixed = samples.data, samples.data.copy(order="K")
        for i, (top, left, bottom, right) in enumerate(np.concatenate([first, last], axis=1).tolist()):
            mixed[i, :, top:bottom, left:right] = given[partner[i], :, top:bottom, left:right]
        samples.data = mixed
        self.mix_labels(samples, partner, 1 - np.prod(last - first, axis=1) / (height * width))


def _with_vectors(layout: Layout, classes: int | None) -> Layout:
    """The layout once labels are vectors. Raises ShapeError where nobody says how many classes there are."""
    count = classes or layout.classes
    if not count:
        raise ShapeError("it needs num_classes, since the dataset does not name its classes")
    return replace(
        layout,
        shapes=(layout.shapes[0], (count,), *layout.shapes[2:]),
        dtypes=(layout.dtypes[0], FLOAT, *layout.dtypes[2:]),
    )


def _vectors(samples: Samples, classes: int | None) -> Array:
    """Labels (k,) as vectors (k, K). Raises DataError for a label that is no class."""
    labels, count = samples.arrays[1], classes or samples.classes
    known = labels == np.arange(count)[:, np.newaxis]  # (K, k)
    found = known.any(axis=0)
    if not found.all():
        row = int(found.argmin())
        where = f"label {labels[row]:g} of {samples.place(int(samples.indices[row]))}"
        raise DataError(f"{where} is no class, which are 0 to {count - 1}")
    vectors: Array = known.T.astype(FLOAT)
    return vectors


def _mixed(given: Array, partner: Array, share: Array) -> Array:
    """share * x + (1 - share) * its partner, float32, of arrays (k, ...)."""
    own = share.astype(FLOAT).reshape(-1, *(1 for _ in given.shape[1:]))
    mixed: Array = np.multiply(given, own, dtype=FLOAT, casting="unsafe")
    other = np.multiply(given[partner], 1 - own, dtype=FLOAT, casting="unsafe")
    mixed += other
    return mixed
