"""Some steps of a loop, bound once: a body's unrolled graph over blobs in which the rows of all steps lie together.

So a step's part of a blob is a view, to cut and to join cost nothing, and the weights' gradients of a layer that acts
row by row are one product over the rows of all steps.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial as bind
from types import SimpleNamespace
from typing import Any

import numpy as np

from layerkit.blob import Array, Blob, aligned, extent
from layerkit.differentiation import Key, Point
from layerkit.engines import Engine, Run, adding
from layerkit.graph import Node, Ref, plan_backward
from layerkit.graph.units import Unit, UnitStep
from layerkit.graph.unrolling import Unrolled, begin, start
from layerkit.layer import Layer
from layerkit.passes import BackwardPass, Binding, Ready, forward_steps, make_ready, name_layer
from layerkit.runners import Runners, rest
from layerkit.spec import ParamSpec
from layerkit.weights import WeightStore


class Piece:
    """Some steps of a loop, one after another, with memory for what lies between forward and backward."""

    def __init__(
        self,
        unrolled: Unrolled,
        store: WeightStore,
        gradients: Mapping[str, Array],
        engine: Engine,
        dtype: np.dtype[Any],
    ):
        self.unrolled, self.steps, self.engine = unrolled, unrolled.steps, engine
        self._store, self._dtype = store, dtype
        self.blobs = _lay_out(unrolled, engine, dtype)
        self._keys = {use[:2]: key for key, slot in store.slots.items() for use in slot.uses}
        """`layer.weight` of the owner, for each use of a weight."""
        self._made = Runners(unrolled, self.blobs, store, gradients, engine, dtype)
        self.graph = replace(unrolled.graph, nodes=self._made.nodes)
        units = [Unit((i,), node.bottoms, node.tops) for i, node in enumerate(self.graph.nodes)]
        self._binding = Binding(self.graph, units, self._made.runners, self.blobs, {}, self._add, True)
        self._steps = [step for step in forward_steps(self._binding) if step.run is not rest]
        self._passes: dict[Any, BackwardPass] = {}
        self.holds: Any = None
        """What it ran forward last, in the words of who uses it for more than one thing."""

    def _add(self, total: Array, part: Array) -> Run:
        return self.engine.add(total, part) or adding(total, part)

    @property
    def bytes(self) -> int:
        """Bytes of blobs and work arrays."""
        blobs = [*self.blobs.values(), *self._binding.parts.values()]
        inside: int = sum(body.bytes for node in self.graph.nodes for body in node.layer.bodies.values())
        return extent(array for blob in blobs for array in blob.arrays) + self._made.bytes + inside

    # -- what goes in and comes out ----------------------------------------------------------------------------------

    def give(self, name: str, values: Array) -> None:
        """Write an input: of all steps, (steps, rows...), or the one that is the same in all of them."""
        data = self.blobs[Ref(name)].data
        data[...] = values.reshape(data.shape)

    def begin(self, state: str, first: Array, anew: Array | None = None) -> None:
        """Write a state before the first step, and what it is in rows where it begins anew."""
        self.blobs[start(state)].data[...] = first
        if anew is not None:
            self.blobs[begin(state)].data[...] = anew

    def output(self, name: str) -> Array:
        """An output of all steps, (steps, rows...), as a live view."""
        return self._by_step(self.blobs[self.unrolled.outputs[name]].data)

    def end(self, state: str) -> Array:
        """A state after the last step, as a live view."""
        return self.blobs[self.unrolled.ends[state]].data

    def diff(self, name: str) -> Array:
        """After `backward`, the gradient of an input, in the shape in which it was given."""
        diff = self.blobs[Ref(name)].diff
        return self._by_step(diff) if name in self.unrolled.sliced else diff

    def start_diff(self, state: str) -> Array:
        """After `backward`, the gradient of a state before the first step."""
        return self.blobs[start(state)].diff

    def begin_diff(self, state: str) -> Array:
        """After `backward`, the gradient of what a state is where it begins anew."""
        return self.blobs[begin(state)].diff

    def _by_step(self, rows: Array) -> Array:
        return rows.reshape(self.steps, len(rows) // self.steps, *rows.shape[1:])

    # -- passes ------------------------------------------------------------------------------------------------------

    def forward(self) -> None:
        """Run the steps."""
        layer: Layer | None = None
        try:
            for step in self._steps:
                layer = step.layer
                step.run()
        except Exception as error:
            name_layer(error, layer)
            raise

    def backward(
        self,
        outputs: Mapping[str, Array],
        ends: Mapping[str, Array],
        inputs: Collection[str],
        starts: Collection[str],
        begins: Collection[str],
        asked: Collection[str],
    ) -> None:
        """Run the steps backward from the diffs of outputs, (steps, rows...), and of states after the last step.

        The diffs of `inputs`, of states before the first step (`starts`) and of what they are where they begin anew
        (`begins`) are written, and the gradients of the weights `asked`, by `layer.weight`, are added to the loop's.
        """
        seeds: dict[Ref, Array] = {}
        for name, diff in outputs.items():
            ref = self.unrolled.outputs[name]
            seeds[ref] = diff.reshape(self.blobs[ref].shape)
        for state, diff in ends.items():
            ref = self.unrolled.ends[state]
            seeds[ref] = seeds[ref] + diff if ref in seeds else diff  # two states may be one blob
        wanted = _wanted(inputs, starts, begins)
        ready = self._pass(frozenset(seeds), wanted, frozenset(asked))
        ready.run(seeds)
        for ref in wanted:  # no layer of the pass makes them
            diff = self.blobs[ref].diff
            if ref not in ready.written:
                diff[...] = seeds.get(ref, 0)
            elif ref in seeds:
                diff += seeds[ref]

    def prepare(
        self,
        outputs: Collection[str],
        ends: Collection[str],
        inputs: Collection[str],
        starts: Collection[str],
        begins: Collection[str],
        asked: Collection[str],
    ) -> None:
        """Make what `backward` takes, with diffs of these outputs and of these states after the last step."""
        seeds = {*(self.unrolled.outputs[name] for name in outputs), *(self.unrolled.ends[state] for state in ends)}
        self._pass(frozenset(seeds), _wanted(inputs, starts, begins), frozenset(asked))

    def jvp(
        self,
        inputs: Mapping[str, Array],
        starts: Mapping[str, Array],
        begins: Mapping[str, Array],
        weights: Mapping[str, Array],
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """The tangents of outputs, (steps, rows...), and of states after the last step, from those of what goes in.

        Everything is computed again from the inputs that the piece has, by the layers' own code.
        """
        blobs = {ref.name: self.blobs[ref] for node in self.graph.nodes if not node.bottoms for ref in node.tops}
        net: Any = SimpleNamespace(graph=self.graph, flat=self._store, dtype=self._dtype, blobs=blobs)
        given: dict[Key, Array] = {}
        given.update(weights.items())
        for name, tangent in inputs.items():
            given[Ref(name)] = tangent.reshape(self.blobs[Ref(name)].shape)
        given |= {start(state): tangent for state, tangent in starts.items()}
        given |= {begin(state): tangent for state, tangent in begins.items()}
        point = Point(net)
        moved = point.jvp(given)
        outputs = {name: self._by_step(point.of(moved, ref)) for name, ref in self.unrolled.outputs.items()}
        return outputs, {state: point.of(moved, ref) for state, ref in self.unrolled.ends.items()}

    def _pass(self, seeds: frozenset[Ref], wanted: frozenset[Ref], asked: frozenset[str]) -> BackwardPass:
        """The backward pass, made when it is first asked for, with all memory that it takes."""
        key = (seeds, wanted, asked)
        if key not in self._passes:
            self._passes[key] = self._bind(*key)
        return self._passes[key]

    def _bind(self, seeds: frozenset[Ref], wanted: frozenset[Ref], asked: frozenset[str]) -> BackwardPass:
        nodes = self.graph.nodes
        steps, late = [], dict[str, dict[int, frozenset[str]]]()
        for index, down, own in plan_backward([self._learning(node, asked) for node in nodes], seeds, wanted):
            name = nodes[index].name
            if own and name in self._made.deferred:
                late.setdefault(name, {})[index] = own
                own = frozenset()
            if any(down) or own or index in late.get(name, ()):
                steps.append(UnitStep(index, down, (own,)))
        ready = make_ready(self._binding, steps, partial=False, seeded=True)
        self._make_room(steps, wanted)
        for step in ready.steps:
            step.before = [top for top in step.before if not top.written or top.ref in seeds]
            step.calls = [call for call in step.calls if call is not rest]
        for name, there in late.items():
            ready.steps.append(self._late(name, there))
        return ready

    def _make_room(self, steps: Collection[UnitStep], wanted: Collection[Ref]) -> None:
        """Ask for the diffs that a pass writes or reads, so that they are there, and have further bodies do so."""
        refs = {*wanted}
        for step in steps:
            node = self.graph.nodes[step.unit]
            refs |= {*node.tops, *(ref for ref, goes in zip(node.bottoms, step.propagate_down, strict=True) if goes)}
            if node.plan.bodies:
                (node.layer.asked,) = map(frozenset, step.asked)
                node.layer.prepare([self.blobs[ref].shape for ref in node.bottoms], step.propagate_down)
        for blob in (*(self.blobs[ref] for ref in refs), *self._binding.parts.values()):
            _ = blob.diff  # asking makes it

    def _learning(self, node: Node, asked: Collection[str]) -> Node:
        """The node as one of which just the weights that are asked for learn."""
        rates = [float(self._keys[node.name, weight.name] in asked) for weight in node.plan.weights]
        return replace(node, params=tuple(ParamSpec(lr_mult=rate) for rate in rates))

    def _late(self, name: str, there: Mapping[int, frozenset[str]]) -> Ready:
        """The gradients of a layer's weights, for the rows of all steps at once."""
        index, asked = next(iter(there.items()))
        absent = [i for i, node in enumerate(self.graph.nodes) if node.name == name and i not in there]
        clear = [bind(self.blobs[ref].diff.fill, 0) for i in absent for ref in self.graph.nodes[i].tops]
        return Ready(self.graph.nodes[index].layer, index, [*clear, self._made.deferred[name](asked)])


