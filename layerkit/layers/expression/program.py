"""A formula made ready for certain shapes: which primitives run in which pass, and where each value lies.

Forward, values that the backward pass reads are kept, or lie in the tops; all others take turns in a few work arrays.
So do those of the backward pass, which is a formula as well: the gradient that `derivatives` makes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.layer import Bottoms, Scratch, Tops
from layerkit.layers.expression.derivatives import gradients, tangents
from layerkit.layers.expression.nodes import Graph, Node, ancestors, bound, evaluate

Run = Callable[[], None]
Key = tuple[str, Any]
"""What a leaf is: `("bottom", 0)`, `("weight", "w")`, the gradient `("diff", 0)` of a top, or a `("tangent", ...)`."""


@dataclass
class Places:
    """Work arrays that values take turns in, each of a length and a type, so that none outlives its last reader."""

    sizes: list[int] = field(default_factory=list)
    logical: list[bool] = field(default_factory=list)
    of: dict[int, int] = field(default_factory=dict)
    """Which array a node's value lies in."""
    work: dict[int, int] = field(default_factory=dict)
    """Which array a node's primitive works in."""

    def settle(self, order: Sequence[Node], elsewhere: Collection[int], kept: Collection[int]) -> None:
        """Give each node of a pass a place, but for those that lie elsewhere; those in `kept` hold it to the end."""
        bases = {node.index: _base(node).index for node in order}
        last = {bases.get(each.index, each.index): node.index for node in order for each in node.arguments}
        free = list(range(len(self.sizes)))
        for node in order:
            if node.room is not None:
                self.work[node.index] = self._take(free, node.room, logical=False)
            if node.index not in elsewhere and not _has_no_place(node):
                self.of[node.index] = self._take(free, node.shape, logical=node.logical)
            if node.room is not None:
                free.append(self.work[node.index])
            read = {bases.get(each.index, each.index) for each in node.arguments}
            free += [self.of[i] for i in read if last[i] == node.index and i in self.of and i not in kept]

    def _take(self, free: list[int], shape: Shape, *, logical: bool) -> int:
        """A free array of the type, the one whose length fits best, made longer if it must be; or a new one."""
        size = math.prod(shape)
        fitting = [i for i in free if self.logical[i] == logical]
        if not fitting:
            self.sizes.append(size)
            self.logical.append(logical)
            return len(self.sizes) - 1
        best = min(fitting, key=lambda i: (self.sizes[i] < size, abs(self.sizes[i] - size)))
        free.remove(best)
        self.sizes[best] = max(self.sizes[best], size)
        return best


class Room(NamedTuple):
    """The beginning of a work array, by its name, seen in a shape."""

    name: str
    size: int
    shape: Shape

    def within(self, scratch: SimpleNamespace) -> Array:
        """The array itself."""
        whole: Array = getattr(scratch, self.name)
        return whole[: self.size].reshape(self.shape)


class Step(NamedTuple):
    """A primitive that runs: what it reads, and where it writes unless it is told otherwise."""

    node: Node
    arguments: tuple[int, ...]
    kept: str | None
    out: Room | None
    work: Room | None


