"""Plans memory: when each array is needed, which may be one array, and where each lies in one arena.

Time runs from unit to unit, forward and then backward. Two arrays whose times do not overlap may lie in one place.
What a segment computes again is needed twice: in the forward pass, and from when it is computed again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from layerkit.blob import ALIGNMENT, Shape
from layerkit.graph.order import Ref
from layerkit.graph.units import Unit, UnitStep

FOREVER = 1 << 30
"""The end of what must be there after the passes."""


class Key(NamedTuple):
    """An array: a blob's `data` or `diff`; what one of several readers adds to a diff (`part`); a layer's `scratch`.

    With `again`, the same array for the second time.
    """

    kind: str
    ref: Ref = Ref("")
    unit: int = -1
    what: str = ""
    again: bool = False


_AREA = Key("scratch")


class Needs(NamedTuple):
    """What a unit says of the arrays it is given, as its plan or its engine's kernel does."""

    reads_bottoms: frozenset[int]
    """Bottoms whose data its backward pass reads."""
    reads_tops: frozenset[int]
    shares_data: bool
    """Whether top 0 may lie where bottom 0 does."""
    shares_diff: bool
    """Whether bottom 0's diff may lie where top 0's does."""
    passes: frozenset[int] = frozenset()
    """Bottoms whose diff is top 0's diff unchanged."""
    spoils: bool = False
    """Whether its backward pass may change the tops' diffs."""
    scratch: tuple[tuple[str, int, bool], ...] = ()
    """Name and bytes of each work array, and whether it is needed from the forward to the backward pass."""


@dataclass
class Span:
    """When an array is needed, and where it lies."""

    key: Key
    size: int
    start: int
    end: int
    changes: list[float] = field(default_factory=list)
    """When it is changed after it was first written; half a step later for what happens after a unit has run."""


@dataclass
class MemoryPlan:
    """Where each array lies in the arena and how long it is, in bytes; `size` is the arena's."""

    offsets: Mapping[Key, int]
    sizes: Mapping[Key, int]
    size: int


def plan_memory(
    units: Sequence[Unit],
    needs: Sequence[Needs],
    backward: Sequence[UnitStep | int],
    shapes: Mapping[Ref, Shape],
    pinned: Collection[Ref],
    pinned_diffs: Collection[Ref] = (),
    segments: Mapping[str, Sequence[int]] | None = None,
    itemsize: int = 4,
) -> MemoryPlan:
    """Plan the passes over `units`; `backward` is the backward pass as `schedule` gives it, empty without one.

    Data that is `pinned` stays from one pass to the next, and so do `pinned_diffs` from the backward pass on.
    """
    sizes = {ref: itemsize * math.prod(shape) for ref, shape in shapes.items()}
    planner = _Planner(units, needs, backward, sizes, frozenset(pinned), frozenset(pinned_diffs), segments or {})
    plan = place(planner.groups())
    area = plan.offsets[_AREA]
    inside = {key: area + start for key, (start, _) in planner.within.items()}
    lengths = {key: length for key, (_, length) in planner.within.items()}
    return MemoryPlan({**plan.offsets, **inside}, {**plan.sizes, **lengths}, plan.size)


