"""`digit_pairs`: pairs of the bundled digits, half of them twice the same digit: 1,437 to train with, 360 to test with.

Sample shape (2, 8, 8): two images as two channels, pixels 0..16. The label is 1 where both show the same digit, else 0.
The pairs are drawn from a fixed seed, so they are the same everywhere.

Source: layerkit's `digits`; the task is that of Caffe's siamese example.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from layerkit.datasets.bundled import digits
from layerkit.datasets.dataset import Dataset
from layerkit.datasets.source import ArraySource, Header, Source

CLASS_NAMES = ("different", "same")


class DigitPairs(Dataset):
    """Pairs of the bundled digits. It takes no source."""

    type: Literal["digit_pairs"] = "digit_pairs"

    def describe(self, source: str | None, part: str) -> Header:
        """Known without reading anything. Raises DataError if a `source` is given: the set is bundled."""
        self.no_source(source)
        byte = np.dtype(np.uint8)
        return Header(
            {"data": (2, 8, 8), "label": ()}, {"data": byte, "label": byte}, digits.LENGTHS[part], CLASS_NAMES
        )

    def open(self, source: str | None, part: str) -> Source:
        """The pairs of one part, each digit once as a first image. Raises DataError as the bundled digits do."""
        self.no_source(source)
        single = digits.Digits().open(None, part)
        images, labels = single.read(np.arange(len(single)))
        rng = np.random.default_rng(len(single))
        same = (np.arange(len(single)) % 2).astype(np.uint8)
        second = [
            rng.choice(np.flatnonzero((labels == label) == wanted)) for label, wanted in zip(labels, same, strict=True)
        ]
        return ArraySource(
            "digit_pairs", {"data": np.concatenate([images, images[second]], axis=1), "label": same}, CLASS_NAMES
        )
