"""What runs the layers of an unrolled body: each step has a copy of its layers, with work arrays of their own."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial as bind
from types import SimpleNamespace
from typing import Any

import numpy as np

from layerkit.blob import Array, Blob, Stamp, WeightBlob, Weights, aligned, laid_out
from layerkit.engines import Engine, Kernel, Run, Work, adding
from layerkit.graph import Node, Ref
from layerkit.graph.unrolling import Unrolled
from layerkit.layer import Bottoms, Layer, Plan, Scratch, Tops
from layerkit.passes import Runner, naming
from layerkit.weights import WeightStore


def rest() -> None:
    """What there is to run where there is nothing to do."""


class Runners:
    """The nodes of an unrolled graph with layers of their own, and what runs each.

    `deferred` holds, for each layer whose gradients of weights are computed for all steps at once, what makes the run
    that does so for the weights that are asked for. All that weights get is added to `gradients`.
    """

    def __init__(
        self,
        unrolled: Unrolled,
        blobs: Mapping[Ref, Blob],
        store: WeightStore,
        gradients: Mapping[str, Array],
        engine: Engine,
        dtype: np.dtype[Any],
    ):
        self.unrolled, self.blobs, self.engine, self.dtype = unrolled, blobs, engine, dtype
        self.bytes = 0
        self._gradients = gradients
        self._slots = {use[:2]: slot for slot in store.slots.values() for use in slot.uses}
        self._weights: dict[str, Weights] = {}
        self._sums: dict[str, dict[str, Run]] = {}
        self._shared: dict[Any, Array] = {}
        self._kernels: dict[Any, Kernel | None] = {}
        for node in {node.name: node for node in unrolled.graph.nodes}.values():
            self._lend_weights(node, store)
        self.nodes = tuple(replace(node, layer=self._own_layer(node)) for node in unrolled.graph.nodes)
        self.runners = [self._runner(i, node) for i, node in enumerate(self.nodes)]
        self._whole_of = {part: whole for whole, parts in unrolled.joined.items() for part in parts}
        first = {node.name: node for node in reversed(self.nodes)}
        self.deferred = {name: self._later(node) for name, node in first.items() if self._defers(node)}

    # -- weights and work arrays -------------------------------------------------------------------------------------

    def _lend_weights(self, node: Node, store: WeightStore) -> None:
        """Weights with diffs that a layer may overwrite in each step, and what adds these to the gradients."""
        blobs: dict[str, Blob] = {}
        sums = self._sums[node.name] = {}
        for name, blob in store.params[node.name].items() if node.plan.weights else ():
            slot = self._slots[node.name, name]
            blobs[name] = blob
            if slot.key in self._gradients:
                diff = aligned(math.prod(blob.shape), self.dtype).reshape(blob.shape)
                self.bytes += diff.nbytes
                blobs[name] = WeightBlob.stamped(blob.stamp or Stamp(), blob.values, diff)
                total = self._gradients[slot.key].reshape(blob.shape)
                sums[name] = self.engine.add(total, diff) or adding(total, diff)
        self._weights[node.name] = Weights(blobs)

    def _own_layer(self, node: Node, plan: Plan | None = None) -> Layer:
        """A copy of a node's layer, with work arrays."""
        layer = copy.copy(node.layer)
        planned = (plan or node.plan).scratch
        layer.weights = self._weights[node.name]
        layer.scratch = SimpleNamespace(**{each.name: self._array(node, each) for each in planned})
        if node.bodies:
            layer.bodies = {name: body.another() for name, body in layer.bodies.items()}
        return layer

    def _array(self, node: Node, each: Scratch) -> Array:
        """A work array; those that are needed within a call only, layers of one name have in common."""
        dtype, size = np.dtype(each.dtype or self.dtype), math.prod(each.shape)
        key = node.name, each.name
        whole = None if each.keep else self._shared.get(key)
        if whole is None or whole.size < size or whole.dtype != dtype:
            whole = aligned(size, dtype)
            self.bytes += whole.nbytes
            if not each.keep:
                self._shared[key] = whole
        return laid_out(whole, each.shape, self.engine.channels_last and each.like_blob)

    # -- what runs ---------------------------------------------------------------------------------------------------

    def _runner(self, index: int, node: Node) -> Runner:
        if (not node.bottoms and node.spec.type == "Input") or index in self.unrolled.joins:
            return _Free()
        if index in self.unrolled.cuts:
            return _Cut()
        if index in self.unrolled.carries:
            return _Carry()
        kernel = self._kernel(node, node.bottoms, node.tops)
        return _Part(kernel or node.layer, self._sums[node.name])

    def _kernel(self, node: Node, bottoms: Sequence[Ref], tops: Sequence[Ref]) -> Kernel | None:
        """The engine's kernel, one for all steps unless it keeps something of its own from forward to backward."""
        if node.plan.bodies or not bottoms:
            return None
        shapes = tuple(self.blobs[ref].shape for ref in bottoms), tuple(self.blobs[ref].shape for ref in tops)
        kernel = self._kernels.get((node.name, shapes))
        if kernel is None or kernel.remembers:
            with naming(node.layer):
                kernel = self.engine.kernel(Work((node.layer,), *shapes, True))
            self._kernels[node.name, shapes] = kernel
        return kernel

    def _defers(self, node: Node) -> bool:
        """Whether the gradients of a layer's weights can be left until those of all steps' tops are there."""
        name, refs = node.name, (*node.bottoms, *node.tops)
        if name not in self.unrolled.repeated or name not in self.unrolled.by_rows or not self._sums[name]:
            return False
        if not all(ref in self._whole_of for ref in refs):
            return False
        kernels = self._kernel(node, node.bottoms, node.tops), self._kernel(node, *self._wholes(node))
        own_keeps = any(each.keep for each in node.plan.scratch)
        return not any(own_keeps if each is None else each.remembers or each.spoils for each in kernels)

    def _wholes(self, node: Node) -> tuple[list[Ref], list[Ref]]:
        return [self._whole_of[ref] for ref in node.bottoms], [self._whole_of[ref] for ref in node.tops]

    def _later(self, node: Node) -> Callable[[Collection[str]], Run]:
        """What makes the run that gives a layer's weights their gradients, from the rows of all steps."""
        bottoms, tops = self._wholes(node)
        kernel = self._kernel(node, bottoms, tops)
        part = _Part(kernel or self._own_layer(node, self.unrolled.by_rows[node.name]), self._sums[node.name])
        bottom, top = [self.blobs[ref] for ref in bottoms], [self.blobs[ref] for ref in tops]

        def make(asked: Collection[str]) -> Run:
            return part.backward(top, [False] * len(bottom), bottom, [asked])

        return make


