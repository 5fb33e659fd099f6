"""The grid on which a picture is laid out: ranks along the flow, rows across it."""

from __future__ import annotations

from dataclasses import dataclass

from layerkit.graph import Ref
from layerkit.report.drawing.ranks import Ranked

Point = tuple[float, float]


@dataclass(frozen=True)
class Place:
    """A rectangle by its corner and size."""

    x: float
    y: float
    width: float
    height: float

    def meets(self, other: Place) -> bool:
        """Whether the two have more in common than an edge."""
        beside = self.x + self.width <= other.x or other.x + other.width <= self.x
        return not beside and self.y + self.height > other.y and other.y + other.height > self.y


class Grid:
    """Where ranks and items are."""

    def __init__(self, plan: Ranked, extents: list[Point], upright: bool):
        """Nothing has a place yet. `extents` are how large each item is along and across the flow."""
        self.plan = plan
        self.extents = extents
        self.upright = upright
        count = max((item.rank for item in plan.items), default=-1) + 1
        self.starts, self.ends, self.stubs = [0.0] * count, [0.0] * count, [0.0] * count
        """Where each rank starts and ends along the flow, and how long edges go straight on behind it."""
        self._rows = [number for number, row in enumerate(plan.rows) for _ in row]
        self.middle = [0.0] * len(plan.items)
        """Where each item's middle is across the flow."""
        self.gutters: list[float] = []
        """Where the middle of the space after each row is."""
        self.exits: dict[tuple[int, Ref], float] = {}
        """Where across the flow a blob leaves an item."""
        self.entries: dict[tuple[int, int], float] = {}
        """Where across the flow what comes from an item (second) enters another (first)."""
        self.bends = [34.0] * count
        """How much edges need behind a rank to come from where they leave to where they enter."""

    def point(self, along: float, across: float) -> Point:
        """x and y."""
        return (across, along) if self.upright else (along, across)

    def start(self, item: int) -> float:
        """Where an item starts along the flow: it stands in the middle of its rank."""
        rank = self.plan.items[item].rank
        return (self.starts[rank] + self.ends[rank] - self.extents[item][0]) / 2

    def place(self, item: int) -> Place:
        """An item's rectangle."""
        along, across = self.extents[item]
        x, y = self.point(self.start(item), self.middle[item] - across / 2)
        return Place(x, y, *self.point(along, across))

    def row(self, item: int) -> int:
        """The number of the row that an item is in."""
        return self._rows[self.plan.items[item].rank]
