"""The lines of a picture: where they leave and enter boxes, how they run between, and the shapes written on them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from layerkit.graph import Ref
from layerkit.report.drawing import order, sizes
from layerkit.report.drawing.grid import Grid, Point
from layerkit.report.drawing.picture import Picture

__all__ = ["Label", "Ref", "Route", "apart", "dock", "label_places", "labels", "routes"]

_LEAVING, _ENTERING = 18.0, 16.0
"""Distance of lines that leave or enter a box; there are shapes on those that leave."""
_EDGE = 7.0
"""From a line to the corner of the box that it leaves or enters."""
_CORNER = 12.0
_ASIDE = 20.0
"""How far beside a row the line runs that leads to the next one."""
_DOUBLED = 34.0
"""The distance of lines that leave a box where something is written below them as well."""


class Label(NamedTuple):
    """What is written on a line."""

    text: str
    below: str

    @property
    def width(self) -> float:
        """In pixels."""
        return max(sizes.label_width(self.text), sizes.label_width(self.below))


Labels = Mapping[tuple[int, Ref], Label]
"""What is written on each blob that leaves a box."""


@dataclass(frozen=True)
class Route:
    """A line of straight pieces and Bezier curves."""

    pieces: tuple[tuple[str, tuple[Point, ...]], ...]
    """SVG's commands M, L, C and Q with their points."""
    arrow: bool
    """Whether its end is an arrow's head."""

    @property
    def points(self) -> list[Point]:
        """Every point, of control as well."""
        return [point for _, points in self.pieces for point in points]


def labels(picture: Picture) -> dict[tuple[int, Ref], Label]:
    """What is written on what leaves each box."""
    return {(edge.source, edge.ref): Label(edge.shape, edge.below) for edge in picture.edges}


def apart(picture: Picture) -> float:
    """How far from each other lines leave a box."""
    return _DOUBLED if picture.doubled else _LEAVING


def label_places(grid: Grid, texts: Labels) -> Iterator[tuple[Point, Label]]:
    """Each label with the start of its baseline: on the line where this is upright, else above it."""
    for (box, ref), label in texts.items():
        leaves, end = grid.exits[(box, ref)], grid.ends[grid.plan.items[box].rank]
        if grid.upright:
            yield (leaves - label.width / 2, end + 16), label
        else:
            yield (end + 8, leaves - 4), label


def dock(grid: Grid, refs: Sequence[Ref], distance: float) -> None:
    """Decide where blobs leave and enter items: in the order of their goals, straight on where that is possible.

    Those that leave a box do so at a `distance` from each other.
    """
    targets: dict[tuple[int, Ref], list[int]] = {}
    sources: dict[int, dict[int, Ref]] = {}
    for ref, ways in zip(refs, grid.plan.ways, strict=True):
        for a, b in ((a, b) for way in ways for a, b in itertools.pairwise(way)):
            targets.setdefault((a, ref), []).append(b)
            sources.setdefault(b, {})[a] = ref
    leaving: dict[int, list[Ref]] = {}
    for item, ref in targets:
        leaving.setdefault(item, []).append(ref)
    for item, blobs in leaving.items():
        goals = {ref: _mean([_seen(grid, item, other) for other in targets[(item, ref)]]) for ref in blobs}
        blobs.sort(key=lambda ref: (goals[ref], ref))
        step = grid.extents[item][1] / len(blobs) if grid.upright else distance
        wanted = [goals[ref] if len(blobs) > 1 else grid.middle[item] for ref in blobs]
        for ref, across in zip(blobs, _docked(grid, item, wanted, step), strict=True):
            grid.exits[(item, ref)] = across
    for item, found in sources.items():
        places = {
            a: grid.exits[(a, ref)] if grid.row(a) == grid.row(item) else grid.middle[item] for a, ref in found.items()
        }
        near = sorted(found, key=lambda a: (places[a], a))
        wanted = [places[a] for a in near]
        if len(near) == 1 and abs(wanted[0] - grid.middle[item]) > _ENTERING:
            wanted = [grid.middle[item]]
        for a, across in zip(near, _docked(grid, item, wanted, _ENTERING), strict=True):
            grid.entries[(item, a)] = across
            rank = grid.plan.items[a].rank
            grid.bends[rank] = max(grid.bends[rank], min(34 + 0.12 * abs(across - places[a]), 80))


def routes(grid: Grid, ref: Ref, ways: Sequence[Sequence[int]]) -> Iterator[Route]:
    """The lines of one edge."""
    for way in ways:
        pieces: list[tuple[str, tuple[Point, ...]]] = []
        for a, b in itertools.pairwise(way):
            items = grid.plan.items
            leaves, enters = grid.exits[(a, ref)], grid.entries[(b, a)]
            if not pieces:
                pieces.append(("M", (grid.point(grid.start(a) + grid.extents[a][0], leaves),)))
            turn, to = grid.ends[items[a].rank] + grid.stubs[items[a].rank], grid.starts[items[b].rank]
            if grid.row(a) == grid.row(b):
                half = (turn + to) / 2
                pieces.append(("L", (grid.point(turn, leaves),)))
                curve = (grid.point(half, leaves), grid.point(half, enters), grid.point(to, enters))
                pieces.append(("L", curve[2:]) if leaves == enters else ("C", curve))
            else:
                gutter = grid.gutters[grid.row(a)]
                corners = [
                    (turn + _ASIDE, leaves),
                    (turn + _ASIDE, gutter),
                    (to - _ASIDE, gutter),
                    (to - _ASIDE, enters),
                ]
                pieces += _rounded(grid, [(turn, leaves), *corners, (to, enters)])
            end = grid.start(b) if b == way[-1] else grid.ends[items[b].rank]
            pieces.append(("L", (grid.point(end, enters),)))
        yield Route(tuple(pieces), arrow=grid.plan.items[way[-1]].kind == "box")


def _rounded(grid: Grid, points: Sequence[Point]) -> Iterator[tuple[str, tuple[Point, ...]]]:
    """A line of straight pieces whose corners are rounded."""
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        yield "L", (grid.point(*_towards(corner, before)),)
        yield "Q", (grid.point(*corner), grid.point(*_towards(corner, after)))
    yield "L", (grid.point(*points[-1]),)


def _towards(corner: Point, other: Point) -> Point:
    """The point near a corner, on the way to the next one."""
    distance = abs(other[0] - corner[0]) + abs(other[1] - corner[1])  # one of the two is 0
    part = min(_CORNER, distance / 2) / distance if distance else 0.0
    return corner[0] + part * (other[0] - corner[0]), corner[1] + part * (other[1] - corner[1])


def _docked(grid: Grid, item: int, wanted: Sequence[float], step: float) -> list[float]:
    """Places on an item's side, as near to those wanted as its size and their distance allow."""
    middle, half = grid.middle[item], grid.extents[item][1] / 2
    if grid.plan.items[item].kind != "box":
        return [middle] * len(wanted)
    step = min(step, 2 * half / len(wanted))
    found = order.spread(wanted, [step] * (len(wanted) - 1), [1.0] * len(wanted))
    free = min(_EDGE, step / 2)
    low, high = middle - half + free, middle + half - free
    found = [
        min(max(across, low + step * index), high - step * (len(found) - 1 - index))
        for index, across in enumerate(found)
    ]
    return found


def _seen(grid: Grid, item: int, other: int) -> float:
    """Where across the flow another item is, seen from this one: in the next row is after everything."""
    return grid.middle[other] if grid.row(item) == grid.row(other) else grid.middle[item]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
