"""Bodies that run again and again, as their layers see them: objects that give pieces of so many steps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from layerkit.blob import Array, Blob, Weights
from layerkit.engines import Engine, Run
from layerkit.graph import Graph, Node, Ref, Step
from layerkit.graph.unrolling import Unrolled, unroll
from layerkit.layer import Body, Generators, Plan
from layerkit.passes import remember
from layerkit.pieces import Piece
from layerkit.storage import provide_state
from layerkit.weights import WeightStore

KEPT = 4
"""How many times as many pieces as are needed are kept, for sequences of other lengths."""


@dataclass(frozen=True)
class Bodies:
    """Makes the bodies of a net's layers."""

    seed: int
    dtype: np.dtype[Any]
    engine: Engine
    run_once: Callable[[Graph, Body, Mapping[str, Blob], str], Any]
    """Makes one that runs once, from its graph, its weights and the prefix of its layers' names."""

    def __call__(self, name: str, plan: Plan, graphs: Mapping[str, Graph], weights: Weights) -> dict[str, Any]:
        """The bodies of the layer of this full name, over the weights that it was given for them."""
        return {body.name: self._make(f"{name}/{body.name}/", body, graphs[body.name], weights) for body in plan.bodies}

    def _make(self, prefix: str, body: Body, graph: Graph, weights: Weights) -> Any:
        inside = f"{body.name}/"
        own = {key.removeprefix(inside): blob for key, blob in weights.items() if key.startswith(inside)}
        if body.loop is None:
            return self.run_once(graph, body, own, prefix)
        return RunningLoop(graph, body, own, prefix, self)

    def equip(self, node: Node, weights: Weights, prefix: str) -> None:
        """Give a layer what it planned: weights, generators, states and bodies; its full name begins with `prefix`."""
        layer, name = node.layer, prefix + node.name
        layer.weights = weights
        layer.rng = Generators.of(self.seed, name)(1)
        layer.generator = Generators.of(self.seed, name, 2)
        layer.state = SimpleNamespace()
        provide_state(layer, node.plan.state, self.dtype)
        layer.bodies = self(name, node.plan, node.bodies, weights)


def refit(nodes: Iterable[Node], dtype: np.dtype[Any]) -> None:
    """Give layers that were planned again states and bodies of their new shapes."""
    for node in nodes:
        provide_state(node.layer, node.plan.state, dtype)
        for name, body in node.layer.bodies.items():
            body.reshape(node.bodies[name])


def prepare(graph: Graph, steps: Iterable[Step]) -> None:
    """Have the layers' bodies make what a forward pass takes, and a backward pass of these steps."""
    backward = {step.node: step for step in steps}
    for i, node in enumerate(graph.nodes):
        if node.layer.bodies:
            step = backward.get(i)
            node.layer.asked = step.asked if step is not None else frozenset()
            shapes = [graph.shapes[ref] for ref in node.bottoms]
            node.layer.prepare(shapes, step.propagate_down if step is not None else None)


class RunningLoop:
    """A layer's body at run time, where it runs again and again.

    `pieces` gives memory and code for so many steps each, which go forward and backward each on its own. What their
    backward passes give to weights is summed in `gradients`, by `layer.weight`; the layer sets these to zero before,
    and takes them over after.
    """

    def __init__(self, graph: Graph, body: Body, given: Mapping[str, Blob], prefix: str, maker: Bodies):
        self.graph, self.body, self.prefix = graph, body, prefix
        self.seed, self.dtype, self.engine = maker.seed, maker.dtype, maker.engine
        self.store = WeightStore(graph.nodes, self.dtype, self._generator, given=given)
        """The body's weights, which are the layer's."""
        learned = {
            f"{node.name}.{weight.name}" for node in graph.nodes for weight in node.plan.weights if weight.learned
        }
        slots = {key: slot for key, slot in self.store.slots.items() if key in learned}
        self.gradients = {key: np.zeros(slot.shape, self.dtype) for key, slot in slots.items()}
        self._pieces: dict[tuple[int, int], Piece] = {}
        self._unrolled: dict[int, Unrolled] = {}
        self._first = True
        for node in graph.nodes:
            maker.equip(node, self.store.params[node.name], prefix)

    def another(self) -> RunningLoop:
        """The same body with pieces and gradients of its own."""
        other = copy.copy(self)
        other._pieces, other._first = {}, False
        other.gradients = {key: np.zeros_like(array) for key, array in self.gradients.items()}
        return other

    def _generator(self, layer: str, *key: int) -> np.random.Generator:
        return Generators.of(self.seed, self.prefix + layer)(*key)

    def reshape(self, graph: Graph) -> None:
        """Run from now on with inputs of the shapes that they have in another graph of the body."""
        wanted = {Ref(name): graph.shapes[Ref(name)] for name in self.body.inputs}
        if all(self.graph.shapes[ref] == shape for ref, shape in wanted.items()):
            return
        self.body = replace(self.body, inputs={ref.name: shape for ref, shape in wanted.items()})
        self.graph = self.graph.with_shapes(wanted)
        self._pieces.clear()
        self._unrolled.clear()
        refit(self.graph.nodes, self.dtype)

    def nodes(self) -> Iterator[tuple[str, Node]]:
        """Every layer's node with its full name, those inside further bodies too."""
        for node in self.graph.nodes:
            yield self.prefix + node.name, node
            for inner in node.layer.bodies.values():
                yield from inner.nodes()

    def remember(self) -> Run:
        """A function that puts states, generators and statistics back to what they are now."""
        return remember(node for _, node in self.nodes())

    @property
    def bytes(self) -> int:
        """Bytes of the pieces' blobs and work arrays, and of the gradients; those of further bodies too."""
        own = sum(array.nbytes for array in self.gradients.values())
        if self._first:  # others have the same nodes
            own += sum(body.bytes for node in self.graph.nodes for body in node.layer.bodies.values())
        return own + sum(piece.bytes for piece in self._pieces.values())

    def pieces(self, steps: Sequence[int], *, one_memory: bool = False) -> Iterator[Piece]:
        """Pieces of so many steps each, each made when it is first needed.

        With `one_memory` those of one length are the same piece.
        """
        keys = [(0 if one_memory else i, count) for i, count in enumerate(steps)]
        if len(self._pieces) > KEPT * len(keys):  # sequences of many lengths
            self._pieces = {key: piece for key, piece in self._pieces.items() if key in keys}
        return (self._piece(*key) for key in keys)

    def _piece(self, index: int, steps: int) -> Piece:
        if steps not in self._unrolled:
            self._unrolled[steps] = unroll(self.graph, self.body, steps)
        if (index, steps) not in self._pieces:
            unrolled = self._unrolled[steps]
            self._pieces[index, steps] = Piece(unrolled, self.store, self.gradients, self.engine, self.dtype)
        return self._pieces[index, steps]

    def take(self, weights: Mapping[str, Array]) -> None:
        """Write the gradients into the weights' diffs, given by `layer.weight`."""
        for key, diff in weights.items():
            diff[...] = self.gradients[key]

    def clear(self) -> None:
        """Set the gradients to zero."""
        for array in self.gradients.values():
            array.fill(0)
