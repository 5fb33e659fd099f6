"""What is asked of a net as a function: its derivative in both modes, Jacobians, and products with its Hessian.

Everything is computed by the layers' own code, on arrays made for it, at the values that the net's inputs have now. So
it serves for any engine and however a net keeps its blobs, and changes nothing in it: not its blobs, diffs, states or
generators. A layer that draws at random draws what it will draw in the next forward pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from layerkit.blob import Array, Blob, Shape, Weights, shape_text
from layerkit.curvature import Parts, curvature
from layerkit.errors import ShapeError, UnknownNameError, UsageError
from layerkit.given import as_array
from layerkit.graph import Graph, Node, Ref
from layerkit.layer import Layer
from layerkit.passes import naming, remember
from layerkit.weights import WeightStore

Key = Ref | str
"""A version of a blob, or `layer.weight`."""
Moving = Mapping[Key, Array]


class Differentiable:
    """The part of a net that differentiates it. Blobs and weights (`layer.weight`) go by their names.

    A net is taken as a function of its inputs and weights. `propagate_down: false` stops derivatives, as it does in a
    backward pass, and so does a bottom that can have no gradient, such as labels.
    """

    graph: Graph
    flat: WeightStore
    dtype: np.dtype[Any]
    blobs: dict[str, Blob]

    def jvp(self, tangents: Mapping[str, npt.ArrayLike] | None = None, /, **named: npt.ArrayLike) -> dict[str, Array]:
        """Forward mode: the tangents of the outputs where blobs and weights move along the given ones.

            net.jvp(data=v)        net.jvp({"fc1.weight": v, "data": w})

        What is not named stands still. A tangent of a blob that a layer makes is added to the one that it has anyway.
        Raises UnknownNameError, ShapeError, and LayerkitError for a layer without a forward mode.
        """
        point = Point(self)
        moved = point.jvp(point.given({**(tangents or {}), **named}))
        return {name: point.of(moved, self.graph.last[name]) for name in self.graph.outputs}

    def vjp(self, diffs: Mapping[str, npt.ArrayLike] | None = None, /, **named: npt.ArrayLike) -> dict[str, Array]:
        """Reverse mode: the gradients of inputs and weights where those of some blobs are given: `net.vjp(output=u)`.

        What no gradient reaches is left out. Raises UnknownNameError, ShapeError.
        """
        point = Point(self)
        return self._reached(point, point.vjp(point.given({**(diffs or {}), **named})))

    def jacobian(self, output: str, input: str) -> Array:
        """The derivatives of one blob by another or by a weight, of shape (output's axes..., input's axes...).

        It is made of rows by reverse mode where the output has fewer elements, else of columns by forward mode.
        """
        point = Point(self)
        (y,), (x,) = point.given({output: None}), point.given({input: None})
        rows, columns = point.shape(y), point.shape(x)
        by_rows = math.prod(rows) < math.prod(columns)
        ends, other = ((y, rows), x) if by_rows else ((x, columns), y)
        found = []
        for seed in np.eye(math.prod(ends[1]), dtype=self.dtype):
            given = {ends[0]: seed.reshape(ends[1])}
            found.append(point.of(point.vjp(given) if by_rows else point.jvp(given), other).ravel())
        matrix = np.array(found, self.dtype).reshape(len(found), -1)
        return (matrix if by_rows else matrix.T).reshape(*rows, *columns)

    def hvp(
        self,
        tangents: Mapping[str, npt.ArrayLike] | None = None,
        diffs: Mapping[str, npt.ArrayLike] | None = None,
        /,
        **named: npt.ArrayLike,
    ) -> dict[str, Array]:
        """The Hessian of the loss times a direction: how its gradients change along it.

            net.hvp({"fc1.weight": v})        net.hvp(data=v)

        With `diffs` of blobs as a second argument, <diffs, blobs> takes the loss's place. What the direction leaves as
        it is is left out. Raises as `jvp` does, UsageError for a layer without a second derivative, and where there is
        no loss.
        """
        point = Point(self)
        seeds = point.given(diffs) if diffs is not None else point.losses()
        return self._reached(point, point.hvp(point.given({**(tangents or {}), **named}), seeds))

    def _reached(self, point: Point, found: Moving) -> dict[str, Array]:
        keys: dict[str, Key] = {name: Ref(name) for name in self.graph.inputs}
        keys |= {key: key for key, slot in self.flat.slots.items() if slot.planned}
        return {name: found[key] for name, key in keys.items() if key in found}


class Point:
    """A net's values for the inputs that it has now, in arrays of their own, and the derivatives there."""

    def __init__(self, net: Differentiable):
        self.net, self.graph, self.dtype = net, net.graph, net.dtype
        self.uses = {use.key: slot for slot in net.flat.slots.values() for use in slot.uses}
        self.nodes = [node for node in self.graph.nodes if node.tops]
        self.blobs: dict[Ref, Blob] = {}
        self._scratch = {id(node.layer): self._scratch_of(node) for node in self.nodes}
        put_back = remember(_with_bodies(self.graph.nodes))
        try:
            for node in self.nodes:
                tops = [Blob(shape, self.dtype) for shape in node.plan.tops]
                self.blobs.update(zip(node.tops, tops, strict=True))
                if not node.bottoms and not node.plan.weights:
                    for ref in node.tops:
                        self.blobs[ref] = Blob.of(np.array(net.blobs[ref.name].data, self.dtype, order="C"))
                    continue
                with self.lent(node) as layer:
                    layer.forward(self._bottoms(node), tops)
        finally:
            put_back()

    # -- names -----------------------------------------------------------------------------------------------------

    def given(self, arrays: Mapping[str, Any]) -> dict[Key, Array]:
        """Arrays by name as arrays of the net's type, by key; None stands for one that is not needed yet.

        Raises UnknownNameError, and ShapeError for another shape than the blob's or weight's.
        """
        found: dict[Key, Array] = {}
        for name, value in arrays.items():
            key: Key
            if name in self.uses:
                key = self.uses[name].key
            elif name in self.graph.last:
                key = Ref(name) if name in self.graph.inputs else self.graph.last[name]
            else:
                raise UnknownNameError("blob or weight", name, [*self.graph.last, *self.uses])
            array = np.zeros(()) if value is None else as_array(name, value).astype(self.dtype)
            if value is not None and array.shape != self.shape(key):
                raise ShapeError(f"{name!r} is {shape_text(self.shape(key))}, not {shape_text(array.shape)}")
            found[key] = array
        return found

    def shape(self, key: Key) -> Shape:
        """The shape of a blob or a weight."""
        return self.net.flat.slots[key].shape if isinstance(key, str) else self.blobs[key].shape

    def of(self, found: Moving, key: Key) -> Array:
        """What was found for a blob or weight: zeros where it is nothing."""
        return found[key] if key in found else np.zeros(self.shape(key), self.dtype)

    def losses(self) -> dict[Key, Array]:
        """The gradients of the loss by its terms: their weights. Raises UsageError where there is none."""
        weights = {ref: w for node in self.nodes for ref, w in zip(node.tops, node.loss_weights, strict=True) if w}
        if not weights:
            raise UsageError("the net has no loss; say by diffs of which blobs the Hessian is wanted")
        return {ref: np.full(self.shape(ref), weight, self.dtype) for ref, weight in weights.items()}

    # -- passes ----------------------------------------------------------------------------------------------------

    def jvp(self, given: Moving) -> dict[Key, Array]:
        """The tangents of all blobs that move."""
        moved: dict[Key, Array] = {key: value for key, value in given.items() if key in self.blobs or key in self.uses}
        for node in self.nodes:
            bottoms, weights = self._moving(node, moved)
            if not weights and all(each is None for each in bottoms):
                continue
            for ref, tangent in zip(node.tops, self.forward_of(node, bottoms, weights), strict=True):
                moved[ref] = np.asarray(tangent + given[ref]) if ref in given else tangent
        return moved

    def vjp(self, seeds: Moving) -> dict[Key, Array]:
        """The gradients of all blobs and weights that they reach."""
        totals: dict[Key, Array] = dict(seeds)
        for node in reversed(self.nodes):
            if any(ref in totals for ref in node.tops) and self.can(node):
                self._add(totals, node, self.backward_of(node, [self.of(totals, ref) for ref in node.tops]))
        return totals

    def hvp(self, given: Moving, seeds: Moving) -> dict[Key, Array]:
        """How the gradients change where the given blobs and weights move.

        In reverse, beside each gradient g its own tangent: what backward makes of the tangents of the tops' gradients,
        and how backward itself changes as what it reads moves.
        """
        moved, totals = self.jvp(given), dict(seeds)
        changes: dict[Key, Array] = {}
        for node in reversed(self.nodes):
            if not any(ref in totals for ref in node.tops) or not self.can(node):
                continue
            diffs = [self.of(totals, ref) for ref in node.tops]
            bottoms, weights = self._moving(node, moved)
            if any(ref in changes for ref in node.tops):
                self._add(changes, node, self.backward_of(node, [self.of(changes, ref) for ref in node.tops]))
            if weights or any(each is not None for each in bottoms):
                with self.lent(node) as layer:
                    layer.weight_tangents = weights
                    tops = [Blob.of(blob.data, diff) for blob, diff in zip(self._tops(node), diffs, strict=True)]
                    change = curvature(layer, self._bottoms(node), tops, bottoms, self._down(node))
                self._add(changes, node, change)
            self._add(totals, node, self.backward_of(node, diffs))
        return changes

    def _add(self, totals: dict[Key, Array], node: Node, parts: Parts) -> None:
        """Add what a layer gives to its bottoms and to its weights, which other layers may share."""
        found: list[tuple[Key, Array | None]] = list(zip(node.bottoms, parts[0], strict=True))
        for name, diff in parts[1].items():
            slot = self.uses[f"{node.name}.{name}"]
            found.append((slot.key, diff.reshape(slot.shape)))
        for key, part in found:
            if part is not None:
                totals[key] = np.asarray(totals[key] + part) if key in totals else part  # of no axes: not a scalar

    # -- one layer -------------------------------------------------------------------------------------------------

    def can(self, node: Node) -> bool:
        """Whether a layer has anything that a gradient could go to."""
        return any(self._down(node)) or any(weight.learned for weight in node.plan.weights)

    def forward_of(self, node: Node, bottoms: Sequence[Array | None], weights: Mapping[str, Array]) -> list[Array]:
        """The tangents of a layer's tops from those of its bottoms (None: stands still) and weights."""
        tangents = [np.empty(self.shape(ref), self.dtype) for ref in node.tops]
        with self.lent(node) as layer:
            layer.weight_tangents = weights
            layer.jvp(self._bottoms(node), self._tops(node), bottoms, tangents)
        return tangents

    def backward_of(self, node: Node, diffs: Sequence[Array]) -> Parts:
        """The gradients that a layer gives its bottoms and weights."""
        down = self._down(node)
        bottoms = [Blob.of(blob.data) for blob in self._bottoms(node)]
        with self.lent(node) as layer:
            layer.asked = frozenset(weight.name for weight in node.plan.weights if weight.learned)
            tops = [Blob.of(blob.data, diff.copy()) for blob, diff in zip(self._tops(node), diffs, strict=True)]
            layer.backward(tops, down, bottoms)
            weights = {name: layer.weights[name].diff for name in layer.asked}
        return [blob.diff if goes else None for blob, goes in zip(bottoms, down, strict=True)], weights

    @contextmanager
    def lent(self, node: Node) -> Iterator[Layer]:
        """The layer, with arrays to work in and diffs of weights that are not the net's; errors bear its name."""
        layer = node.layer
        before = (layer.scratch, layer.weights, layer.asked, layer.weight_tangents)
        layer.scratch = self._scratch[id(layer)]
        layer.weights = Weights({name: Blob.of(blob.values) for name, blob in layer.weights.items()})
        try:
            with naming(layer):
                yield layer
        finally:
            layer.scratch, layer.weights, layer.asked, layer.weight_tangents = before

    def _scratch_of(self, node: Node) -> SimpleNamespace:
        planned = node.plan.scratch
        return SimpleNamespace(**{each.name: np.zeros(each.shape, each.dtype or self.dtype) for each in planned})

    def _bottoms(self, node: Node) -> list[Blob]:
        return [self.blobs[ref] for ref in node.bottoms]

    def _tops(self, node: Node) -> list[Blob]:
        return [self.blobs[ref] for ref in node.tops]

    def _down(self, node: Node) -> list[bool]:
        return [node.propagates(i) for i in range(len(node.bottoms))]

    def _moving(self, node: Node, moved: Moving) -> tuple[list[Array | None], dict[str, Array]]:
        """The tangents of a layer's bottoms and weights, as far as derivatives go there."""
        bottoms = [moved.get(ref) if goes else None for ref, goes in zip(node.bottoms, self._down(node), strict=True)]
        weights = {}
        for weight in node.plan.weights:
            slot = self.uses[f"{node.name}.{weight.name}"]
            if weight.learned and slot.key in moved:
                weights[weight.name] = moved[slot.key].reshape(weight.shape)
        return bottoms, weights


def _with_bodies(nodes: Iterable[Node]) -> Iterator[Node]:
    """Nodes, with those inside their layers' bodies."""
    for node in nodes:
        yield node
        for body in node.layer.bodies.values():
            yield from (inner for _, inner in body.nodes())
