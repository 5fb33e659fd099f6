"""What rules of losses and metrics share: labels, and sums over the places that they are for."""

from __future__ import annotations

from typing import Any

import numpy as np

from layerkit.convert.onnx.here import Dims, Here
from layerkit.convert.onnx.values import Value


class Labels:
    """One label for each place of scores (..., C, ...), as bottom 1 holds them; some may be ignored."""

    def __init__(self, here: Here, labels: Value, axis: int, ignore_label: int | None):
        self._here = here
        self._dims = here.bottoms[0]
        self.axis = axis % len(self._dims)
        self.classes = here.length(self._dims[self.axis])
        self.places: Dims = (*self._dims[: self.axis], *self._dims[self.axis + 1 :])
        """The dimensions of the labels, as they lie beside the scores."""
        self.whole = here.integers(here.reshape(labels, here.bottoms[1], self.places))
        """The labels as integers; 0 where they are ignored."""
        self._valid: Value | None = None
        if ignore_label is not None:
            ignored = here.op("Equal", self.whole, here.constant(ignore_label, "int64"))
            self._valid = here.numbers(here.op("Unsqueeze", here.op("Not", ignored), [self.axis]))
            self.whole = here.op("Where", ignored, here.constant(0, "int64"), self.whole)

    def counted(self, values: Value) -> Value:
        """Values, one or C for each place, that are 0 where the label is ignored."""
        return values if self._valid is None else self._here.op("Mul", values, self._valid)

    def one_hot(self, of: Value | None = None) -> Value:
        """1 where the class is the label, or what `of` says for each place, else 0: (..., C, ...)."""
        depth = self._here.constant(self.classes, "int64")
        return self._here.op("OneHot", of or self.whole, depth, self._here.constant([0, 1]), axis=self.axis)

    def by_class(self, values: Value) -> Value:
        """Sums of (..., C, ...) over all places, (C,)."""
        others = [i for i in range(len(self._dims)) if i != self.axis]
        return self._here.op("ReduceSum", values, others, keepdims=0, noop_with_empty_axes=1)

    def along(self, values: Any) -> Value:
        """Numbers, one a class, as an array that lies along the class axis."""
        return self._here.constant(np.reshape(values, (-1, *[1] * (len(self._dims) - self.axis - 1))))

    def count(self) -> Value:
        """How many places are not ignored."""
        return size(self._here, self.whole) if self._valid is None else total(self._here, self._valid)

    def divisor(self, x: Value, valid: Value) -> Value:
        """What `normalization` says that the sum over `valid` places of x is divided by; VALID if nothing does."""
        kind = normalization(self._here, "VALID")
        if kind == "BATCH_SIZE":
            return samples(self._here, x, self.axis)
        return {"FULL": size(self._here, self.whole), "VALID": valid, "NONE": self._here.constant(1)}[kind]


def normalization(here: Here, default: str) -> str:
    """What a loss is divided by, which has an older name too."""
    older = {True: "VALID", False: "BATCH_SIZE", None: default}[here.params.normalize]
    return str(here.params.normalization or older)


def total(here: Here, x: Value) -> Value:
    """The sum of everything, a scalar."""
    return here.op("ReduceSum", x, keepdims=0)


def size(here: Here, x: Value) -> Value:
    """How many elements x has."""
    return here.numbers(here.op("Size", x))


def samples(here: Here, x: Value, lead: int = 1) -> Value:
    """How many samples x has: the product of its first `lead` lengths."""
    return here.numbers(here.op("ReduceProd", here.op("Shape", x, start=0, end=lead), keepdims=0))


def divided(here: Here, x: Value, by: Value) -> Value:
    """x / by, where a 0 in `by` counts as 1."""
    return here.op("Div", x, here.op("Where", here.op("Equal", by, 0.0), 1.0, by))


def difference(here: Here, a: Value, b: Value) -> Value:
    """a - b, where b has as many numbers in another shape."""
    return here.op("Sub", a, here.reshape(b, here.bottoms[1], here.bottoms[0]))


def square(here: Here, x: Value) -> Value:
    """x^2."""
    return here.op("Mul", x, x)
