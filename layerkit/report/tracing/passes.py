"""Both passes over a graph of steps, with what comes over every edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from layerkit.blob import Array
from layerkit.errors import UnknownNameError, UsageError
from layerkit.report.tracing.local import Local, locals_of
from layerkit.report.tracing.values import Step, Steps

Mode = Literal["reverse", "forward"]


@dataclass(frozen=True)
class Edge:
    """One use of a value by a step, for one of the step's results, in a pass."""

    source: int
    """The value that is read."""
    result: int
    """The value that is made of it."""
    step: int
    entering: Array
    """Reverse mode: the gradient of the result (upstream). Forward mode: the tangent of the source."""
    local: Local
    """The derivative of the result by the source."""
    product: Array
    """Of the two: the edge's part of the source's gradient, or of the result's tangent."""


@dataclass
class Trace:
    """A graph after a pass."""

    steps: Steps
    mode: Mode
    about: str
    """What the gradients are of, or along what the tangents are."""
    seeds: dict[int, Array]
    """Gradients or tangents that came from outside."""
    edges: list[Edge] = field(default_factory=list)
    """In the order of the pass."""
    totals: dict[int, Array] = field(default_factory=dict)
    """The gradient or tangent of each value that has one: the sum of its seed and of its edges' products."""

    def parts(self, value: int) -> list[Array]:
        """What a value's gradient or tangent is the sum of."""
        seed = [self.seeds[value]] if value in self.seeds else []
        mine = [edge.product for edge in self.edges if value == (edge.source if self.reverse else edge.result)]
        return seed + mine

    @property
    def reverse(self) -> bool:
        """Whether it is reverse mode."""
        return self.mode == "reverse"

    def add(self, value: int, part: Array) -> None:
        """Add a part to a value's gradient or tangent."""
        self.totals[value] = self.totals[value] + part if value in self.totals else part


@np.errstate(all="ignore")
def reverse(steps: Steps, output: str | None = None) -> Trace:
    """The gradients of the loss, or of the output of that name, with 1 for each of its elements.

    Raises UsageError where there is nothing to start from, UnknownNameError.
    """
    trace = _started(steps, output)
    for step in reversed(steps.steps):
        for which, result in enumerate(step.results):
            if result in trace.totals and step.operation is not None:
                _pull(trace, step, which, result)
    return trace


@np.errstate(all="ignore")
def forward(steps: Steps, given: Mapping[str, Array]) -> Trace:
    """The tangents of everything where values move along the given tangents, by name.

    Raises UsageError where nothing moves, UnknownNameError, and LayerkitError for a layer without a forward mode.
    """
    if not given:
        names = ", ".join(steps.values[value].name for value in steps.given)
        raise UsageError(f"forward mode needs something that moves, as in --tangent x=1; there are: {names}")
    seeds = {}
    for name, tangent in given.items():
        value = _named(steps, name)
        shape = steps.values[value].data.shape
        seeds[value] = fitted(name, tangent, shape).astype(steps.dtype)
    trace = Trace(steps, "forward", ", ".join(given), seeds, totals=dict(seeds))
    for step in steps.steps:
        arguments = [value for value in step.arguments if value in trace.totals]
        if step.operation is not None and arguments:
            _push(trace, step)
    return trace


def fitted(name: str, given: Array, shape: tuple[int, ...]) -> Array:
    """An array in a shape: a single number fills it, and as many numbers in another shape are taken in their order.

    Raises UsageError.
    """
    if given.size == 1:
        return np.full(shape, given.ravel()[0])
    if given.size == np.prod(shape):
        return given.reshape(shape)
    wanted = "x".join(map(str, shape)) or "a single number"
    raise UsageError(f"{name!r} is {wanted}, and {'x'.join(map(str, given.shape))} numbers do not fit")


def _started(steps: Steps, output: str | None) -> Trace:
    if output is not None:
        value = _named(steps, output)
        return _with_seeds(steps, output, {value: np.ones_like(steps.values[value].data)})
    if steps.losses:
        seeds = {value: np.full_like(steps.values[value].data, weight) for value, weight in steps.losses.items()}
        return _with_seeds(steps, " + ".join(steps.values[value].name for value in seeds), seeds)
    if len(steps.outputs) == 1:
        return _started(steps, steps.values[steps.outputs[0]].name)
    names = ", ".join(steps.values[value].name for value in steps.outputs)
    if not names:
        raise UsageError("the net computes nothing that has a derivative")
    raise UsageError(f"the net has no loss; say by --output what is to be differentiated; there are: {names}")


def _with_seeds(steps: Steps, about: str, seeds: dict[int, Array]) -> Trace:
    return Trace(steps, "reverse", about, seeds, totals=dict(seeds))


def _named(steps: Steps, name: str) -> int:
    if name not in steps.names:
        raise UnknownNameError("value", name, steps.names)
    return steps.names[name]


def _pull(trace: Trace, step: Step, which: int, result: int) -> None:
    """Give the step's arguments their parts of the gradient of one of its results."""
    assert step.operation is not None
    values = trace.steps.values
    upstream = trace.totals[result]
    data = values[result].data
    parts = [None if part is None else part.copy() for part in step.operation.pull(which, upstream)]
    if all(part is None for part in parts):
        return
    arguments = [None if source < 0 else values[source].data for source in step.arguments]
    locals_ = locals_of(step.operation, which, data, arguments)
    for source, part, local in zip(step.arguments, parts, locals_, strict=True):
        if source >= 0 and part is not None and local is not None:
            part = part.reshape(values[source].data.shape)
            trace.edges.append(Edge(source, result, values[result].step, upstream, local, part))
            trace.add(source, part)


def _push(trace: Trace, step: Step) -> None:
    """Give the step's results what moves them."""
    assert step.operation is not None
    values = trace.steps.values
    arguments = [None if source < 0 else values[source].data for source in step.arguments]
    locals_ = [locals_of(step.operation, i, values[each].data, arguments) for i, each in enumerate(step.results)]
    for number, source in enumerate(step.arguments):
        if source not in trace.totals:
            continue
        tangent = trace.totals[source]
        parts = step.operation.push(number, tangent)
        for result, part, found in zip(step.results, parts, locals_, strict=True):
            local = found[number]
            if part is not None and local is not None:
                trace.edges.append(Edge(source, result, values[result].step, tangent, local, part))
                trace.add(result, part)
