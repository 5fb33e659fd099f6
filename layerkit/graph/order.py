"""Names the versions of in-place blobs and sorts layers topologically, stable in written order."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

from layerkit.errors import Problems, did_you_mean
from layerkit.spec import LayerSpec


class Ref(NamedTuple):
    """One version of a blob: version 0 is what its producer wrote, each in-place layer makes the next."""

    name: str
    version: int = 0


class Wired(NamedTuple):
    """A layer with the versions that it reads and writes."""

    spec: LayerSpec
    bottoms: tuple[Ref, ...]
    tops: tuple[Ref, ...]


def wire(specs: Sequence[LayerSpec], elsewhere: dict[str, str], problems: Problems) -> list[Wired]:
    """Name versions and sort. `elsewhere` says of blobs that this phase lacks why; nothing is said where it is "".

    Problems: a layer's name or a blob given twice, a bottom that nothing makes, a cycle. What can be sorted
    all the same is returned, so that its shapes can still be checked.
    """
    before = len(problems.found)
    _unique_names(specs, problems)
    last = _last_versions(specs, problems)
    wired: list[Wired] = []
    if len(problems.found) > before:
        return []
    seen: dict[str, int] = {}  # in-place layers met so far, by blob
    for spec in specs:
        bottoms, tops = spec.bottom or [], spec.top or []
        own: dict[str, int] = {}
        for top in tops:
            if top in bottoms:
                own[top] = seen[top] = seen.get(top, 0) + 1
        reads = [Ref(name, own[name] - 1 if name in own else last.get(name, 0)) for name in bottoms]
        wired.append(Wired(spec, tuple(reads), tuple(Ref(name, own.get(name, 0)) for name in tops)))
        for i, name in enumerate(bottoms):
            if name not in last and elsewhere.get(name) != "":
                problems.found.append(spec.problem(_undefined(name, last, elsewhere), "bottom", i))
    return _sorted(_with_bottoms(wired), problems)


def _with_bottoms(wired: list[Wired]) -> list[Wired]:
    """The layers all of whose bottoms, and theirs in turn, some layer makes."""
    while True:
        made = {ref for each in wired for ref in each.tops}
        complete = [each for each in wired if made.issuperset(each.bottoms)]
        if len(complete) == len(wired):
            return complete
        wired = complete


def _unique_names(specs: Sequence[LayerSpec], problems: Problems) -> None:
    first: dict[str, LayerSpec] = {}
    for spec in specs:
        other = first.setdefault(spec.name, spec)
        if other is not spec:
            at = f" (the other at {other.mark()})" if other.mark() else ""
            problems.found.append(spec.problem(f"another layer has the name {spec.name!r}{at}", "name"))


def _last_versions(specs: Sequence[LayerSpec], problems: Problems) -> dict[str, int]:
    """The last version of every blob: the number of in-place layers on it."""
    producers: dict[str, LayerSpec] = {}
    in_place: dict[str, int] = {}
    for spec in specs:
        tops = spec.top or []
        for i, top in enumerate(tops):
            if top in tops[:i]:
                problems.found.append(spec.problem(f"top {top!r} is given twice", "top", i))
            elif top in (spec.bottom or []):
                in_place[top] = in_place.get(top, 0) + 1
            elif top in producers:
                message = f"top {top!r} is made by layer {producers[top].name!r} already; blobs need different names"
                problems.found.append(spec.problem(message, "top", i))
            else:
                producers[top] = spec
    return {name: in_place.get(name, 0) for name in producers}


def _undefined(name: str, known: dict[str, int], elsewhere: dict[str, str]) -> str:
    if name in elsewhere:
        return f"bottom {name!r} is missing: {elsewhere[name]}"
    return f"no layer makes the bottom {name!r}{did_you_mean(name, known)}"


def _sorted(wired: list[Wired], problems: Problems) -> list[Wired]:
    """Kahn's algorithm; of the layers that are ready, the one written first goes first."""
    producer = {ref: i for i, each in enumerate(wired) for ref in each.tops}
    waits = [len(set(each.bottoms)) for each in wired]
    readers: dict[int, list[int]] = {}
    for i, each in enumerate(wired):
        for ref in set(each.bottoms):
            readers.setdefault(producer[ref], []).append(i)
    ready = [i for i, count in enumerate(waits) if count == 0]
    order: list[Wired] = []
    while ready:
        i = heapq.heappop(ready)
        order.append(wired[i])
        for reader in readers.get(i, []):
            waits[reader] -= 1
            if waits[reader] == 0:
                heapq.heappush(ready, reader)
    if len(order) < len(wired):
        stuck = {i for i, count in enumerate(waits) if count > 0}
        _report_cycle(wired, producer, stuck, problems)
    return order


def _report_cycle(wired: list[Wired], producer: dict[Ref, int], stuck: set[int], problems: Problems) -> None:
    """Walk upstream among the layers that never became ready until one comes again; that loop is a cycle."""
    path: list[int] = [min(stuck)]
    while True:
        upstream = next(producer[ref] for ref in wired[path[-1]].bottoms if producer[ref] in stuck)
        if upstream in path:
            loop = path[path.index(upstream) :]
            break
        path.append(upstream)
    loop.reverse()  # now in the direction in which data flows
    start = loop.index(min(loop))
    names = [wired[i].spec.name for i in loop[start:] + loop[: start + 1]]
    problems.found.append(
        wired[loop[start]].spec.problem(f"the layers wait for each other in a cycle: {' -> '.join(names)}")
    )