def _wanted(inputs: Collection[str], starts: Collection[str], begins: Collection[str]) -> frozenset[Ref]:
    """The blobs whose diffs a backward pass is to write."""
    return frozenset([*map(Ref, inputs), *map(start, starts), *map(begin, begins)])


def _lay_out(unrolled: Unrolled, engine: Engine, dtype: np.dtype[Any]) -> dict[Ref, Blob]:
    """Blobs for all versions, those of steps as parts of those of all steps.

    A blob that is cut, and read by other layers besides, has diffs apart from its parts', which are then added to it.
    """
    shapes, last = unrolled.graph.shapes, engine.channels_last
    readers: dict[Ref, int] = {}
    for node in unrolled.graph.nodes:
        for ref in set(node.bottoms):
            readers[ref] = readers.get(ref, 0) + 1
    cut = {unrolled.graph.nodes[i].bottoms[0] for i in unrolled.cuts}
    blobs: dict[Ref, Blob] = {}
    for whole, parts in unrolled.joined.items():
        size = math.prod(shapes[parts[0]])
        data, diff = aligned(len(parts) * size, dtype), aligned(len(parts) * size, dtype)
        of_parts = aligned(diff.size, dtype) if whole in cut and readers[whole] > 1 else diff
        blobs[whole] = Blob(shapes[whole], dtype, channels_last=last, data=data, diff=diff)
        for i, part in enumerate(parts):
            span = slice(i * size, (i + 1) * size)
            blobs[part] = Blob(shapes[part], dtype, channels_last=last, data=data[span], diff=of_parts[span])
    for ref, shape in shapes.items():
        if ref not in blobs:
            blobs[ref] = Blob(shape, dtype, channels_last=last)
    return blobs
