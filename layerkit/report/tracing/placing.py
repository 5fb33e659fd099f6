"""What only places values: to cut a step out of a sequence, to join steps, to begin anew, to choose rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.report.tracing.operations import Operation


class Part(NamedTuple):
    """A part of an argument, and where it is added to the result."""

    argument: int
    where: Any
    """An index into the result."""
    source: Any = ...
    """An index into the argument."""
    scale: Any = 1
    """What it is multiplied by: a number, or an array of the argument's part."""


class Placing(Operation):
    """A result of `shape` that is zero but for what is placed in it.

    No derivative goes to an argument of which nothing is placed, or that is `steady`.
    """

    def __init__(self, arguments: Sequence[Array], shape: Shape, parts: Sequence[Part], steady: Collection[int] = ()):
        self.shapes, self.shape, self.parts = [each.shape for each in arguments], shape, parts
        self.moving = {part.argument for part in parts} - {*steady}
        self.result = np.zeros(shape, arguments[0].dtype)
        for part in parts:
            self._place(part, arguments[part.argument], self.result)

    def pull(self, which: int, gradient: Array) -> list[Array | None]:
        found = [np.zeros(s, gradient.dtype) if i in self.moving else None for i, s in enumerate(self.shapes)]
        for part in self.parts:
            total = found[part.argument]
            if total is not None:
                given = gradient[part.where]
                total[part.source] += part.scale * given.reshape(total[part.source].shape)
        return [*found]

    def push(self, argument: int, tangent: Array) -> list[Array | None]:
        if argument not in self.moving:
            return [None]
        found = np.zeros(self.shape, tangent.dtype)
        for part in self.parts:
            if part.argument == argument:
                self._place(part, tangent.reshape(self.shapes[argument]), found)
        return [found]

    @staticmethod
    def _place(part: Part, array: Array, into: Array) -> None:
        placed = np.asarray(part.scale * array[part.source])
        into[part.where] += placed.reshape(into[part.where].shape)
