"""A Recurrent or a Repeat as steps: the layers of its body, run by run, with states handed from one to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from layerkit.blob import Array
from layerkit.graph import Node
from layerkit.layers.control.repeat import Repeat
from layerkit.layers.recurrent.recurrent import Recurrent
from layerkit.layers.recurrent.roles import LEARNED
from layerkit.layers.recurrent.way import Way
from layerkit.report.tracing.joining import Piece, Runs, cut, place, placed, stopped
from layerkit.report.tracing.placing import Part
from layerkit.report.tracing.values import Step
from layerkit.words import counted

if TYPE_CHECKING:
    from layerkit.report.tracing.steps import Reader


def opened(reader: Reader, node: Node, layer: Recurrent | Repeat, bottoms: Sequence[int]) -> list[int]:
    """The steps of all runs; returns the tops' values."""
    values = reader.steps.values
    ways = layer.ways([values[number].data.shape for number in bottoms])
    shapes = [reader.point.blobs[ref].shape for ref in node.tops]
    pieces: list[list[Piece]] = [[] for _ in shapes]
    ran = []
    for i, way in enumerate(ways):
        parts = [(slice(None),) for _ in shapes]
        if len(ways) > 1:
            parts = [(slice(i * (shape[-1] // 2), (i + 1) * (shape[-1] // 2)),) for shape in shapes]
        found = _Walk(reader, node, way, bottoms)
        found.run()
        tops = [found.pieces(j, (..., *part) if len(ways) > 1 else ()) for j, part in enumerate(parts)]
        for all_pieces, more in zip(pieces, found.runs.close(tops, shapes), strict=True):
            all_pieces += more
        ran.append(len(found.runs.numbers))
    written = f"{node.spec.type}, {counted(ran[0], 'step' if isinstance(layer, Recurrent) else 'run')}"
    steering = [number for i, number in enumerate(bottoms) if i in ways[0].roles.steering]
    return [
        place(reader, node, reader.named(ref), written, each, shape, steering)
        for ref, each, shape in zip(node.tops, pieces, shapes, strict=True)
    ]


@dataclass
class _Walk:
    """One way through the runs."""

    reader: Reader
    node: Node
    way: Way
    bottoms: Sequence[int]
    outputs: list[list[int]] = field(default_factory=list)
    """The values of the outputs, for each run."""

    def __post_init__(self) -> None:
        roles, name = self.way.roles, self.reader.prefix + self.node.name
        self.runs = Runs(self.reader, self.node, name if self.way.name == "body" else f"{name}/{self.way.name}")
        self.cont = None if roles.cont is None else self.way.going_on(self._data(roles.cont))
        self.alive = None if roles.lengths is None else ~self.way.ended(self._data(roles.lengths))

    def run(self) -> None:
        """Read all runs."""
        way, reader = self.way, self.reader
        states: dict[str, int] = {}
        for i in range(way.steps):
            prefix = self.runs.begin(way.steps - 1 - i if way.reverse else i)
            inputs = {name: self._slice(prefix, name, j, i) for name, j in way.roles.sliced.items()}
            inputs |= {name: self._bottom(prefix + name, j) for name, j in way.roles.static.items()}
            entering = {state: self._enter(prefix, state, states.get(state), i) for state in way.states}
            inside = reader.run(self.node, way.name, prefix, {**inputs, **entering})
            self.outputs.append([inside.last(output.blob) for output in way.outputs])
            states = {state: inside.last(each.next) for state, each in way.states.items()}
            if self.alive is not None and not self.alive[i].all():
                states = {state: self._hold(prefix, state, new, entering[state], i) for state, new in states.items()}
            if way.until is not None and reader.steps.values[inside.last(way.until)].data.all():
                break

    def pieces(self, output: int, rest: tuple[Any, ...]) -> list[Piece]:
        """What the runs give to a top, at this part of its other axes."""
        found = []
        for i, values in enumerate(self.outputs):
            rows = self._rows(i, self.way.outputs[output].take)
            number = self.runs.numbers[i]
            if self.way.outputs[output].take == "all":
                where = (number, rest) if rows is None else (number, (rows, *rest))
                found.append(Piece(i, values[output], *where, ... if rows is None else rows))
            elif rows is None and i == len(self.outputs) - 1:
                found.append(Piece(i, values[output], slice(None), rest))
            elif rows is not None and len(rows):
                found.append(Piece(i, values[output], rows, rest, rows))
        return found

    def _rows(self, i: int, take: str) -> Array | None:
        """The sequences for which a run counts: all that go on, or those of which it is the last; None: no lengths."""
        if self.alive is None:
            return None
        last = i == len(self.alive) - 1 or ~self.alive[min(i + 1, len(self.alive) - 1)]
        found: Array = np.nonzero(self.alive[i] if take == "all" else self.alive[i] & last)[0]
        return found

    def _data(self, bottom: int) -> Array:
        return self.reader.steps.values[self.bottoms[bottom]].data

    # -- what goes into a run ----------------------------------------------------------------------------------------

    def _slice(self, prefix: str, name: str, bottom: int, i: int) -> int:
        """A step's part of a sequence."""
        steady = () if self.node.propagates(bottom) else (0,)
        return cut(self.reader, self.node, prefix + name, self.bottoms[bottom], self.runs.numbers[i], steady)

    def _bottom(self, name: str, bottom: int) -> int:
        """A bottom that is read as it is; no derivative goes where none is wanted."""
        value = self.bottoms[bottom]
        return value if self.node.propagates(bottom) else stopped(self.reader, self.node, name, value)

    def _enter(self, prefix: str, state: str, before: int | None, i: int) -> int:
        """A state as it enters a run: what the run before left, as far as `cont` lets it go on."""
        name, truncate = prefix + state, self.way.truncate
        goes_on = self.cont is None or bool((self.cont[i] == 1).all())
        stops = before is not None and truncate is not None and i % truncate == 0
        if before is None:
            before = self._start(name if goes_on else f"{name}.start", state)
        if self.cont is None or goes_on:
            return stopped(self.reader, self.node, name, before) if stops else before
        shape = self._shape(state)
        going = self.cont[i].reshape(-1, *[1] * (len(shape) - 1)).astype(self.reader.steps.dtype)
        parts, arguments = [Part(0, ..., ..., going)], [before]
        if self.way.states[state].start == LEARNED:
            arguments.append(self.reader.weight(f"{self.node.name}.{self.way.learned_start(state)}"))
            parts += [Part(1, row, ..., 1 - going[row]) for row in range(shape[0])]
        written = f"{self.reader.steps.values[before].name}, where cont is 1"
        steady = (0,) if stops else ()
        return placed(self.reader, self.node, name, written, arguments, shape, parts, steady)

    def _start(self, name: str, state: str) -> int:
        """A state before the first run."""
        way, steps, start = self.way, self.reader.steps, self.way.states[state].start
        if not way.carry and state in way.roles.starts:
            return self._bottom(name, way.roles.starts[state])
        shape = self._shape(state)
        if not way.carry and start == LEARNED:
            weight = self.reader.weight(f"{self.node.name}.{way.learned_start(state)}")
            parts = [Part(0, row) for row in range(shape[0])]
            return placed(self.reader, self.node, name, "learned start", [weight], shape, parts)
        array = way.carried(state) if way.carry else np.zeros(shape)
        leaf = Step(
            name,
            "as the batch before left it" if way.carry else "zeros",
            "constant",
            None,
            layer=self.reader.prefix + self.node.name,
        )
        (value,) = steps.add(leaf, [(name, array.copy())])
        return value

    def _shape(self, state: str) -> tuple[int, ...]:
        shape: tuple[int, ...] = tuple(self.node.layer.bodies[self.way.name].body.inputs[state])
        return shape

    def _hold(self, prefix: str, state: str, new: int, old: int, i: int) -> int:
        """A state as it leaves a run: as it was before in sequences that have ended."""
        assert self.alive is not None
        rows, others = (np.nonzero(each)[0] for each in (self.alive[i], ~self.alive[i]))
        parts = Part(0, rows, rows), Part(1, others, others)
        written = f"{state} as it was, where sequences have ended"
        shape = self._shape(state)
        return placed(self.reader, self.node, f"{prefix}{state}.held", written, [new, old], shape, parts)
