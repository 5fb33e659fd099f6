"""Where everything in a picture stands, in pixels.

The flow runs along one axis and the boxes of a rank stand across it; only the end turns that into x and y, so that
left-to-right (LR) and top-to-bottom (TB) are one computation.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from layerkit.report.drawing import order, routes, sizes
from layerkit.report.drawing.frames import frames
from layerkit.report.drawing.grid import Grid, Place, Point
from layerkit.report.drawing.picture import Picture
from layerkit.report.drawing.ranks import Ranked, longest_path, ranked
from layerkit.report.drawing.routes import Label
from layerkit.report.drawing.rows import breaks

Direction = Literal["LR", "TB"]

BESIDE = {"box": 26.0, "tag": 12.0, "bend": 16.0, "entry": 16.0}
"""What must be free across the flow beside an item of each kind."""
GUTTER = 64.0
"""Between two rows."""
FRAMED = 24.0
"""More of it, and more beside a box, where there are frames."""


@dataclass(frozen=True)
class Layout:
    """What to draw. Rectangles and points lie inside `bounds`."""

    direction: Direction
    bounds: Place
    boxes: tuple[Place, ...]
    tags: tuple[tuple[Place, str], ...]
    routes: tuple[tuple[routes.Route, ...], ...]
    """For each edge of the picture the lines that it is drawn with."""
    labels: tuple[tuple[Point, Label], ...]
    """What is written on edges: where the baseline of each begins."""
    frames: tuple[tuple[Place, str], ...]
    """Frames around what was unfolded from one block."""


def arrange(picture: Picture, direction: Direction = "LR") -> Layout:
    """Lay out a picture."""
    ranks = longest_path(len(picture.boxes), picture.edges)
    upright = direction == "TB"
    extents = [_turned(size, upright) for size in map(sizes.box_size, picture.boxes)]
    labels, distance = routes.labels(picture), routes.apart(picture)
    if upright:  # room for the shapes beside each other under a box
        for box, (along, across) in enumerate(extents):
            wide = [label.width for (source, _), label in labels.items() if source == box]
            extents[box] = (along, max(across, len(wide) * (max(wide, default=0) + 14)))
    elif picture.doubled:  # room for what is written above and below each other
        leaving = Counter(source for source, _ in labels)
        extents = [(along, max(across, leaving[box] * distance)) for box, (along, across) in enumerate(extents)]
    stubs = [0.0] * (max(ranks, default=-1) + 1)
    for (source, _), label in labels.items():
        stub = 24.0 if upright else label.width + 12
        stubs[ranks[source]] = max(stubs[ranks[source]], stub)
    ends = breaks(ranks, extents, stubs, picture.edges, direction)
    plan = ranked(picture, ranks, ends)
    extents += [
        _turned(sizes.tag_size(item.text), upright) if item.kind == "tag" else (0.0, 0.0)
        for item in plan.items[len(extents) :]
    ]
    grid = Grid(plan, extents, upright)
    for row in plan.rows[1:]:
        stubs.insert(row.start, 0.0)  # nothing is written behind the entry of a row
    _place(grid, stubs, picture)
    return _finished(picture, grid, direction)


def _place(grid: Grid, stubs: list[float], picture: Picture) -> None:
    """Give every item of the grid its place, row under row."""
    top = 0.0
    framed = any(box.frames for box in picture.boxes)
    beside = {**BESIDE, "box": BESIDE["box"] + (FRAMED if framed else 0)}
    gutter = GUTTER + (FRAMED if framed else 0)
    for row in grid.plan.rows:
        links = sorted({pair for pair in _links(grid.plan) if grid.plan.items[pair[0]].rank in row})
        links = [pair for pair in links if grid.plan.items[pair[1]].rank in row]
        ordered = order.ordered(grid.plan.ranks(row), links)
        held = [item for rank in ordered for item in rank]
        across = {item: grid.extents[item][1] for item in held}
        kinds = {item: grid.plan.items[item].kind for item in held}
        gaps = {item: beside[kind] for item, kind in kinds.items()}
        middle = order.placed(ordered, links, across, gaps, {item for item in held if kinds[item] == "box"})
        highest = min((middle[item] - across[item] / 2 for item in held), default=0.0)
        lowest = max((middle[item] + across[item] / 2 for item in held), default=0.0)
        for item in held:
            grid.middle[item] = middle[item] - highest + top
        top += lowest - highest + gutter
        grid.gutters.append(top - gutter / 2)
    grid.stubs = stubs
    routes.dock(grid, [edge.ref for edge in picture.edges], routes.apart(picture))
    for row in grid.plan.rows:
        at = 0.0
        for rank, items in zip(row, grid.plan.ranks(row), strict=True):
            grid.starts[rank] = at
            grid.ends[rank] = at + max((grid.extents[item][0] for item in items), default=0.0)
            at = grid.ends[rank] + stubs[rank] + grid.bends[rank]


def _links(plan: Ranked) -> Iterable[tuple[int, int]]:
    for ways in plan.ways:
        for way in ways:
            yield from itertools.pairwise(way)


def _finished(picture: Picture, grid: Grid, direction: Direction) -> Layout:
    """Everything in x and y."""
    lines = tuple(
        tuple(routes.routes(grid, edge.ref, ways)) for edge, ways in zip(picture.edges, grid.plan.ways, strict=True)
    )
    places = [grid.place(item) for item in range(len(grid.extents))]
    boxes = tuple(places[: len(picture.boxes)])
    tags = tuple((places[index], item.text) for index, item in enumerate(grid.plan.items) if item.kind == "tag")
    labels = tuple(routes.label_places(grid, routes.labels(picture)))
    rows = [grid.row(item) for item in range(len(boxes))]
    framed = tuple(frames(picture, boxes, rows))
    points = [point for route in lines for line in route for point in line.points]
    for place in (*boxes, *(place for place, _ in (*tags, *framed))):
        points += [(place.x, place.y), (place.x + place.width, place.y + place.height)]
    points += [(x, y - sizes.LABEL) for (x, y), _ in labels]
    points += [(x + label.width, y + (sizes.BELOW if label.below else 0)) for (x, y), label in labels]
    left, top = (min((point[axis] for point in points), default=0.0) for axis in (0, 1))
    right, bottom = (max((point[axis] for point in points), default=0.0) for axis in (0, 1))
    bounds = Place(left, top, right - left, bottom - top)
    return Layout(direction, bounds, boxes, tags, lines, labels, framed)


def _turned(size: tuple[float, float], upright: bool) -> tuple[float, float]:
    """Width and height as extents along and across the flow."""
    return size[::-1] if upright else size