class Program:
    """The primitives of a formula and of its gradient, for bottoms and weights of certain shapes."""

    def __init__(self, graph: Graph, leaves: Mapping[Key, Node], results: Sequence[Node], *, by_rows: bool):
        self.graph, self.leaves, self.results = graph, leaves, list(results)
        self.by_rows = by_rows
        """Whether each row of the results is made of the same rows of the bottoms."""
        self.forward_order = ancestors(self.results)
        diffs = [graph.leaf(("diff", i), node.shape) for i, node in enumerate(self.results)]
        found = gradients(list(zip(self.results, diffs, strict=True)), list(leaves.values()))
        self.gradients = dict(zip(leaves, found, strict=True))
        """The gradient of each bottom and weight; None where none can come to it."""
        self._tops = self._direct(enumerate(self.results), self.results)
        stored = {node.index for node in self.forward_order if not _has_no_place(node)}
        self._stored = stored
        self.backward_order = self._backward([each for each in found if each is not None])
        again = {node.index for node in self.backward_order}
        read = [_base(each) for node in self.backward_order for each in node.arguments]
        read += [_base(each) for each in found if each is not None]
        needed = {node.index: node for node in read if node.index not in again}
        self.reads_bottoms = sorted({int(node.value[1]) for node in needed.values() if _is_leaf(node, "bottom")})
        self.reads_tops = sorted({self._tops[index] for index in needed if index in self._tops})
        self._kept = {i: f"kept{n}" for n, i in enumerate(sorted(needed.keys() & stored - self._tops.keys()))}
        self._places = Places()
        self._places.settle(
            self.forward_order, {*self._tops, *self._kept}, {node.index for node in map(_base, results)}
        )
        goals = [(key, node) for key, node in self.gradients.items() if node is not None]
        self._diffs = self._direct(goals, [node for _, node in goals], self.backward_order)
        ends = {_base(node).index for _, node in goals}
        self._places.settle(self.backward_order, self._diffs.keys(), ends)
        self._constants = [node for node in graph.nodes if node.kind == "constant"]
        self._numbers: dict[np.dtype[Any], dict[int, Array]] = {}
        self._forward_steps = self._steps(self.forward_order)
        self._backward_steps: dict[frozenset[Key], list[Step]] = {}

    @property
    def scratch(self) -> list[Scratch]:
        """The arrays to work in."""
        kept = [self.graph.nodes[index] for index in self._kept]
        dtype = {True: "bool", False: None}
        return [
            *(Scratch(self._kept[node.index], node.shape, dtype[node.logical], keep=True) for node in kept),
            *(
                Scratch(f"work{i}", (size,), dtype[logical])
                for i, (size, logical) in enumerate(zip(self._places.sizes, self._places.logical, strict=True))
            ),
        ]

    @property
    def multiply_adds(self) -> int:
        """Those of the matrix products in a forward pass."""
        products = (node for node in self.forward_order if node.kind == "matmul")
        return sum(math.prod(node.shape) * node.arguments[0].shape[-1] for node in products)

    def forward(self, bottom: Bottoms, weights: Mapping[str, Array], scratch: SimpleNamespace, top: Tops) -> Run:
        """A function that writes the tops."""
        values = self._given(bottom, weights)
        outs = {index: top[i].data for index, i in self._tops.items()}
        calls = self._bind(self._forward_steps, values, outs, scratch)
        for i, node in enumerate(self.results):
            if self._tops.get(node.index) != i:
                calls.append(partial(np.copyto, top[i].data, values[node.index]))
        return _in_turn(calls)

    def backward(
        self,
        top: Tops,
        bottom: Bottoms,
        weights: Mapping[str, Array],
        scratch: SimpleNamespace,
        diffs: Mapping[Key, Array],
    ) -> Run:
        """A function that writes the gradients that are asked for, each by its bottom's or weight's key."""
        values = self._given(bottom, weights)
        values |= {index: getattr(scratch, name) for index, name in self._kept.items()}
        values |= {index: top[i].data for index, i in self._tops.items()}
        for i, blob in enumerate(top):
            values[self.graph.leaf(("diff", i), self.results[i].shape).index] = blob.diff
        outs = {index: diffs[key] for index, key in self._diffs.items() if key in diffs}
        wanted = {key: node for key, node in self.gradients.items() if key in diffs and node is not None}
        asked = frozenset(wanted)
        if asked not in self._backward_steps:
            self._backward_steps[asked] = self._steps(self._backward(list(wanted.values())))
        calls = self._bind(self._backward_steps[asked], values, outs, scratch)
        for key, diff in diffs.items():
            node = wanted.get(key)
            if node is None or node.index not in outs:
                calls.append(partial(np.copyto, diff, 0 if node is None else values[node.index]))
        return _in_turn(calls)

    def jvp(
        self, bottom: Bottoms, weights: Mapping[str, Array], given: Mapping[Key, Array], top_tangent: Sequence[Array]
    ) -> None:
        """Write the tops' tangents, from those of bottoms and weights. It takes memory as it needs it."""
        leaves: dict[Key, Array] = {("bottom", i): blob.data for i, blob in enumerate(bottom)}
        leaves |= {("weight", name): array for name, array in weights.items()}
        moving = {self.leaves[key]: self.graph.leaf(("tangent", key), self.leaves[key].shape) for key in given}
        leaves |= {("tangent", key): tangent for key, tangent in given.items()}
        found = tangents(self.results, moving)
        wanted = [node for node in found if node is not None]
        values = iter(evaluate(wanted, leaves, top_tangent[0].dtype))
        for node, out in zip(found, top_tangent, strict=True):
            out[...] = 0 if node is None else next(values)

    # -- where values lie ------------------------------------------------------------------------------------------

    def _direct(self, goals: Any, ends: Sequence[Node], order: Sequence[Node] | None = None) -> dict[int, Any]:
        """The nodes whose values are written where they are wanted, with what wants them; others are copied there.

        With an `order`, only those that it holds and that no other node of it reads.
        """
        inside = None if order is None else {node.index for node in order}
        inside = inside if inside is None else inside - {each.index for node in order or () for each in node.arguments}
        direct: dict[int, Any] = {}
        for key, node in goals:
            primitive = node.primitive
            plain = primitive is not None and not (primitive.view or primitive.dense or primitive.logical)
            alone = inside is None or (node.index in inside and sum(node is each for each in ends) == 1)
            if plain and alone:
                direct.setdefault(node.index, key)
        return direct

    def _backward(self, wanted: Sequence[Node]) -> list[Node]:
        """What must be computed backward for these gradients: views again, but nothing that forward stored."""
        return [
            node
            for node in ancestors(wanted, stop=lambda node: node.index in self._stored)
            if node.primitive is not None
        ]

    def _given(self, bottom: Bottoms, weights: Mapping[str, Array]) -> dict[int, Array]:
        """The values of the leaves and the constants, by index."""
        arrays: dict[Key, Array] = {("bottom", i): blob.data for i, blob in enumerate(bottom)}
        arrays |= {("weight", name): array for name, array in weights.items()}
        values = {node.index: arrays[key] for key, node in self.leaves.items()}
        return values | self._constant_values(bottom[0].dtype)

    def _constant_values(self, dtype: np.dtype[Any]) -> dict[int, Array]:
        if dtype not in self._numbers:
            self._numbers[dtype] = {node.index: np.asarray(node.value, dtype) for node in self._constants}
        return self._numbers[dtype]

    def _steps(self, order: Sequence[Node]) -> list[Step]:
        """The nodes of a pass with their places."""
        places, steps = self._places, []
        for node in order:
            if node.primitive is None:
                continue
            kept = self._kept.get(node.index) if node.index in self._stored else None
            out = _room(places.of[node.index], node.shape) if node.index in places.of else None
            work = None if node.room is None else _room(places.work[node.index], node.room)
            steps.append(Step(node, tuple(each.index for each in node.arguments), kept, out, work))
        return steps

    def _bind(
        self, steps: Sequence[Step], values: dict[int, Array], outs: Mapping[int, Array], scratch: SimpleNamespace
    ) -> list[Run]:
        """What computes the nodes, in order, each in its place; these are added to `values`."""
        calls: list[Run] = []
        for node, arguments, kept, room, work in steps:
            out = outs.get(node.index)
            if out is None and kept is not None:
                out = getattr(scratch, kept)
            elif out is None and room is not None:
                out = room.within(scratch)
            given = [values[index] for index in arguments]
            values[node.index], run = bound(node, given, out, None if work is None else work.within(scratch))
            if run is not None:
                calls.append(run)
        return calls


def _in_turn(calls: Sequence[Run]) -> Run:
    def run() -> None:
        for call in calls:
            call()

    return run


def _room(place: int, shape: Shape) -> Room:
    return Room(f"work{place}", math.prod(shape), shape)


def _base(node: Node) -> Node:
    """The node in whose memory a node's value lies: of views, what they are views of."""
    while node.primitive is not None and node.primitive.view:
        node = node.arguments[0]
    return node


def _has_no_place(node: Node) -> bool:
    return node.primitive is None or node.primitive.view


def _is_leaf(node: Node, kind: str) -> bool:
    return node.kind == "leaf" and node.value[0] == kind
