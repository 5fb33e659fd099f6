"""`copy_task`: read vectors of random bits, and say them again from memory once all have been read.

Of a sample whose sequence is L vectors long, L uniform from `min_length` to `max_length`, M, and B = `bits`:

- `data` (2 M + 1, B + 1): the vectors at the steps 0 to L - 1, 1 for a bit that is set and -1 for one that is not; at
  step L the last channel is 1, which says that the sequence is over; everything else is 0. So silence is no vector,
  and a net without a memory of its own can tell whether it is still listening.
- `label` (2 M + 1, B): the vectors again, of 1 and 0, at the steps L + 1 to 2 L; everywhere else -1, for a loss to
  ignore.
- `cont` (2 M + 1,), as recurrent layers want it: 0 at the first step, 1 at the others.

Source: the copy task of A. Graves, G. Wayne and I. Danihelka, "Neural Turing Machines", 2014, section 4.1.
"""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from layerkit.datasets.source import ArraySource, Header, Source
from layerkit.datasets.synthetic.base import Drawn


class CopyTask(Drawn):
    """Sequences of bits to be repeated. It takes no source."""

    type: Literal["copy_task"] = "copy_task"
    bits: int = Field(8, ge=1, le=1000, description="Bits in each vector.")
    min_length: int = Field(1, ge=1, description="Vectors in the shortest sequence.")
    max_length: int = Field(20, le=1000, description="Vectors in the longest sequence.")

    @model_validator(mode="after")
    def _expect_order(self) -> Self:
        if self.min_length > self.max_length:
            raise ValueError(f"min_length, {self.min_length}, must not be above max_length, {self.max_length}")
        return self

    def describe(self, source: str | None, part: str) -> Header:
        """Known without drawing anything. Raises DataError if a `source` is given: the set is drawn."""
        self.no_source(source)
        steps = 2 * self.max_length + 1
        shapes = {"data": (steps, self.bits + 1), "label": (steps, self.bits), "cont": (steps,)}
        return Header(shapes, dict.fromkeys(shapes, np.dtype(np.int8)), self.count(part))

    def open(self, source: str | None, part: str) -> Source:
        """The sequences of one part. Raises DataError if a `source` is given."""
        header, count, rng = self.describe(source, part), self.count(part), self.rng(part)
        arrays = {name: np.zeros((count, *shape), header.dtypes[name]) for name, shape in header.shapes.items()}
        arrays["label"][:] = -1
        arrays["cont"][:, 1:] = 1
        lengths = rng.integers(self.min_length, self.max_length, count, endpoint=True)
        for data, label, length in zip(arrays["data"], arrays["label"], lengths.tolist(), strict=True):
            vectors = rng.integers(0, 2, (length, self.bits))
            data[:length, : self.bits] = 2 * vectors - 1
            data[length, self.bits] = 1
            label[length + 1 : 2 * length + 1] = vectors
        return ArraySource(self.type, arrays)
