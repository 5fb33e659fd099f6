"""Passes made ready to run: what each unit is given, which diff every reader writes, and what is summed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial as bind
from typing import NamedTuple, Protocol

import numpy as np

from layerkit.blob import Alias, Array, Blob
from layerkit.engines import Run
from layerkit.errors import LayerkitError, Problem, UnknownNameError
from layerkit.graph import Graph, Node, Ref
from layerkit.graph.units import Unit, UnitStep, schedule
from layerkit.layer import Bottoms, Layer, SourceLayer, Tops

Reader = tuple[int, int]
"""The index of a unit's first layer, and the number of one of its bottoms."""
Add = Callable[[Array, Array], Run]
"""Makes a function that adds the second array to the first."""


class Runner(Protocol):
    """What runs a unit: a layer's own code, or an engine's kernel."""

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        """A function that writes the tops."""
        ...

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        """A function that writes the diffs that are asked for."""
        ...


class OwnCode:
    """Runs a layer's own code; of a chain, one layer after the other, over blobs between them."""

    def __init__(self, layers: Sequence[Layer], inside: Sequence[Blob] = ()):
        self.layers, self.inside = layers, inside

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        """A function that writes the tops."""
        stations = [bottom, *([blob] for blob in self.inside), top]

        def run() -> None:
            for layer, below, above in zip(self.layers, stations, stations[1:], strict=False):
                layer.forward(below, above)

        return run

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        """A function that writes the diffs that are asked for."""
        stations = [bottom, *([blob] for blob in self.inside), top]
        down = [propagate_down, *([True] for _ in self.inside)]
        names = [frozenset(each) for each in asked]

        def run() -> None:
            for i in reversed(range(len(self.layers))):
                self.layers[i].asked = names[i]
                self.layers[i].backward(stations[i + 1], down[i], stations[i])

        return run


class ForwardStep(NamedTuple):
    """One unit's part in a forward pass."""

    run: Run
    layer: Layer
    """The first layer, whose name errors bear."""
    tops: list[Blob]
    last: int
    """The position of its last layer in the graph."""
    refs: tuple[Ref, ...]
    """The tops' names."""
    makes: frozenset[str]
    """Of a layer without bottoms, the blobs that may be given from outside instead."""
    varies: bool
    """Whether the layer decides the shapes of its tops."""


def name_layer(error: Exception, layer: Layer | None) -> None:
    """Put the layer's place and name in front of what its own code raised; an error that is not ours gets a note."""
    if layer is None:
        return
    where = f"layer {layer.name!r} ({type(layer).__name__})"
    if isinstance(error, LayerkitError) and error.args and not isinstance(error, UnknownNameError):
        error.args = (str(Problem(str(error.args[0]), where, layer.mark, layer.uses)), *error.args[1:])
    else:
        error.add_note(f"in {where}")


@contextmanager
def naming(layer: Layer) -> Iterator[None]:
    """Put a layer's name in front of what the block raises."""
    try:
        yield
    except Exception as error:
        name_layer(error, layer)
        raise


class Top(NamedTuple):
    """What a top's diff is before its unit runs backward: readers' sum, if any wrote, plus the loss weight or seed."""

    ref: Ref
    blob: Blob
    written: bool
    """Whether readers have written it in this pass."""
    kept: bool
    """Whether it stays as it was found: a partial pass starts at it."""
    weight: float


@dataclass
class Ready:
    """One unit's part in a backward pass."""

    layer: Layer
    """The unit's last layer, whose name errors bear."""
    last: int
    """The position of that layer in the graph."""
    calls: list[Run]
    """What the unit computes, and then the sums that it is the next to add to."""
    before: list[Top] = field(default_factory=list)
    """The tops whose diffs need more than what readers gave."""

    def run(self, seeds: Mapping[Ref, Array]) -> None:
        """Set the tops' diffs, run the unit backward, and add up what several readers gave."""
        for ref, blob, written, kept, weight in self.before:
            seed = seeds.get(ref)
            start = weight if seed is None else seed
            if written:
                if seed is not None or weight:
                    blob.diff[...] += start
            elif not kept or seed is not None:
                blob.diff[...] = start
        for call in self.calls:
            call()


@dataclass
class BackwardPass:
    """The steps of one kind of backward pass, in the order in which they run."""

    steps: list[Ready]
    ran: frozenset[str]
    """Names of the layers that run."""
    written: frozenset[Ref]
    """The blobs whose diffs it writes."""

    def run(self, seeds: Mapping[Ref, Array]) -> None:
        """Run the steps from the seeds, or from the loss weights."""
        step: Ready | None = None
        try:
            for step in self.steps:
                step.run(seeds)
        except Exception as error:
            name_layer(error, step.layer if step else None)
            raise


@dataclass
class Binding:
    """What a backward pass is bound to."""

    graph: Graph
    units: Sequence[Unit]
    runners: Sequence[Runner]
    blobs: Mapping[Ref, Blob]
    parts: MutableMapping[Reader, Blob]
    """For each of several readers of a blob, one with a diff of its own, kept from pass to pass."""
    add: Add
    first_in_place: bool
    """Whether the first reader writes a blob's own diff, so that what it gave cannot be told apart later."""
    again: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """The units of each segment that is computed again for the backward pass."""
    repeats: dict[int, Run] = field(default_factory=dict)
    """For each of these units, what computes it again, from the state that it began with."""

    def repeatable(self, index: int, run: Run) -> Run:
        """`run` of a unit, but so that it can be repeated; that is then in `repeats`."""
        nodes = [self.graph.nodes[i] for i in self.units[index].nodes]
        changing = any(node.plan.state or node.plan.random or _statistics(node) for node in nodes)
        self.repeats[index] = run
        if not changing:
            return run
        undo: list[Run] = []

        def first() -> None:
            undo[:] = [remember(nodes)]
            run()

        def again() -> None:
            undo[0]()
            run()

        self.repeats[index] = again
        return first


