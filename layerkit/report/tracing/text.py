"""A trace as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from layerkit.report.tracing import numbers
from layerkit.report.tracing.passes import Edge, Trace

_WIDTH = 80
_WIDEST = 40
"""Columns that names get at most."""


def lines(trace: Trace, bars: str = numbers.BARS) -> Iterator[str]:
    """Values in topological order, and what comes over each edge in the order of the pass."""
    yield f"{trace.steps.title} ({trace.steps.phase})"
    yield ""
    yield "values, in topological order"
    yield from _aligned([_value(trace, number, bars) for number in range(len(trace.steps.values))])
    yield ""
    upstream, what = ("upstream", "gradients") if trace.reverse else ("tangent", "tangents")
    if trace.reverse:
        yield f"gradients of {trace.about}, backward: {upstream} x local = product"
    else:
        yield f"tangents along {trace.about}, forward: {upstream} x local = product"
    summed: set[int] = set()
    wide = min(_WIDEST, max((len(_way(trace, edge)) for edge in trace.edges if _is_short(edge)), default=0))
    for edge in trace.edges:
        ready = edge.result if trace.reverse else edge.source
        if ready not in summed and len(trace.parts(ready)) > 1:
            yield f"  {f'sum at {trace.steps.values[ready].name}':{max(14, wide)}}  {total(trace, ready, bars)}"
        summed.add(ready)
        yield from _edge(trace, edge, upstream, bars, max(14, wide))
    yield ""
    yield f"{what} of what is given" if trace.reverse else f"{what} of what comes out"
    yield from _aligned(list(_results(trace, bars)))


def _value(trace: Trace, number: int, bars: str) -> tuple[str, str]:
    value = trace.steps.values[number]
    step = trace.steps.steps[value.step]
    return value.name, f"{step.written} = {numbers.short(value.data, bars)}"


def _aligned(rows: list[tuple[str, str]]) -> Iterator[str]:
    """Names in a column, and what there is to say of each; below its name where that is too long."""
    wide = min(28, max((len(name) for name, _ in rows), default=0))
    for name, said in rows:
        line = f"  {name:{wide}}  {said}"
        yield from [line] if len(line) <= _WIDTH else [f"  {name}", f"    {said}"]


def _way(trace: Trace, edge: Edge) -> str:
    """From where to where an edge is followed."""
    names = [trace.steps.values[number].name for number in (edge.source, edge.result)]
    return " -> ".join(reversed(names) if trace.reverse else names)


def _is_short(edge: Edge) -> bool:
    """Whether an edge is between single numbers."""
    return edge.entering.size == edge.product.size == 1


def _edge(trace: Trace, edge: Edge, entering: str, bars: str, wide: int) -> Iterator[str]:
    """One line, or several where that is too long."""
    way = _way(trace, edge)
    parts = [
        numbers.short(edge.entering, bars),
        numbers.short_local(edge.local, bars),
        numbers.short(edge.product, bars),
    ]
    line = f"  {way:{wide}}  {parts[0]} x {parts[1]} = {parts[2]}"
    if len(line) <= _WIDTH and _is_short(edge):
        yield line
        return
    yield f"  {way}"
    for title, text in zip((entering, "local", "product"), parts, strict=True):
        yield f"    {title:8}  {text}"


def _results(trace: Trace, bars: str) -> Iterator[tuple[str, str]]:
    """The leaves' gradients, or the outputs' tangents; a sum with its parts where these are single numbers."""
    for number in trace.steps.given if trace.reverse else trace.steps.outputs:
        yield trace.steps.values[number].name, total(trace, number, bars)


def total(trace: Trace, value: int, bars: str = numbers.BARS) -> str:
    """A value's gradient or tangent, as the sum that it is."""
    if value not in trace.totals:
        return "none" if trace.reverse else "0"
    whole, parts = trace.totals[value], trace.parts(value)
    if len(parts) == 1:
        return numbers.short(whole, bars)
    if whole.size > 1:
        return f"{numbers.short(whole, bars)}, the sum of {len(parts)} parts"
    said = numbers.listed(parts[0])
    for part in parts[1:]:
        text = numbers.listed(part)
        said += f" - {text[1:]}" if text.startswith("-") else f" + {text}"
    return f"{said} = {numbers.listed(whole)}"
