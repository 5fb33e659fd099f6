"""The steps in which a page shows a trace: one node at a time forward, and then backward."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from layerkit.report.tracing import numbers, text
from layerkit.report.tracing.passes import Edge
from layerkit.report.tracing.picture import Drawn
from layerkit.report.tracing.values import Step


@dataclass(frozen=True)
class Frame:
    """One step of the page."""

    phase: str
    said: tuple[str, ...]
    """Lines that explain it."""
    products: tuple[tuple[str, str, str, str], ...]
    """The chain rule over each edge: which it is, what enters it, the local derivative, and what comes of it."""
    shows: tuple[str, ...]
    """What appears, by the names of SVG elements: box, edge, above and below with a number."""
    now: tuple[str, ...]
    """The boxes and edges that it is about."""


def frames(drawn: Drawn) -> Iterator[Frame]:
    """Every step, in order."""
    values = drawn.trace.steps.values
    names = ", ".join(values[value].name for value in drawn.trace.steps.given)
    yield Frame("start", (f"What is given: {names}.",), (), (), ())
    for number, step in enumerate(drawn.trace.steps.steps):
        yield from _forward(drawn, number, step)
    if drawn.trace.reverse:
        yield from _backward(drawn)


def _forward(drawn: Drawn, number: int, step: Step) -> Iterator[Frame]:
    """A step's values as they are computed; in forward mode with their tangents."""
    trace = drawn.trace
    groups = [[value] for value in step.results] if step.operation is None else [list(step.results)]
    for values in groups:
        said = [_computed(drawn, step, value) for value in values]
        products = []
        shows = [f"box{drawn.box_of[value]}" for value in values]
        now = [*shows]
        for value in values:
            leaving = [edge for (source, _), edge in drawn.uses.items() if source == value]
            shows += [f"above{edge}" for edge in leaving]
            if not trace.reverse:
                shows += [f"below{edge}" for edge in leaving]
                products += [_product(drawn, edge) for edge in trace.edges if edge.result == value]
                said += _sum(drawn, value)
        for source in dict.fromkeys(step.arguments):
            if (source, number) in drawn.uses:
                edge = f"edge{drawn.uses[source, number]}"
                shows.append(edge)
                now.append(edge)
        shows += [
            name
            for (source, user), edge in drawn.uses.items()
            if user < 0 and source in values
            for name in (f"edge{edge}", f"box{drawn.picture.edges[edge].target}")
        ]
        yield Frame("forward", tuple(said), tuple(products), tuple(shows), tuple(now))


def _backward(drawn: Drawn) -> Iterator[Frame]:
    """The chain rule, a step at a time."""
    trace = drawn.trace
    for value, seed in trace.seeds.items():
        edge = drawn.uses[value, -1]
        name = trace.steps.values[value].name
        begin = f"The gradient of {trace.about} by {name} is {numbers.short(seed)}: here the backward pass begins."
        if len(trace.seeds) == 1 and seed.size == 1 and seed.ravel()[0] == 1:
            begin = f"∂{name}/∂{name} = 1: here the backward pass begins."
        yield Frame(
            "backward", (begin,), (), (f"below{edge}",), (f"edge{edge}", f"box{drawn.picture.edges[edge].target}")
        )
    for step, group in groupby(trace.edges, key=lambda edge: edge.step):
        edges = list(group)
        said = [line for result in dict.fromkeys(edge.result for edge in edges) for line in _sum(drawn, result)]
        products = tuple(_product(drawn, edge) for edge in edges)
        used = dict.fromkeys(drawn.uses[edge.source, step] for edge in edges)
        box = f"box{drawn.box_of[edges[0].result]}"
        shows = tuple(f"below{number}" for number in used)
        yield Frame("backward", tuple(said), products, shows, (box, *(f"edge{number}" for number in used)))
    sums = [line for value in trace.steps.given for line in _sum(drawn, value)]
    yield Frame("end", ("Every gradient is there.", *sums), (), (), ())


def _computed(drawn: Drawn, step: Step, value: int) -> str:
    """A value with how it came about."""
    name, data = drawn.trace.steps.values[value].name, drawn.trace.steps.values[value].data
    if step.operation is None:
        return f"{name} = {numbers.short(data)} ({step.written})"
    filled = f" = {step.filled}" if step.filled else ""
    return f"{name} = {step.written}{filled} = {numbers.short(data)}"


def _product(drawn: Drawn, edge: Edge) -> tuple[str, str, str, str]:
    """The chain rule over one edge."""
    values = drawn.trace.steps.values
    source, result = values[edge.source].name, values[edge.result].name
    way = f"{result} → {source}" if drawn.trace.reverse else f"{source} → {result}"
    local = f"∂{result}/∂{source} = {numbers.short_local(edge.local)}"
    return way, numbers.short(edge.entering), local, numbers.short(edge.product)


def _sum(drawn: Drawn, value: int) -> list[str]:
    """What a value's parts add up to, where there are several."""
    if len(drawn.trace.parts(value)) < 2:
        return []
    return [f"at {drawn.trace.steps.values[value].name} they add up: {text.total(drawn.trace, value)}"]