def place(groups: Iterable[Sequence[Span]]) -> MemoryPlan:
    """Lay out groups of spans, each group in one place: the largest first, each as low as it fits."""
    boxes = sorted(((max(s.size for s in group), group) for group in groups), key=lambda box: -box[0])
    placed: list[tuple[int, int, Sequence[Span]]] = []  # start and end in bytes, group; by rising start
    offsets: dict[Key, int] = {}
    total = 0
    for size, group in boxes:
        size = -(-size // ALIGNMENT) * ALIGNMENT
        offset = 0
        for low, high, others in placed:
            if not _meet(group, others):
                continue
            if offset + size <= low:
                break
            offset = max(offset, high)
        placed.append((offset, offset + size, group))
        placed.sort(key=lambda box: box[0])
        offsets.update(dict.fromkeys((span.key for span in group), offset))
        total = max(total, offset + size)
    return MemoryPlan(offsets, {span.key: span.size for _, group in boxes for span in group}, total)


def _meet(group: Sequence[Span], others: Sequence[Span]) -> bool:
    """Whether any of one group is needed at a time when any of another is."""
    return any(a.start <= b.end and b.start <= a.end for a in group for b in others)


class _Planner:
    """Collects spans, and joins those that may be one array."""

    def __init__(
        self,
        units: Sequence[Unit],
        needs: Sequence[Needs],
        backward: Sequence[UnitStep | int],
        sizes: Mapping[Ref, int],
        pinned: frozenset[Ref],
        pinned_diffs: frozenset[Ref],
        segments: Mapping[str, Sequence[int]],
    ):
        self.units, self.needs, self.sizes = units, needs, sizes
        self.pinned, self.pinned_diffs = pinned, pinned_diffs
        self.steps = [step for step in backward if isinstance(step, UnitStep)]
        self.backward_at: dict[int, int] = {}
        self.again_at: dict[int, int] = {}
        for time, step in enumerate(backward, len(units)):
            if isinstance(step, UnitStep):
                self.backward_at[step.unit] = time
            else:
                self.again_at[step] = time
        self.maker = {ref: index for index, unit in enumerate(units) for ref in unit.tops}
        self.segment_of = {unit: name for name, members in segments.items() for unit in members}
        self.group_of: dict[Key, list[Span]] = {}
        self.spans: dict[Key, Span] = {}
        self.within: dict[Key, tuple[int, int]] = {}
        """Where work arrays lie in the area that all units have in common, and how long they are."""
        self._data()
        self._diffs()
        self._scratch()

    def groups(self) -> list[list[Span]]:
        """The spans, those that lie in one place together."""
        return list({id(group): group for group in self.group_of.values()}.values())

    def _add(self, key: Key, size: int, start: int, end: int) -> Span:
        span = self.spans[key] = Span(key, size, start, end)
        self.group_of[key] = [span]
        return span

    def _join(self, key: Key, other: Key) -> None:
        joined = self.group_of[key] + self.group_of[other]
        for span in joined:
            self.group_of[span.key] = joined

    def _data(self) -> None:
        for now, unit in enumerate(self.units):
            for ref in unit.tops:
                start, end = (-1, FOREVER) if ref in self.pinned else (now, now)
                self._add(Key("data", ref), self.sizes[ref], start, end)
                if now in self.again_at:
                    self._again(Key("data", ref), self.again_at[now])
        for now, unit in enumerate(self.units):
            needs, back = self.needs[now], self.backward_at.get(now, -1)
            for refs, reads in ((unit.bottoms, needs.reads_bottoms), (unit.tops, needs.reads_tops)):
                for i, ref in enumerate(refs):
                    first, later = self.spans[Key("data", ref)], self.spans[self._later(ref, now)]
                    first.end = max(first.end, now)
                    later.end = max(later.end, self.again_at.get(now, -1), back if i in reads else -1)
        for now, unit in enumerate(self.units):
            alone = unit.bottoms and unit.bottoms.count(unit.bottoms[0]) == 1  # else it is still to be read further on
            if self.needs[now].shares_data and alone and now not in self.again_at:
                self._share(Key("data", unit.bottoms[0]), Key("data", unit.tops[0]), now)

    def _later(self, ref: Ref, unit: int) -> Key:
        """What a unit reads of a blob after the forward pass: inside of the blob's segment, what was computed again."""
        maker = self.maker[ref]
        inside = maker in self.again_at and self.segment_of[maker] == self.segment_of.get(unit)
        return Key("data", ref, again=inside)

    def _again(self, key: Key, start: int) -> Span:
        """The same array, needed a second time from `start` on."""
        span = self._add(key._replace(again=True), self.spans[key].size, start, start)
        self._join(key, span.key)
        return span

    def _share(self, before: Key, after: Key, now: int) -> None:
        """Let `after`, written at `now`, lie where `before` does, if nobody needs that any more."""
        first, second = self.spans[before], self.spans[after]
        over = all(span.end <= now for span in self.group_of[before])
        if over and first.size == second.size and second.start == now and self.group_of[after] == [second]:
            self._join(before, after)

    def _diffs(self) -> None:
        gifts: list[tuple[int, Needs, Unit, int, Key]] = []
        for step in self.steps:
            now, unit, needs = self.backward_at[step.unit], self.units[step.unit], self.needs[step.unit]
            for ref in unit.tops:
                span = self.spans.get(Key("diff", ref)) or self._add(Key("diff", ref), self.sizes[ref], now, now)
                span.end = now
                if needs.spoils or ref in self.pinned:  # pinned may mean a loss weight, which is added to the diff
                    span.changes.append(now)
            for i, goes in enumerate(step.propagate_down):
                if goes:
                    gifts.append((now, needs, unit, i, self._give(step.unit, i, now)))
        for ref in self.pinned_diffs:
            if Key("diff", ref) in self.spans:
                self.spans[Key("diff", ref)].end = FOREVER
        for now, needs, unit, i, own in gifts:  # all spans are known now
            top = Key("diff", unit.tops[0])
            if i in needs.passes and own.kind == "diff":
                self._alias(top, own)
            elif i == 0 and needs.shares_diff and not needs.passes:
                self._share(top, own, now)

    def _give(self, index: int, i: int, now: int) -> Key:
        """A unit gives a diff to its bottom `i`: the first one in its place, a later one in an array to add from."""
        ref = self.units[index].bottoms[i]
        total = self.spans.get(Key("diff", ref))
        own = Key("diff", ref)
        if total is not None:
            total.changes.append(now + 0.5)
            own = Key("part", ref, index, str(i))
        self._add(own, self.sizes[ref], now, now)
        return own

    def _alias(self, key: Key, other: Key) -> None:
        """Let two arrays of the same values be one, if no change to one falls into a time when another is needed."""
        group = self.group_of[key] + self.group_of[other]
        same = self.spans[key].size == self.spans[other].size
        pairs = ((span, each) for span in group for each in group if each is not span)
        clash = any(span.start < at < span.end for span, each in pairs for at in each.changes)
        if same and not clash:
            self._join(key, other)

    def _scratch(self) -> None:
        """Work arrays that are needed within a pass only are laid into one area, from its beginning for each unit."""
        most = 0
        for index, needs in enumerate(self.needs):
            back, inside = self.backward_at.get(index, index), 0
            for name, size, keep in needs.scratch:
                key = Key("scratch", unit=index, what=name)
                if keep and index in self.again_at:
                    self._add(key, size, index, index)
                    again = self._again(key, self.again_at[index])
                    again.end = max(again.end, back)
                elif keep:
                    self._add(key, size, index, back)
                else:
                    self.within[key] = inside, size
                    inside += -(-size // ALIGNMENT) * ALIGNMENT
            most = max(most, inside)
        self._add(_AREA, most, -1, FOREVER)