class _Part:
    """Runs a layer, and adds what its weights get to the gradients."""

    def __init__(self, runs: Layer | Kernel, sums: Mapping[str, Run]):
        self.runs, self.sums = runs, sums

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        """A function that writes the tops."""
        if isinstance(self.runs, Kernel):
            return self.runs.forward(bottom, top)
        return self.runs.bound_forward(bottom, top)

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        """A function that writes the diffs that are asked for; `rest` where none are."""
        if not any(propagate_down) and not asked[0]:
            return rest
        own = self._backward(top, propagate_down, bottom, asked)
        sums = [self.sums[name] for name in sorted(asked[0])]
        if not sums:
            return own

        def run() -> None:
            own()
            for each in sums:
                each()

        return run

    def _backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        runs = self.runs
        if isinstance(runs, Kernel):
            return runs.backward(top, propagate_down, bottom, asked)
        runs.asked = frozenset(asked[0])
        return runs.bound_backward(top, propagate_down, bottom)


class _Free:
    """What needs not run: an input, which is written from outside, or parts that lie where the whole does."""

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        """Nothing."""
        return rest

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        """Nothing."""
        return rest


class _Cut(_Free):
    """A blob cut into parts, which lie where it does; only its diff may lie apart from theirs."""

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        """A function that puts the parts' diffs together; `rest` where they lie there already."""
        whole, parts = bottom[0].diff, [blob.diff for blob in top]
        if np.may_share_memory(whole, parts[0]):
            return rest

        def run() -> None:
            np.concatenate(parts, 0, out=whole)

        return run


class _Carry:
    """A state that enters a step: a copy, or, with a second bottom, a product with one number for each row."""

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        """A function that writes the state."""
        return self._bind(bottom, bottom[0].data, top[0].data)

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        """A function that writes the diff of the state as it was before."""
        return self._bind(bottom, top[0].diff, bottom[0].diff)

    def _bind(self, bottom: Bottoms, source: Array, target: Array) -> Run:
        if len(bottom) == 1:
            return bind(np.copyto, target, source)
        scale = bottom[1].data.reshape(-1, *[1] * (source.ndim - 1))
        product: Run = bind(np.multiply, source, scale, target)
        return product
