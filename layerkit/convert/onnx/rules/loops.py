"""Rules of the layers that run a body again and again: Recurrent is a Scan for each way through time, Repeat a Loop.

What goes from run to run are the states and, where only the last value of an output is wanted, that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from layerkit.convert.onnx.here import Dims, Here
from layerkit.convert.onnx.layering import Body
from layerkit.convert.onnx.rules import rule
from layerkit.convert.onnx.subgraphs import BOOL, FLOAT, INT64, Subgraph, column
from layerkit.convert.onnx.values import Nodes, Value
from layerkit.layers.recurrent.roles import LEARNED, Roles, find_roles, names_of


@rule("Recurrent")
def _recurrent(here: Here, *bottoms: Value) -> list[Value]:
    p = here.params
    names = names_of(p.inputs, here.layer.bottom_names, len(bottoms))
    roles = find_roles(names, p.states, p.static, p.cont, p.lengths)
    if p.carry and p.states:
        here.notes.append("its states are 0 at the beginning of each run, as they are in a new net")
    timed = next(iter(roles.sliced.values())) if roles.sliced else roles.cont
    assert timed is not None  # the layer has one
    ways = [_through_time(_Way(here, "body", roles, bottoms, timed), back=p.reverse)]
    if p.bidirectional:
        ways.append(_through_time(_Way(here, "reverse", roles, bottoms, timed), back=True))
    return [here.op("Concat", *both, axis=-1) if len(both) > 1 else both[0] for both in zip(*ways, strict=True)]


@rule("Repeat")
def _repeat(here: Here, *bottoms: Value) -> list[Value]:
    p = here.params
    roles = find_roles(names_of(p.inputs, here.layer.bottom_names, len(bottoms)), p.states, None)
    way, inside = _Way(here, "body", roles, bottoms, 0), Subgraph(here.nodes, "body")
    outputs = [output.blob for output in p.outputs]
    inside.input("run", (), INT64)
    before = inside.input("goes_on", (), BOOL)
    states = way.inputs(inside, p.states)
    way.inputs(inside, outputs)
    made = way.body.write(inside.nodes, {**states, **way.static})
    goes_on = before if p.until is None else _any_is_zero(inside.nodes, made[p.until])
    results = [(made[each.next], way.body.dims(state)) for state, each in p.states.items()]
    results += [(made[output], way.body.dims(output)) for output in outputs]
    firsts = [*way.firsts(), *map(way.zeros, outputs)]
    counts = (here.constant(p.times or p.max_times, "int64"), here.constant(True, "bool"))
    found = here.ops(len(results), "Loop", *counts, *firsts, body=inside.finish(results, goes_on))
    return found[len(p.states) :]


def _any_is_zero(nodes: Nodes, x: Value) -> Value:
    """Whether any element of x is 0, as one truth value."""
    zeros = nodes.op("Cast", nodes.op("Equal", x, 0.0), to=FLOAT)
    return nodes.op("Cast", nodes.op("ReduceMax", zeros, None, keepdims=0), to=BOOL)


@dataclass(frozen=True)
class _Way:
    """A body and what is outside of it; the rows of bottom `timed` are those of all states."""

    here: Here
    name: str
    roles: Roles
    bottoms: Sequence[Value]
    timed: int

    @property
    def body(self) -> Body:
        """The body, in which no layer carries anything by itself."""
        body = self.here.bodies[self.name]
        body.expect_steady()
        return body

    @property
    def static(self) -> dict[str, Value]:
        """What it reads that is the same in all runs."""
        return {name: self.bottoms[i] for name, i in self.roles.static.items()}

    def inputs(self, inside: Subgraph, names: Iterable[str]) -> dict[str, Value]:
        """Inputs of the graph that have the shapes of these blobs."""
        return {name: inside.input(name, self.body.dims(name)) for name in names}

    def begin(self, inside: Subgraph, states: Mapping[str, Value], cont: Value) -> dict[str, Value]:
        """The states as they enter a run: as they left the one before, or anew where `cont`, one a row, is 0."""
        op, begun = inside.op, {}
        for state, value in states.items():
            goes_on, anew = column(inside.nodes, cont, self.body.dims(state)), self._learned(state)
            if anew is None:
                begun[state] = op("Mul", value, goes_on)
            else:
                begun[state] = op("Add", op("Mul", op("Sub", value, anew), goes_on), anew)
        return begun

    def firsts(self) -> list[Value]:
        """Each state before the first run."""
        found = []
        for state in self.here.params.states:
            if getattr(self.here.params, "carry", False):  # which only Recurrent has
                found.append(self.zeros(state))
            elif state in self.roles.starts:
                found.append(self.bottoms[self.roles.starts[state]])
            else:
                found.append(self.zeros(state, self._learned(state)))
        return found

    def zeros(self, blob: str, instead: Value | None = None) -> Value:
        """0, or what one row is to be instead, in all rows of an array like a blob of the body."""
        source, dims = self.bottoms[self.timed], self.here.bottoms[self.timed]
        lengths = self.here.lengths(source, dims, self.body.dims(blob))
        return self.here.op("Expand", 0.0 if instead is None else instead, lengths)

    def _learned(self, state: str) -> Value | None:
        """What was learned that a state begins with."""
        if self.here.params.states[state].start != LEARNED:
            return None
        name = f"{state}_start"
        return self.here.weight(name if self.name == "body" else f"{self.name}/{name}")


def _through_time(way: _Way, *, back: bool) -> list[Value]:
    """The outputs of one way: all steps of a blob, or what it was in the last step of each sequence."""
    here, p, roles, body = way.here, way.here.params, way.roles, way.body
    rows: Dims = here.bottoms[way.timed][1:2]
    last, every = ([each.blob for each in p.outputs if each.take == take] for take in ("last", "all"))
    inside = Subgraph(here.nodes, way.name)
    states, lasts = way.inputs(inside, p.states), way.inputs(inside, dict.fromkeys(last))
    steps, fed = way.inputs(inside, roles.sliced), [way.bottoms[i] for i in roles.sliced.values()]
    if roles.cont is not None:
        fed.append(_cont(here, way.bottoms[roles.cont], back=back))
        states = way.begin(inside, states, inside.input("cont", rows))
    made = body.write(inside.nodes, {**states, **steps, **way.static})
    results = [(made[each.next], states[state], body.dims(state)) for state, each in p.states.items()]
    results += [(made[blob], old, body.dims(blob)) for blob, old in lasts.items()]
    carried, zero = len(results), inside.nodes.constant(np.zeros((), np.float32))
    results += [(made[blob], zero, body.dims(blob)) for blob in every]
    if roles.lengths is not None:
        fed.append(_alive(here, way.bottoms[way.timed], way.bottoms[roles.lengths]))
        alive = inside.input("alive", rows, BOOL)
        results = [
            (inside.op("Where", column(inside.nodes, alive, dims), new, old), old, dims) for new, old, dims in results
        ]
    directions: dict[str, Any] = {"scan_input_directions": [1] * len(fed)} if back else {}
    if back and every:
        directions["scan_output_directions"] = [1] * len(every)
    graph = inside.finish([(new, dims) for new, _, dims in results])
    firsts = [*way.firsts(), *map(way.zeros, lasts)]
    found = here.ops(len(results), "Scan", *firsts, *fed, num_scan_inputs=len(fed), body=graph, **directions)
    ends = dict(zip(lasts, found[len(states) : carried], strict=True))
    stacked = iter(found[carried:])
    return [ends[output.blob] if output.take == "last" else next(stacked) for output in p.outputs]


def _cont(here: Here, cont: Value, *, back: bool) -> Value:
    """Where sequences go on. Going back, one begins behind the first step of the one that follows it."""
    if not back:
        return cont
    return here.op("Pad", here.op("Slice", cont, [1], [2**62], [0]), [0, 0, 1, 0], 1.0)


def _alive(here: Here, steps: Value, lengths: Value) -> Value:
    """In which steps each sequence has not ended yet, (T, N)."""
    zero, one = here.constant(0, "int64"), here.constant(1, "int64")
    count = here.op("Squeeze", here.op("Shape", steps, start=0, end=1), [0])
    step = here.op("Unsqueeze", here.numbers(here.op("Range", zero, count, one)), [1])
    return here.op("Not", here.op("GreaterOrEqual", step, lengths))
