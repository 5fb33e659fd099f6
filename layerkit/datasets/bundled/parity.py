"""`parity`: for each step of a sequence, whether the marked bits so far are odd in number; 2,000 rows and 500 to test.

Sample shape (32, 2): 32 steps of a bit and a mark, both 0 or 1. `label` (32,) is 1 where the number of steps so far
whose bit and mark are both 1 is odd. `cont` (32,), as recurrent layers want it, is 0 where a sequence begins, which is
at the first step and at about one in sixteen of the others; there the count begins again. So a net must hold one bit
for many steps, change it at some, ignore bits without a mark, and forget on demand. All is drawn from a fixed seed.

Source: layerkit's own; the parity problem with the marks of Hochreiter and Schmidhuber's adding problem (1997).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from layerkit.datasets.dataset import Dataset
from layerkit.datasets.source import ArraySource, Header, Source

CLASS_NAMES = ("even", "odd")
LENGTHS = {"train": 2000, "test": 500}
STEPS = 32
SEQUENCE = 16  # steps from one beginning to the next, on average


class Parity(Dataset):
    """Sequences of bits with their parity. It takes no source."""

    type: Literal["parity"] = "parity"

    def describe(self, source: str | None, part: str) -> Header:
        """Known without drawing anything. Raises DataError if a `source` is given: the set is drawn."""
        self.no_source(source)
        byte = np.dtype(np.uint8)
        shapes = {"data": (STEPS, 2), "label": (STEPS,), "cont": (STEPS,)}
        return Header(shapes, dict.fromkeys(shapes, byte), LENGTHS[part], CLASS_NAMES)

    def open(self, source: str | None, part: str) -> Source:
        """The sequences of one part. Raises DataError if a `source` is given."""
        self.no_source(source)
        count = LENGTHS[part]
        rng = np.random.default_rng(count)
        data = rng.integers(0, 2, (count, STEPS, 2), np.uint8)
        cont = (rng.random((count, STEPS)) >= 1 / SEQUENCE).astype(np.uint8)
        cont[:, 0] = 0
        label = np.zeros((count, STEPS), np.uint8)
        odd = np.zeros(count, np.uint8)
        for t in range(STEPS):
            odd = (odd & cont[:, t]) ^ (data[:, t, 0] & data[:, t, 1])
            label[:, t] = odd
        return ArraySource("parity", {"data": data, "label": label, "cont": cont}, CLASS_NAMES)
