"""Unrolls a body: its layers once for each step, with what goes from one step to the next, as one graph.

What acts row by row and depends on no state runs once, for the rows of all steps together, and so does what no state
depends on; what depends on nothing that differs between steps runs once as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from layerkit.blob import Shape
from layerkit.errors import Problems, ShapeError
from layerkit.graph import Graph, Node, Ref
from layerkit.graph.node import make_layer
from layerkit.layer import Body, Loop, Plan
from layerkit.spec.layer import read_layer
from layerkit.text import Map, from_python

Kind = Literal["once", "before", "step", "after"]
CONT, ALIVE = ".cont", ".alive"
"""What the inputs are called that say of each row of each step whether its state goes on, and whether it changes."""


@dataclass(frozen=True)
class Unrolled:
    """A body's graph for some steps. A blob of all steps has the rows of the first step first.

    The nodes in `cuts` only cut such blobs into those of steps, those in `joins` join them: where both are one memory
    there is nothing to do.
    """

    graph: Graph
    steps: int
    sliced: frozenset[str]
    """The inputs of which there is one for each step."""
    outputs: Mapping[str, Ref]
    ends: Mapping[str, Ref]
    """The states after the last step."""
    joined: Mapping[Ref, tuple[Ref, ...]]
    """Blobs of all steps, each with its parts."""
    cuts: frozenset[int]
    joins: frozenset[int]
    carries: frozenset[int]
    """The nodes by which a state enters a step, as it was or, with a second bottom, times one number a row."""
    repeated: frozenset[str]
    """Names of the layers that run in each step."""
    by_rows: Mapping[str, Plan]
    """What layers that act row by row plan for the rows of all steps."""


def begin(state: str) -> Ref:
    """The value that a state begins with, in whichever row it begins anew."""
    return Ref(f"{state}.begin")


def start(state: str) -> Ref:
    """The value of a state before the first step."""
    return Ref(f"{state}.start")


def unroll(body: Graph, given: Body, steps: int) -> Unrolled:
    """The graph of `steps` runs of a body."""
    assert given.loop is not None
    return _Unroller(body, given, given.loop, steps).run()


def _steady(node: Node) -> bool:
    """Whether a layer does the same each time it runs. One that acts row by row changes no statistic."""
    plan = node.plan
    changes = any(not weight.learned for weight in plan.weights) and not plan.by_rows
    return not (plan.random or plan.state or plan.bodies or changes)


@dataclass
class _Unroller:
    body: Graph
    given: Body
    loop: Loop
    steps: int
    nodes: list[Node] = field(default_factory=list)
    shapes: dict[Ref, Shape] = field(default_factory=dict)
    cuts: set[int] = field(default_factory=set)
    joins: set[int] = field(default_factory=set)
    carries: set[int] = field(default_factory=set)
    joined: dict[Ref, tuple[Ref, ...]] = field(default_factory=dict)
    made: dict[Any, Node] = field(default_factory=dict)

    def run(self) -> Unrolled:
        """Emit everything in the order in which it runs."""
        self.next = {state: self.body.last[name] for state, name in self.loop.states.items()}
        self.outputs = {name: self.body.last[name] for name in self.given.outputs}
        self.by_rows = {node.name: plan for node in self._layers() if (plan := self._plan_by_rows(node)) is not None}
        self.kinds: dict[str, Kind] = {}
        self.kind_of: dict[Ref, Kind] = {}
        self._classify()
        self._emit_inputs()
        for kind in ("once", "before"):
            self._emit_whole(kind)
        self._emit_cuts()
        states = {state: start(state) for state in self.loop.states}
        for step in range(self.steps):
            states = self._emit_step(step, states)
        self._emit_joins()
        self._emit_whole("after")
        graph = Graph(self.body.name, self.body.state, tuple(self.nodes), self.shapes)
        repeated = frozenset(name for name, kind in self.kinds.items() if kind == "step")
        cuts, joins = frozenset(self.cuts), frozenset(self.joins)
        return Unrolled(
            graph=graph,
            steps=self.steps,
            sliced=frozenset(self.loop.sliced),
            outputs=self.outputs,
            ends=states,
            joined=self.joined,
            cuts=cuts,
            joins=joins,
            carries=frozenset(self.carries),
            repeated=repeated,
            by_rows=self.by_rows,
        )

    # -- what runs when ----------------------------------------------------------------------------------------------

    def _layers(self) -> list[Node]:
        return [node for node in self.body.nodes if not (node.spec.type == "Input" and node.name in self.given.inputs)]

    def _plan_by_rows(self, node: Node) -> Plan | None:
        """What a layer plans for the rows of all steps; None where it does not act row by row."""
        refs = (*node.bottoms, *node.tops)
        heads = {self.body.shapes[ref][:1] for ref in refs}
        if not node.plan.by_rows or not _steady(node) or not node.bottoms or len(heads) != 1 or () in heads:
            return None
        try:
            plan = node.layer.plan(*(self._whole(ref) for ref in node.bottoms))
        except ShapeError:
            return None
        return plan if list(map(tuple, plan.tops)) == [self._whole(ref) for ref in node.tops] else None

    def _whole(self, ref: Ref) -> Shape:
        rows, *rest = self.body.shapes[ref]
        return (self.steps * rows, *rest)

    def _classify(self) -> None:
        for name in self.given.inputs:
            state, sliced = name in self.loop.states, name in self.loop.sliced
            self.kind_of[Ref(name)] = "step" if state else "before" if sliced else "once"
        for node in self._layers():
            below = {self.kind_of[ref] for ref in node.bottoms}
            kind: Kind = "step"
            if below == {"before"} and node.name in self.by_rows:
                kind = "before"
            elif below <= {"once"} and self._once(node):
                kind = "once"
            self._note(node, kind)
        needed = set(self.next.values())
        for node in reversed(self._layers()):
            if self.kinds[node.name] != "step":
                continue
            joinable = node.name in self.by_rows and all(self.kind_of[ref] != "once" for ref in node.bottoms)
            if joinable and needed.isdisjoint(node.tops):
                self._note(node, "after")
            else:
                needed.update(node.bottoms)

    def _note(self, node: Node, kind: Kind) -> None:
        self.kinds[node.name] = kind
        self.kind_of.update(dict.fromkeys(node.tops, kind))

    def _once(self, node: Node) -> bool:
        own = bool(node.bottoms or node.plan.weights)  # another source may give each step something else
        return own and _steady(node) and set(self.outputs.values()).isdisjoint(node.tops)

    # -- emitting ----------------------------------------------------------------------------------------------------

    def _emit(self, node: Node, tops: Iterable[Shape]) -> None:
        self.nodes.append(node)
        self.shapes.update(zip(node.tops, map(tuple, tops), strict=True))

    def _make(self, name: str, kind: str, bottoms: Sequence[Ref], tops: Sequence[Ref], **fields: Any) -> None:
        """Emit a layer that the file does not hold; one of a name and of the same shapes is the same layer."""
        shapes = tuple(self.shapes[ref] for ref in bottoms)
        key = (name, kind, shapes, repr(fields))
        if key not in self.made:
            count = [f"{name}/{i}" for i in range(len(tops))]
            tree = from_python({"name": name, "type": kind, "top": count, **fields})
            assert isinstance(tree, Map)
            problems = Problems()
            spec = read_layer(tree, self.body.state.phase, (), problems)
            problems.check()
            assert spec is not None  # otherwise problems.check raised
            layer = make_layer(spec, self.body.state)
            self.made[key] = Node(spec, (), (), layer, layer.plan(*shapes), (), {})
        node = self.made[key]
        self._emit(replace(node, bottoms=tuple(bottoms), tops=tuple(tops)), node.plan.tops)

    def _emit_inputs(self) -> None:
        rows = 0
        for name, shape in self.given.inputs.items():
            ref = Ref(name)
            if name in self.loop.states:
                rows = shape[0] if shape else 0
                self._input(start(name), shape)
                if name in (self.loop.begins or ()):
                    self._input(begin(name), shape)
            else:
                self._input(ref, self._whole(ref) if name in self.loop.sliced else shape)
        wanted = {CONT: self.loop.begins is not None, ALIVE: self.loop.holds}
        for name in (name for name, there in wanted.items() if there):
            self._input(Ref(name), (self.steps * rows,))
            self._cut(Ref(name), (rows,))

    def _input(self, ref: Ref, shape: Shape) -> None:
        self._make("input", "Input", [], [ref], shape=[list(shape)])

    def _emit_whole(self, kind: str) -> None:
        """The layers of a kind that run once: for the rows of all steps, or those the same for all."""
        for node in self._layers():
            if self.kinds[node.name] == kind:
                plan = node.plan if kind == "once" else self.by_rows[node.name]
                self._emit(replace(node, plan=replace(plan, weights=node.plan.weights)), plan.tops)

    def _emit_cuts(self) -> None:
        """What steps read of blobs that are there for all steps."""
        read = {*self.next.values()}
        read |= {ref for node in self._layers() if self.kinds[node.name] == "step" for ref in node.bottoms}
        for ref in sorted(read):
            if self.kind_of[ref] == "before":
                self._cut(ref, self.body.shapes[ref])

    def _cut(self, ref: Ref, shape: Shape) -> None:
        self.cuts.add(len(self.nodes))
        parts = self._parts(ref, shape)
        self._make("cut", "Slice", [ref], parts, axis=0, **({"propagate_down": [False]} if ref.name[0] == "." else {}))

    def _parts(self, ref: Ref, shape: Shape) -> tuple[Ref, ...]:
        """The parts of a blob, in each of which its shape is this."""
        parts = self.joined[ref] = tuple(_at(ref, step) for step in range(self.steps))
        self.shapes.update(dict.fromkeys(parts, shape))
        return parts

    def _emit_step(self, step: int, states: Mapping[str, Ref]) -> dict[str, Ref]:
        """One run of what differs from step to step; returns the states after it, from those before it."""
        for state, before in states.items():
            self._carry(state, before, _at(Ref(state), step), step)
        for node in self._layers():
            if self.kinds[node.name] == "step":
                bottoms = tuple(self._at(ref, step) for ref in node.bottoms)
                tops = tuple(_at(ref, step) for ref in node.tops)
                self._emit(replace(node, bottoms=bottoms, tops=tops), node.plan.tops)
        after = {state: self._at(ref, step) for state, ref in self.next.items()}
        if self.loop.holds:
            for state, new in after.items():
                after[state] = self._hold(state, new, _at(Ref(state), step), step)
        return after

    def _at(self, ref: Ref, step: int) -> Ref:
        return ref if self.kind_of[ref] == "once" else _at(ref, step)

    def _carry(self, state: str, before: Ref, into: Ref, step: int) -> None:
        """A state enters a step: as it left the one before, or anew where `cont` is 0."""
        cont, name = _at(Ref(CONT), step), f"{state}/carried"
        if state not in (self.loop.begins or ()):
            self.carries.add(len(self.nodes))
        if self.loop.begins is None:
            self._make(name, "Split", [before], [into])
        elif state in self.loop.begins:
            formula = f"{self._column('cont', state)} * (h - first) + first"
            names = ["cont", "h", "first"]
            down = [False, True, True]
            bottoms = [cont, before, begin(state)]
            self._make(name, "Expression", bottoms, [into], expr=formula, names=names, propagate_down=down)
        else:
            self._make(name, "Scale", [before, cont], [into], axis=0, propagate_down=[True, False])

    def _hold(self, state: str, new: Ref, old: Ref, step: int) -> Ref:
        """A state leaves a step: as it was before where `alive` is 0."""
        held, names = Ref(f"{state}.held.{step}"), ["alive", "new", "old"]
        formula, down = f"where({self._column('alive', state)}, new, old)", [False, True, True]
        bottoms = [_at(Ref(ALIVE), step), new, old]
        self._make(f"{state}/held", "Expression", bottoms, [held], expr=formula, names=names, propagate_down=down)
        return held

    def _column(self, name: str, state: str) -> str:
        """The formula that lets one number a row stretch over a state's other axes."""
        return f"reshape({name}, {(0, *[1] * (len(self.given.inputs[state]) - 1))})"

    def _emit_joins(self) -> None:
        """Join the steps' blobs that layers after them read, or that are outputs."""
        read = {*self.outputs.values()}
        read |= {ref for node in self._layers() if self.kinds[node.name] == "after" for ref in node.bottoms}
        steps = [ref for ref, kind in self.kind_of.items() if kind == "step" and self.body.shapes[ref]]
        for ref in steps:
            parts = self._parts(ref, self.body.shapes[ref])
            self.shapes[ref] = self._whole(ref)
            if ref in read:
                self.joins.add(len(self.nodes))
                self._make("join", "Concat", parts, [ref], axis=0)


def _at(ref: Ref, step: int) -> Ref:
    """A blob's part in a step."""
    return Ref(f"{ref.name}.{step}", ref.version)
