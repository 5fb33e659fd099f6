"""Where in the flow each box stands: its rank, and where a long net is broken into rows.

A rank is one more than that of the last box that is read (longest path). Rows are read like lines of text. A row may
end only where a single blob goes on; what a source makes (a label, above all) may cross as well and is then not drawn
as a line but as two tags, one at the source and one at the reader.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from layerkit.graph import Ref
from layerkit.report.drawing.picture import Edge, Picture

Kind = Literal["box", "bend", "entry", "tag"]


@dataclass
class Item:
    """Something that has a place of its own: a box, a tag, a bend of a long edge, or the entry of a row."""

    kind: Kind
    rank: int
    box: int = -1
    text: str = ""


@dataclass
class Ranked:
    """The items with their ranks, the rows as ranges of ranks, and each edge's way from item to item."""

    items: list[Item]
    rows: list[range]
    ways: list[list[list[int]]] = field(default_factory=list)
    """For each edge of the picture: one way from source to target, or one to a tag and one from a tag."""

    def ranks(self, row: range) -> list[list[int]]:
        """The items of each rank of a row."""
        held: list[list[int]] = [[] for _ in row]
        for index, item in enumerate(self.items):
            if item.rank in row:
                held[item.rank - row.start].append(index)
        return held


def longest_path(boxes: int, edges: Sequence[Edge]) -> list[int]:
    """The rank of each box; a box without bottoms stands just before its first reader."""
    readers: list[list[int]] = [[] for _ in range(boxes)]
    waits = [0] * boxes
    for edge in edges:
        readers[edge.source].append(edge.target)
        waits[edge.target] += 1
    ranks = [0] * boxes
    ready = [box for box in range(boxes) if not waits[box]]
    sources = list(ready)
    while ready:
        box = ready.pop()
        for target in readers[box]:
            ranks[target] = max(ranks[target], ranks[box] + 1)
            waits[target] -= 1
            if not waits[target]:
                ready.append(target)
    for box in sources:
        ranks[box] = max(0, min((ranks[target] for target in readers[box]), default=0) - 1)
    return ranks


def breakable(ranks: Sequence[int], edges: Sequence[Edge]) -> list[int]:
    """The ranks after which a row may end."""
    last = max(ranks, default=0)
    crossing: list[set[Ref]] = [set() for _ in range(last)]
    fed = {edge.target for edge in edges}
    tagging = set()  # ranks behind which there must be room for a tag
    for edge in edges:
        if _may_be_tagged(edge, ranks, fed):
            tagging.add(ranks[edge.source])
        else:
            for rank in range(ranks[edge.source], ranks[edge.target]):
                crossing[rank].add(edge.ref)
    return [rank for rank in range(last) if len(crossing[rank]) == 1 and rank not in tagging]


def ranked(picture: Picture, ranks: Sequence[int], breaks: Sequence[int]) -> Ranked:
    """Every item of the picture, with the rows ending after the ranks `breaks`."""
    moved = [rank + sum(end < rank for end in breaks) for rank in ranks]
    items = [Item("box", rank, box) for box, rank in enumerate(moved)]
    starts = [end + 1 + number for number, end in enumerate(breaks)]  # each row begins with a rank for its entry
    bounds = [0, *starts, max(moved, default=-1) + 1]
    result = Ranked(items, [range(start, end) for start, end in itertools.pairwise(bounds)])
    made: dict[tuple[str, Ref, int], int] = {}

    def item(kind: Kind, ref: Ref, rank: int, text: str = "", side: str = "") -> int:
        key = (kind + side, ref, rank)
        if key not in made:
            made[key] = len(items)
            items.append(Item(kind, rank, text=text))
        return made[key]

    fed = {edge.target for edge in picture.edges}
    for edge in picture.edges:
        first, last = moved[edge.source], moved[edge.target]
        if _may_be_tagged(edge, ranks, fed) and any(first < start <= last for start in starts):
            out = item("tag", edge.ref, first + 1, edge.ref.name, "out")
            back = item("tag", edge.ref, last - 1, edge.ref.name, "in")
            result.ways.append([[edge.source, out], [back, edge.target]])
        else:
            inner = [item("entry" if rank in starts else "bend", edge.ref, rank) for rank in range(first + 1, last)]
            result.ways.append([[edge.source, *inner, edge.target]])
    return result


def _may_be_tagged(edge: Edge, ranks: Sequence[int], fed: Collection[int]) -> bool:
    """Whether an edge comes from a source (no box among `fed`) past other boxes."""
    return ranks[edge.target] - ranks[edge.source] > 1 and edge.source not in fed
