"""Units: what runs as one piece, a layer or a chain of layers that an engine joins into one pass over memory.

The graph says which chains there are; an engine says which of them it can run as one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from layerkit.graph.gradients import Step
from layerkit.graph.node import Node
from layerkit.graph.order import Ref

LONGEST = 4
"""Most layers of a chain: convolution, normalisation, scale, rectifier."""


class Unit(NamedTuple):
    """A layer, or a chain of layers each of which reads just the top of the one before."""

    nodes: tuple[int, ...]
    """Their positions in the graph, rising."""
    bottoms: tuple[Ref, ...]
    """What the first one reads."""
    tops: tuple[Ref, ...]
    """What the last one makes."""
    inside: tuple[Ref, ...] = ()
    """What passes between them and is seen nowhere else."""


class UnitStep(NamedTuple):
    """One unit's part in a backward pass."""

    unit: int
    propagate_down: tuple[bool, ...]
    asked: tuple[frozenset[str], ...]
    """For each of its layers, the weights whose diffs are wanted."""


def find_units(
    nodes: Sequence[Node],
    may_hide: Callable[[Ref], bool],
    joins: Callable[[Sequence[int]], bool],
    apart: frozenset[int] = frozenset(),
) -> list[Unit]:
    """The graph's layers as units, in the order in which they run: by their last layer.

    `may_hide` says whether a blob that only one layer reads may go unseen; `joins` whether a chain can run as one. The
    longest chain wins. Nodes in `apart` stay on their own.
    """
    readers: dict[Ref, list[int]] = {}
    for index, node in enumerate(nodes):
        for ref in node.bottoms:
            readers.setdefault(ref, []).append(index)
    taken: set[int] = set()
    units: list[Unit] = []
    for index in range(len(nodes)):
        if index in taken:
            continue
        chain, found = [index], 1
        while len(chain) < LONGEST:
            follower = _follower(nodes, chain[-1], readers, may_hide)
            if follower is None or follower in taken or not apart.isdisjoint((*chain, follower)):
                break
            chain.append(follower)
            if joins(chain):
                found = len(chain)
        chain = chain[:found]
        taken.update(chain)
        inside = tuple(nodes[i].tops[0] for i in chain[:-1])
        units.append(Unit(tuple(chain), nodes[index].bottoms, nodes[chain[-1]].tops, inside))
    return sorted(units, key=lambda unit: unit.nodes[-1])


def _follower(
    nodes: Sequence[Node], index: int, readers: dict[Ref, list[int]], may_hide: Callable[[Ref], bool]
) -> int | None:
    """The layer that reads a layer's only top and nothing else, where nobody else reads it."""
    node = nodes[index]
    if len(node.tops) != 1 or any(node.loss_weights) or not node.bottoms:
        return None
    (top,) = node.tops
    readers_of_top = readers.get(top, [])
    if len(readers_of_top) != 1 or not may_hide(top):
        return None
    follower = nodes[readers_of_top[0]]
    plain = not any(each.plan.dynamic or each.plan.bodies for each in (node, follower))
    alone = follower.bottoms == (top,) and len(follower.tops) == 1
    propagates = follower.spec.propagate_down is None and not follower.spec.cls.loss and not follower.spec.cls.metric
    return readers_of_top[0] if plain and alone and propagates else None


def unit_segments(units: Sequence[Unit], segments: Mapping[int, str]) -> dict[str, list[int]]:
    """The units of each segment, in the order in which they run; a chain belongs where its first layer does."""
    found: dict[str, list[int]] = {}
    for index, unit in enumerate(units):
        if unit.nodes[0] in segments:
            found.setdefault(segments[unit.nodes[0]], []).append(index)
    return found


def schedule(steps: Sequence[UnitStep], segments: Mapping[str, Sequence[int]]) -> list[UnitStep | int]:
    """A backward pass with what is computed again: before a segment's first step, each of its units by its number."""
    segment_of = {unit: name for name, units in segments.items() for unit in units}
    order: list[UnitStep | int] = []
    done: set[str] = set()
    for step in steps:
        name = segment_of.get(step.unit)
        if name is not None and name not in done:
            done.add(name)
            order += segments[name]
        order.append(step)
    return order


def unit_steps(units: Sequence[Unit], steps: Sequence[Step]) -> list[UnitStep]:
    """A backward pass over layers as one over units."""
    by_node = {step.node: step for step in steps}
    found = []
    for index in range(len(units) - 1, -1, -1):
        unit = units[index]
        own = [by_node.get(node) for node in unit.nodes]
        if any(own):
            down = own[0].propagate_down if own[0] else (False,) * len(unit.bottoms)
            found.append(UnitStep(index, down, tuple(step.asked if step else frozenset() for step in own)))
    return found
