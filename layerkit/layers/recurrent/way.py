"""One way through time: a body with its states, from the first step to the last or back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Body, Bottoms, Layer, Scratch, State, Weight
from layerkit.layers.recurrent.roles import LEARNED, OutputParams, Roles, StateParams
from layerkit.layers.recurrent.step_shapes import plan_step

Run = Callable[[], None]
Span = tuple[int, int]
"""The first step of a piece, and the one behind its last."""


@dataclass(frozen=True)
class WayPlan:
    """What one way asks for: a part of its layer's plan."""

    outputs: list[Shape]
    """In one step."""
    weights: list[Weight]
    scratch: list[Scratch]
    state: list[State]
    body: Body


@dataclass(frozen=True)
class Way:
    """One way of a layer through `steps` steps of `rows` sequences.

    It is cut into pieces, about as many as each has steps, or where the gradient stops. With `one_memory` only the
    states between pieces are kept, and a piece's steps are computed again for the backward pass.
    """

    layer: Layer
    name: str
    """The body's."""
    states: Mapping[str, StateParams]
    outputs: Sequence[OutputParams]
    roles: Roles
    steps: int
    rows: int
    reverse: bool = False
    carry: bool = False
    truncate: int | None = None
    one_memory: bool = False
    until: str | None = None
    """The blob that ends it, where all its elements are other than 0 after a step; each step is a piece then."""

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, bottoms: Sequence[Shape]) -> WayPlan:
        """What there must be. Raises ShapeError and ConfigError where something does not fit."""
        roles, rows = self.roles, self.rows
        inputs: dict[str, Shape] = {name: (rows, *bottoms[i][2:]) for name, i in roles.sliced.items()}
        inputs |= {name: bottoms[i] for name, i in roles.static.items()}
        learned = [state for state, each in self.states.items() if each.start == LEARNED]
        body, shapes = plan_step(
            self.layer,
            self.name,
            self.layer.params.body,
            inputs,
            self._given_shapes(bottoms),
            self.states,
            [output.blob for output in self.outputs] + ([] if self.until is None else [self.until]),
            rows,
            sliced=frozenset(roles.sliced),
            begins=None if roles.cont is None else frozenset(learned),
            holds=roles.lengths is not None,
            runs=self.steps,
        )
        of_states = {state: body.inputs[state] for state in self.states}
        scratch = [
            *(Scratch(self._own(state), (len(self.spans), *shape), keep=True) for state, shape in of_states.items()),
            *(Scratch(self._own(state, "diff"), shape) for state, shape in of_states.items()),
        ]
        if roles.cont is not None:
            scratch.append(Scratch(self._own("cont"), (self.steps, rows), keep=True))
        if roles.lengths is not None:
            scratch.append(Scratch(self._own("ended"), (self.steps, rows), "bool", keep=True))
        return WayPlan(
            outputs=shapes[: len(self.outputs)],
            weights=[Weight(self._start(state), of_states[state][1:], self.states[state].filler) for state in learned],
            scratch=scratch,
            state=[State(self._own(state), shape) for state, shape in of_states.items()] if self.carry else [],
            body=body,
        )

    def _given_shapes(self, bottoms: Sequence[Shape]) -> dict[str, Shape]:
        """The shapes of the states for which they are given, by `shape` or by a bottom."""
        given: dict[str, Shape] = {}
        for state, each in self.states.items():
            if each.shape is not None:
                given[state] = (self.rows, *each.shape)
            if state in self.roles.starts:
                bottom = bottoms[self.roles.starts[state]]
                wanted = given.setdefault(state, (self.rows, *bottom[1:]))
                if bottom != wanted:
                    message = f"the start of {state!r} must be {shape_text(wanted)}, not {shape_text(bottom)}"
                    raise ShapeError(message, "states", state, "start")
        return given

    @property
    def spans(self) -> list[Span]:
        """The steps of each piece."""
        length = 1 if self.until is not None else self.truncate or math.isqrt(max(0, self.steps - 1)) + 1
        return [(first, min(first + length, self.steps)) for first in range(0, self.steps, length)]

    def _own(self, *words: str) -> str:
        return "/".join((self.name, *words))

    def _start(self, state: str) -> str:
        return f"{state}_start" if self.name == "body" else self._own(f"{state}_start")

    # -- forward ---------------------------------------------------------------------------------------------------

    def forward(self, bottom: Bottoms, tops: Sequence[Array]) -> list[Run]:
        """Write the outputs: of all steps (T, N, ...), or of the last ones (N, ...).

        Returns what puts the layers of the body back to what they were before each piece.
        """
        self._steer(bottom)
        states = self._first_states(bottom)
        for output, top in zip(self.outputs, tops, strict=True):
            if output.take == "last":
                top[...] = 0  # of sequences without steps
        undo: list[Run] = []
        for i, (piece, span) in enumerate(zip(self._pieces(), self.spans, strict=True)):
            for state, value in states.items():
                self._scratch(state)[i] = value
            undo.append(self._loop.remember())
            self._run(piece, bottom, i)
            for output, top in zip(self.outputs, tops, strict=True):
                self._write(piece.output(output.blob), output, top, span)
            states = {state: piece.end(state) for state in self.states}
            if self.until is not None and piece.output(self.until).all():
                break
        for state, value in states.items() if self.carry else ():
            getattr(self.layer.state, self._own(state))[: self.rows] = value
        return undo

    @property
    def _loop(self) -> Any:
        return self.layer.bodies[self.name]

    def _pieces(self) -> Iterator[Any]:
        """The pieces in order, each made when it is needed."""
        lengths = [end - first for first, end in self.spans]
        pieces: Iterator[Any] = self._loop.pieces(lengths, one_memory=self.one_memory)
        return pieces

    def _scratch(self, *words: str) -> Array:
        array: Array = getattr(self.layer.scratch, self._own(*words))
        return array

    def _ordered(self, array: Array) -> Array:
        """Steps in the order in which this way goes through them."""
        return array[::-1] if self.reverse else array

    def _steer(self, bottom: Bottoms) -> None:
        """Write where sequences go on and where they have ended, in this way's order of steps."""
        if self.roles.cont is not None:
            cont, given = self._scratch("cont"), self._ordered(bottom[self.roles.cont].data)
            cont[...] = given
            if self.reverse:  # going back, a sequence begins behind the first step of the one that follows it
                cont[1:] = given[:-1]
                cont[:1] = 1
        if self.roles.lengths is not None:
            ended = np.arange(self.steps)[:, np.newaxis] >= bottom[self.roles.lengths].data
            self._scratch("ended")[...] = self._ordered(ended)

    def _first_states(self, bottom: Bottoms) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for state, each in self.states.items():
            if self.carry:
                found[state] = getattr(self.layer.state, self._own(state))[: self.rows]
            elif state in self.roles.starts:
                found[state] = bottom[self.roles.starts[state]].data
            else:
                found[state] = self._anew(state) if each.start == LEARNED else np.zeros((), "int8")
        return found

    def _anew(self, state: str) -> Array:
        return self.layer.weights[self._start(state)].values

    def _run(self, piece: Any, bottom: Bottoms, i: int) -> None:
        """Run a piece from the states that it began with."""
        part = slice(*self.spans[i])
        for name, index in self.roles.sliced.items():
            piece.give(name, self._ordered(bottom[index].data)[part])
        for name, index in self.roles.static.items():
            piece.give(name, bottom[index].data)
        if self.roles.cont is not None:
            piece.give(".cont", self._scratch("cont")[part])
        if self.roles.lengths is not None:
            piece.give(".alive", ~self._scratch("ended")[part])
        for state, each in self.states.items():
            anew = self._anew(state) if self.roles.cont is not None and each.start == LEARNED else None
            piece.begin(state, self._scratch(state)[i], anew)
        piece.forward()

    def _write(self, found: Array, output: OutputParams, top: Array, span: Span) -> None:
        """Write a piece's part of an output, (steps, rows...)."""
        if output.take == "all":
            part = self._ordered(top)[slice(*span)]
            part[...] = found
            if self.roles.lengths is not None:
                part[self._scratch("ended")[slice(*span)]] = 0
        else:
            for step, rows in self._last(span, span[1] if self.until is not None else self.steps):
                top[rows] = found[step, rows]

    def _last(self, span: Span, steps: int) -> Iterator[tuple[int, Any]]:
        """The steps of a piece that are the last of some sequences, each with these sequences."""
        first, end = span
        if self.roles.lengths is None:
            if end == steps:
                yield end - first - 1, slice(None)
            return
        ended = self._scratch("ended")
        behind = np.concatenate([ended[1:], np.ones_like(ended[:1])])
        for step in range(first, end):
            rows = np.nonzero(~ended[step] & behind[step])[0]
            if len(rows):
                yield step - first, rows

    # -- forward mode ----------------------------------------------------------------------------------------------

    def jvp(
        self,
        bottom: Bottoms,
        bottom_tangents: Sequence[Array | None],
        top_tangents: Sequence[Array],
        undo: Sequence[Run],
    ) -> None:
        """Write the tangents of the outputs."""
        loop, moves, inside = self._loop, self.layer.weight_tangents, f"{self.name}/"
        learned = {s: moves[self._start(s)] for s in self.states if self._start(s) in moves}
        weights = {name.removeprefix(inside): tangent for name, tangent in moves.items() if name.startswith(inside)}
        weights = {name: tangent for name, tangent in weights.items() if name in loop.gradients}
        states = {s: np.broadcast_to(t, (self.rows, *t.shape)) for s, t in learned.items()} if not self.carry else {}
        for state, i in self.roles.starts.items():
            if (tangent := bottom_tangents[i]) is not None:
                states[state] = tangent
        begins = (
            {}
            if self.roles.cont is None
            else {s: np.broadcast_to(t, (self.rows, *t.shape)) for s, t in learned.items()}
        )
        now = loop.remember()
        for output, top in zip(self.outputs, top_tangents, strict=True):
            if output.take == "last":
                top[...] = 0
        for i, (span, piece) in enumerate(zip(self.spans[: len(undo)], self._pieces(), strict=False)):
            undo[i]()
            if self.one_memory:
                self._run(piece, bottom, i)
                undo[i]()
            inputs = {}
            for name, index in {**self.roles.sliced, **self.roles.static}.items():
                if (tangent := bottom_tangents[index]) is not None:
                    sliced = name in self.roles.sliced
                    inputs[name] = self._ordered(tangent)[slice(*span)] if sliced else tangent
            found, states = piece.jvp(inputs, {} if self.truncate and i else states, begins, weights)
            for output, top in zip(self.outputs, top_tangents, strict=True):
                self._write(found[output.blob], output, top, span)
        now()

    # -- backward --------------------------------------------------------------------------------------------------

    def backward(
        self,
        tops: Sequence[Array],
        down: Sequence[bool],
        bottom: Bottoms,
        diffs: Sequence[Array | None],
        undo: Sequence[Run],
    ) -> None:
        """Add to the diffs of bottoms, where they are wanted, and overwrite those of the weights that are asked for.

        `tops` are the diffs of the outputs.
        """
        loop, weights, inside = self._loop, self.layer.weights, f"{self.name}/"
        own = {name.removeprefix(inside): name for name in self.layer.asked if name.startswith(inside)}
        learned = [s for s, each in self.states.items() if each.start == LEARNED]
        asked = [s for s in learned if self._start(s) in self.layer.asked]
        for state in asked:
            weights[self._start(state)].diff[...] = 0
        loop.clear()
        now = loop.remember() if self.one_memory else None
        ends: dict[str, Array] = {}
        ran = list(zip(self.spans[: len(undo)], self._pieces(), strict=False))
        for i, (span, piece) in reversed(list(enumerate(ran))):
            if self.one_memory and i < len(ran) - 1:
                undo[i]()
                self._run(piece, bottom, i)
            begins = [s for s in asked if self.roles.cont is not None]
            starts = [s for s in self.states if (self.truncate is None and i > 0) or self._wants_start(s, down, i)]
            wanted = [name for part in (self.roles.sliced, self.roles.static) for name, j in part.items() if down[j]]
            piece.backward(self._seeds(tops, span, ran[-1][0][1]), ends, wanted, starts, begins, own)
            self._collect(piece, diffs, span, wanted, begins)
            if i == 0:
                self._collect_starts(piece, diffs, starts)
            ends = {}
            for state in starts:
                ends[state] = self._scratch(state, "diff")
                ends[state][...] = piece.start_diff(state)
        if now is not None:
            now()
        loop.take({key: weights[name].diff for key, name in own.items() if not key.endswith("_start")})

    def _wants_start(self, state: str, down: Sequence[bool], i: int) -> bool:
        """Whether somebody wants the gradient of what a state starts as."""
        if i > 0 or self.carry:
            return False
        start = self.roles.starts.get(state)
        return down[start] if start is not None else self._start(state) in self.layer.asked

    def _seeds(self, tops: Sequence[Array], span: Span, steps: int) -> dict[str, Array]:
        """The diffs of a piece's outputs, (steps, rows...), where so many steps ran in all."""
        seeds: dict[str, Array] = {}
        for output, top in zip(self.outputs, tops, strict=True):
            if output.take == "all":
                part = self._ordered(top)[slice(*span)]
                if self.roles.lengths is not None:
                    part = part.copy()
                    part[self._scratch("ended")[slice(*span)]] = 0
            else:
                last = list(self._last(span, steps))
                if not last:
                    continue
                part = np.zeros((span[1] - span[0], *top.shape), top.dtype)
                for step, rows in last:
                    part[step, rows] = top[rows]
            seeds[output.blob] = seeds[output.blob] + part if output.blob in seeds else part
        return seeds

    def _collect(
        self, piece: Any, diffs: Sequence[Array | None], span: Span, wanted: Sequence[str], begins: Sequence[str]
    ) -> None:
        """Add what a piece gave to the diffs of bottoms and of learned starts."""
        for name in wanted:
            sliced = name in self.roles.sliced
            diff = diffs[self.roles.sliced[name] if sliced else self.roles.static[name]]
            assert diff is not None  # it is wanted
            part = self._ordered(diff)[slice(*span)] if sliced else diff
            part += piece.diff(name)
        for state in begins:
            total = self.layer.weights[self._start(state)].diff
            total += piece.begin_diff(state).sum(axis=0)

    def _collect_starts(self, piece: Any, diffs: Sequence[Array | None], starts: Sequence[str]) -> None:
        """Add what came to the states before the first step."""
        for state in starts:
            start = self.roles.starts.get(state)
            if start is None:
                total = self.layer.weights[self._start(state)].diff
                total += piece.start_diff(state).sum(axis=0)
            else:
                diff = diffs[start]
                assert diff is not None  # it is wanted
                diff += piece.start_diff(state)
