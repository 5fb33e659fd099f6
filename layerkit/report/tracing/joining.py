"""The runs of a body: which of them are shown, and how what they make becomes the tops of their layer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from layerkit.blob import Shape
from layerkit.graph import Node
from layerkit.registry import family
from layerkit.report.tracing.placing import Part, Placing
from layerkit.report.tracing.values import Group, Step

if TYPE_CHECKING:
    from layerkit.report.tracing.steps import Reader


@dataclass(frozen=True)
class Piece:
    """What one run gives to a top."""

    run: int
    value: int
    first: Any
    """Where on the top's axis 0: a position, several, or a slice of all."""
    rest: tuple[Any, ...] = ()
    """Where on the other axes."""
    source: Any = ...
    """Which part of the value it is."""


@dataclass
class Runs:
    """The runs of one body, in the order in which they are read."""

    reader: Reader
    node: Node
    name: str
    """What they have in common; a run adds its number in brackets."""
    numbers: list[int] = field(default_factory=list)
    """The number of each run that there is."""
    _begins: list[int] = field(default_factory=list)

    def begin(self, number: int) -> str:
        """Note that a run begins; returns what the names in it begin with."""
        self._begins.append(len(self.reader.steps.steps))
        self.numbers.append(number)
        return f"{self.name}[{number}]/"

    @property
    def hidden(self) -> range:
        """The runs that are not shown: those in the middle."""
        shown, count = self.reader.shown, len(self.numbers)
        return range(shown - shown // 2, count - shown // 2) if count > shown else range(0)

    def close(self, tops: Sequence[Sequence[Piece]], shapes: Sequence[Shape]) -> list[list[Piece]]:
        """Let the hidden runs be one step; returns what is to be joined to the tops, of these shapes."""
        hidden, steps = self.hidden, self.reader.steps
        if not hidden:
            return [[*pieces] for pieces in tops]
        ends = [*self._begins[1:], len(steps.steps)]
        first, last = sorted((self.numbers[hidden[0]], self.numbers[hidden[-1]]))
        name = f"{self.name}[{first}..{last}]"
        group = Group(name, f"{len(hidden)} runs, see --steps", family(self.node.spec.type))
        steps.group(self._begins[hidden[0]], ends[hidden[-1]], group)
        behind = len(steps.steps)
        joined = [
            self._together(pieces, f"{name}/{number}", shape)
            for number, (pieces, shape) in enumerate(zip(tops, shapes, strict=True))
        ]
        steps.group(behind, len(steps.steps), group)
        return joined

    def _together(self, pieces: Sequence[Piece], name: str, shape: Shape) -> list[Piece]:
        """Pieces of which those of hidden runs are one."""
        inside = [piece for piece in pieces if piece.run in self.hidden]
        if len(inside) < 2:
            return [*pieces]
        first = min(int(np.min(piece.first)) for piece in inside)
        end = max(int(np.max(piece.first)) for piece in inside) + 1
        moved = [Piece(each.run, each.value, each.first - first, each.rest, each.source) for each in inside]
        value = place(self.reader, self.node, name, "runs joined", moved, (end - first, *shape[1:]))
        return [piece for piece in pieces if piece not in inside] + [Piece(-1, value, slice(first, end))]


def placed(
    reader: Reader,
    node: Node,
    name: str,
    written: str,
    arguments: Sequence[int],
    shape: Shape,
    parts: Sequence[Part],
    steady: Collection[int] = (),
) -> int:
    """A step of a layer that only places values; returns what it makes."""
    operation = Placing([reader.steps.values[each].data for each in arguments], shape, parts, steady)
    step = Step(name, written, family(node.spec.type), operation, tuple(arguments), layer=reader.prefix + node.name)
    (value,) = reader.steps.add(step, [(name, operation.result)])
    return value


def cut(reader: Reader, node: Node, name: str, value: int, at: int | slice, steady: Collection[int] = ()) -> int:
    """A step that takes a part of a value along axis 0."""
    source = reader.steps.values[value]
    written = f"{source.name}[{at if isinstance(at, int) else at.start}]"
    return placed(reader, node, name, written, [value], source.data[at].shape, [Part(0, ..., at)], steady)


def stopped(reader: Reader, node: Node, name: str, value: int) -> int:
    """A step that keeps derivatives from a value."""
    source = reader.steps.values[value]
    written = f"{source.name}, without gradient"
    return placed(reader, node, name, written, [value], source.data.shape, [Part(0, ...)], (0,))


def place(
    reader: Reader,
    node: Node,
    name: str,
    written: str,
    pieces: Sequence[Piece],
    shape: Shape,
    besides: Sequence[int] = (),
) -> int:
    """A step that puts pieces together, as a value of that shape; what steers it, `besides`, is read too."""
    arguments = [*dict.fromkeys([*(piece.value for piece in pieces), *besides])]
    parts = [Part(arguments.index(each.value), (each.first, *each.rest), each.source) for each in pieces]
    return placed(reader, node, name, written, arguments, shape, parts)
