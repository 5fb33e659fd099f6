"""`digits`: 1,797 handwritten digits of 8x8 pixels, bundled with layerkit: 1,437 to train with and 360 to test with.

Pixels are counts of 0..16 in sample shape (1, 8, 8), labels 0..9. The split is fixed; each digit has the same share of
both parts, within one sample. `tools/pack_digits.py` made the file.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
https://doi.org/10.24432/C50P49, licence CC BY 4.0; the 1,797 samples of its test set, as carried by scikit-learn.
Changed here: stored as bytes, put into a fixed order and split in two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from layerkit import arrayfile
from layerkit.datasets.dataset import Dataset
from layerkit.datasets.source import ArraySource, Header, Source
from layerkit.errors import DataError, SnapshotError

FILE = Path(__file__).with_name("digits.npz")
CLASS_NAMES = tuple("0123456789")
LENGTHS = {"train": 1437, "test": 360}


class Digits(Dataset):
    """The bundled digits. It takes no source."""

    type: Literal["digits"] = "digits"

    def describe(self, source: str | None, part: str) -> Header:
        """Known without reading anything. Raises DataError if a `source` is given: the set is bundled."""
        self.no_source(source)
        byte = np.dtype(np.uint8)
        return Header({"data": (1, 8, 8), "label": ()}, {"data": byte, "label": byte}, LENGTHS[part], CLASS_NAMES)

    def open(self, source: str | None, part: str) -> Source:
        """The bundled samples of one part. Raises DataError if a `source` is given or the installed file is damaged."""
        self.no_source(source)
        try:
            arrays, _ = arrayfile.load(FILE)
        except SnapshotError as error:
            raise DataError(f"the bundled digits cannot be read; install layerkit again: {error}") from None
        chosen = (
            slice(0, LENGTHS["train"]) if part == "train" else slice(LENGTHS["train"], None)
        )  # training samples first
        data, label = arrays["data"][chosen], arrays["label"][chosen]
        return ArraySource("digits", {"data": data[:, np.newaxis], "label": label}, CLASS_NAMES)
