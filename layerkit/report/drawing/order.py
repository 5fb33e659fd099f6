"""Places across the flow: which item of a rank stands before which, and where.

Crossings are reduced by the barycentre heuristic: the items of a rank are sorted by the mean position of their
neighbours, rank by rank, there and back, and the best order seen is kept. Then each item is drawn to the mean of its
neighbours, as near as the distances between items allow.

Source: Sugiyama, Tagawa and Toda 1981, "Methods for visual understanding of hierarchical system structures".
"""

from __future__ import annotations

import itertools
from bisect import bisect_right, insort
from collections.abc import Container, Mapping, Sequence

_SWEEPS = 12
_HEAVY = 1e6
"""Weight of what must not give way, beside 1."""

Links = Sequence[tuple[int, int]]
"""Pairs of items in ranks that follow each other."""


def ordered(ranks: Sequence[Sequence[int]], links: Links) -> list[list[int]]:
    """The items of each rank in an order with few crossings."""
    before, after = _neighbours(links)
    best = current = [list(rank) for rank in ranks]
    fewest = crossings(current, links)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        forward = sweep % 2 == 0
        near = before if forward else after
        current = [list(rank) for rank in current]
        place: dict[int, int] = {}
        for rank in current if forward else reversed(current):
            own = {item: index for index, item in enumerate(rank)}
            rank.sort(key=lambda item: (_mean([place[other] for other in near.get(item, ())], own[item]), own[item]))
            place |= {item: index for index, item in enumerate(rank)}
        count = crossings(current, links)
        if count < fewest:
            best, fewest = current, count
    return best


def crossings(ranks: Sequence[Sequence[int]], links: Links) -> int:
    """How many pairs of links cross."""
    place = {item: (rank, index) for rank, items in enumerate(ranks) for index, item in enumerate(items)}
    by_rank: dict[int, list[tuple[int, int]]] = {}
    for a, b in links:
        by_rank.setdefault(place[a][0], []).append((place[a][1], place[b][1]))
    count = 0
    for pairs in by_rank.values():
        ends: list[int] = []
        for _, end in sorted(pairs):
            count += len(ends) - bisect_right(ends, end)
            insort(ends, end)
    return count


def placed(
    ranks: Sequence[Sequence[int]],
    links: Links,
    sizes: Mapping[int, float],
    gaps: Mapping[int, float],
    boxes: Container[int],
) -> dict[int, float]:
    """The middle of each item. `sizes` and `gaps` say how wide it is, and how much must be free beside it.

    The longest way through the net is drawn straight, and what branches off gives way.
    """
    before, after = _neighbours(links)
    order = [item for rank in ranks for item in rank]
    down, up = _boxes_beyond(order, before, boxes), _boxes_beyond(order[::-1], after, boxes)
    ahead = {item: _main(near, up) for item, near in after.items()}
    behind = {item: _main(near, down) for item, near in before.items()}
    heavy = {item for item, near in behind.items() if item in boxes and ahead[near[0]] == [item]}
    weights = {item: _HEAVY if item in heavy else 1.0 for item in order}
    middle: dict[int, float] = {}
    for rank in ranks:
        at = 0.0
        for item in rank:
            middle[item] = at + sizes[item] / 2
            at += sizes[item] + gaps[item]
        for item in rank:
            middle[item] -= at / 2

    def settle(rank: Sequence[int], near: Mapping[int, list[int]], other: Mapping[int, list[int]]) -> None:
        wanted = [
            _mean([middle[each] for each in near.get(item) or other.get(item) or [item]], middle[item]) for item in rank
        ]
        least = [(sizes[a] + sizes[b]) / 2 + max(gaps[a], gaps[b]) for a, b in itertools.pairwise(rank)]
        middle.update(zip(rank, spread(wanted, least, [weights[item] for item in rank]), strict=True))

    for sweep in range(_SWEEPS + 1):
        for rank in reversed(ranks) if sweep % 2 else ranks:
            settle(rank, *((ahead, behind) if sweep % 2 else (behind, ahead)))
    bends = {item for item in order if not sizes[item]}
    onward = {item: near for item, near in after.items() if item in bends and bends.issuperset(near)}
    weights = {item: 1.0 if item in bends else _HEAVY for item in order}
    for rank in reversed(ranks):  # at last a long edge is drawn straight as far as it goes, and no box is moved
        settle(rank, {item: onward.get(item) or [item] for item in rank}, {})
    return middle


def _boxes_beyond(order: Sequence[int], near: Mapping[int, list[int]], boxes: Container[int]) -> dict[int, int]:
    """The most boxes on a way that leads from each item on, the item's own included."""
    count: dict[int, int] = {}
    for item in order:
        count[item] = (item in boxes) + max((count[other] for other in near.get(item, ())), default=0)
    return count


def _main(near: Sequence[int], beyond: Mapping[int, int]) -> list[int]:
    """The neighbour through which the longest way leads; all of them where there are several such."""
    most = max(beyond[item] for item in near)
    longest = [item for item in near if beyond[item] == most]
    return longest if len(longest) == 1 else list(near)


def spread(wanted: Sequence[float], least: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The positions nearest to those wanted (least squares) that lie at least `least` apart, in the order given.

    Source: Ayer et al. 1955, isotonic regression by pooling adjacent violators.
    """
    offsets = [0.0]
    for distance in least:
        offsets.append(offsets[-1] + distance)
    pools: list[tuple[float, float, int]] = []  # mean, weight, count
    for want, offset, weight in zip(wanted, offsets, weights, strict=False):
        mean, total, count = want - offset, weight, 1
        while pools and pools[-1][0] >= mean:
            other, heavy, many = pools.pop()
            mean = (mean * total + other * heavy) / (total + heavy)
            total, count = total + heavy, count + many
        pools.append((mean, total, count))
    flat = [mean for mean, _, count in pools for _ in range(count)]
    return [mean + offset for mean, offset in zip(flat, offsets, strict=False)]


def _neighbours(links: Links) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    before: dict[int, list[int]] = {}
    after: dict[int, list[int]] = {}
    for a, b in links:
        after.setdefault(a, []).append(b)
        before.setdefault(b, []).append(a)
    return before, after


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default
