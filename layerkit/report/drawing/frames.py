"""Frames around the layers that were unfolded from one block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from layerkit.report.drawing.grid import Place
from layerkit.report.drawing.lettering import shorten, width
from layerkit.report.drawing.picture import Picture
from layerkit.report.drawing.sizes import LABEL

_FREE, _TITLE, _NESTED = 8.0, 16.0, 5.0


def frames(picture: Picture, boxes: Sequence[Place], rows: Sequence[int]) -> Iterator[tuple[Place, str]]:
    """A frame for each use of a block and each row that has several of its boxes, unless others stand in its way.

    A frame comes before those inside it.
    """
    uses = dict.fromkeys(name for box in picture.boxes for name in box.frames)
    found: list[tuple[Place, str, frozenset[int]]] = []
    for name in uses:
        inside = [index for index, box in enumerate(picture.boxes) if name in box.frames]
        for row in sorted({rows[index] for index in inside}):
            here = frozenset(index for index in inside if rows[index] == row)
            depth = max(len(picture.boxes[index].frames) - picture.boxes[index].frames.index(name) for index in here)
            if len(here) > 1:
                found.append((_around([boxes[index] for index in here], name, _NESTED * min(depth, 2)), name, here))
    drawn: list[tuple[Place, frozenset[int]]] = []
    for place, name, here in sorted(found, key=lambda each: -len(each[2])):  # of two that overlap, the larger is drawn
        clear = all(index in here or not place.meets(box) for index, box in enumerate(boxes))
        if clear and all(here <= other or not place.meets(rival) for rival, other in drawn):
            drawn.append((place, here))
            yield place, name


def _around(places: Sequence[Place], title: str, more: float) -> Place:
    free = _FREE + more
    left, top = min(place.x for place in places) - free, min(place.y for place in places) - free - _TITLE
    right = max(max(place.x + place.width for place in places) + free, left + width(shorten(title), LABEL) + 16)
    return Place(left, top, right - left, max(place.y + place.height for place in places) + free - top)
