"""A graph of values and of the steps that make them.

A step is a layer, a primitive, or a leaf: what a source gives, or a weight. Constants are no values: they stand in what
is written of the primitives that read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from layerkit.blob import Array
from layerkit.report.tracing.operations import Operation

WEIGHT = "weight"
"""The family of a leaf that is a weight."""


@dataclass(frozen=True)
class Value:
    """An array in the graph."""

    name: str
    data: Array
    step: int
    """What makes it."""
    result: int
    """Which of the step's results it is."""


class Group(NamedTuple):
    """Steps that are shown as one."""

    name: str
    written: str
    family: str


@dataclass(frozen=True)
class Step:
    """What makes values of others."""

    name: str
    written: str
    """A layer's type, a primitive's formula; of a leaf `weight` or its layer's type."""
    family: str
    operation: Operation | None
    """None: a leaf."""
    arguments: tuple[int, ...] = ()
    results: tuple[int, ...] = ()
    layer: str = ""
    """The layer that it is, or that it is part of."""
    filled: str = ""
    """Of a primitive of single numbers: its formula with these in the place of names."""
    group: Group | None = None
    """What it is shown as a part of."""


@dataclass
class Steps:
    """The whole graph, in topological order."""

    title: str
    phase: str
    dtype: np.dtype[Any]
    values: list[Value] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    """Values by name: blobs by their own, which mean the last version; weights by `layer.weight`."""
    losses: dict[int, float] = field(default_factory=dict)
    """Values that the loss counts, with their weights in it."""
    outputs: list[int] = field(default_factory=list)
    """What nobody reads, as far as it has derivatives."""

    @property
    def given(self) -> list[int]:
        """The values that leaves give."""
        return [value for step in self.steps if step.operation is None for value in step.results]

    def add(self, step: Step, made: Sequence[tuple[str, Array]]) -> list[int]:
        """Put a step behind the others, with the values that it makes; returns their numbers."""
        numbers = list(range(len(self.values), len(self.values) + len(made)))
        at = len(self.steps)
        for i, (name, data) in enumerate(made):
            self.values.append(Value(name, np.asarray(data, self.dtype), at, i))
            self.names[name] = numbers[i]
        self.steps.append(replace(step, results=tuple(numbers), layer=step.layer or step.name))
        return numbers

    def group(self, first: int, end: int, group: Group) -> None:
        """Let the steps from `first` to before `end` be shown as one, whatever groups they are of; weights stay."""
        for i in range(first, end):
            if self.steps[i].family != WEIGHT:
                self.steps[i] = replace(self.steps[i], group=group)