def forward_steps(binding: Binding) -> list[ForwardStep]:
    """The units in the order in which they run; those that will run again note the state that they begin with."""
    graph, blobs = binding.graph, binding.blobs
    again = {index for units in binding.again.values() for index in units}
    steps = []
    for index, (unit, runner) in enumerate(zip(binding.units, binding.runners, strict=True)):
        node = graph.nodes[unit.nodes[0]]
        bottoms, tops = [blobs[ref] for ref in unit.bottoms], [blobs[ref] for ref in unit.tops]
        makes = frozenset() if unit.bottoms else frozenset(ref.name for ref in unit.tops)
        varies = isinstance(node.layer, SourceLayer) or node.plan.dynamic
        with naming(node.layer):
            run = runner.forward(bottoms, tops)
        if index in again:
            run = binding.repeatable(index, run)
        steps.append(ForwardStep(run, node.layer, tops, unit.nodes[-1], unit.tops, makes, varies))
    return steps


def make_ready(binding: Binding, steps: Sequence[UnitStep], *, partial: bool, seeded: bool) -> BackwardPass:
    """Bind the steps of a backward pass to blobs.

    A blob's only reader writes the blob's own diff. Where several can, each writes a diff of its own, which is added to
    the blob's.

    With `partial` the pass starts below the net's end: what readers above the start gave in an earlier pass counts as
    it is found there, and so does the diff of a top that no layer of this pass could write. With `seeded`, seeds take
    the place of loss weights.
    """
    graph, units, blobs = binding.graph, binding.units, binding.blobs
    readers = _readers(graph, units)
    start = steps[0].unit if partial and steps else len(units)
    gave: set[Ref] = set()
    ready: list[Ready] = []
    for step in schedule(steps, binding.again):
        if isinstance(step, int):
            again = units[step].nodes[-1]
            ready.append(Ready(graph.nodes[again].layer, again, [binding.repeats[step]]))
            continue
        index, down, asked = step
        unit = units[index]
        last = graph.nodes[unit.nodes[-1]]
        tops = [
            Top(
                ref,
                blobs[ref],
                ref in gave,
                partial and ref not in gave and (ref not in readers or readers[ref][-1][0] > start),
                0.0 if seeded else weight,
            )
            for ref, weight in zip(unit.tops, last.loss_weights, strict=True)
        ]
        bottoms = [blobs[ref] for ref in unit.bottoms]
        sums: list[Run] = []
        for i, (ref, goes) in enumerate(zip(unit.bottoms, down, strict=True)):
            if not goes:
                continue
            if len(readers[ref]) > 1:
                bottoms[i], more = _share(binding, readers[ref], (index, i), ref, start, first=ref not in gave)
                sums += more
            gave.add(ref)
        with naming(last.layer):
            run = binding.runners[index].backward([blobs[ref] for ref in unit.tops], down, bottoms, asked)
        before = [top for top in tops if not top.written or top.weight or seeded]
        ready.append(Ready(last.layer, unit.nodes[-1], [run, *sums], before))
    ran = frozenset(graph.nodes[i].name for step in steps for i in units[step.unit].nodes)
    return BackwardPass(ready, ran, frozenset(gave))


def _share(
    binding: Binding, readers: Sequence[Reader], reader: Reader, ref: Ref, start: int, *, first: bool
) -> tuple[Blob, list[Run]]:
    """The blob that one of several readers writes its diff to, and what then adds that to the blob's own."""
    total = binding.blobs[ref]
    if first and binding.first_in_place:
        return total, []
    own = _part(binding, reader, total)
    if not first:
        return own, [binding.add(total.diff, own.diff)]
    earlier = [_part(binding, each, total) for each in readers if each[0] > start]
    parts = [*earlier, own]
    copy = bind(np.copyto, total.diff, parts[0].diff)
    return own, [copy, *(binding.add(total.diff, part.diff) for part in parts[1:])]


def _part(binding: Binding, reader: Reader, blob: Blob) -> Blob:
    key = (binding.units[reader[0]].nodes[0], reader[1])
    if key not in binding.parts:
        binding.parts[key] = Alias(blob)
    return binding.parts[key]


def remember(nodes: Iterable[Node]) -> Run:
    """A function that puts layers' states, generators and statistics back to what they are now."""
    nodes = list(nodes)
    arrays = [getattr(node.layer.state, state.name) for node in nodes for state in node.plan.state]
    blobs = [node.layer.weights[name] for node in nodes for name in _statistics(node)]
    generators = [node.layer.rng for node in nodes if node.plan.random]
    held = [array.copy() for array in (*arrays, *(blob.values for blob in blobs))]
    states = [rng.bit_generator.state for rng in generators]

    def put_back() -> None:
        for array, value in zip((*arrays, *(blob.values for blob in blobs)), held, strict=True):
            array[...] = value
        for blob in blobs:
            blob.note_change()
        for rng, state in zip(generators, states, strict=True):
            rng.bit_generator.state = state

    return put_back


def _statistics(node: Node) -> list[str]:
    """The names of a layer's weights that its forward pass may change."""
    return [weight.name for weight in node.plan.weights if not weight.learned]


def _readers(graph: Graph, units: Sequence[Unit]) -> dict[Ref, list[Reader]]:
    """The readers of every blob that could give it a gradient, as units, in the order in which they run forward."""
    readers: dict[Ref, list[Reader]] = {}
    for index, unit in enumerate(units):
        for i, ref in enumerate(unit.bottoms):
            if graph.nodes[unit.nodes[0]].propagates(i):
                readers.setdefault(ref, []).append((index, i))
    return readers
