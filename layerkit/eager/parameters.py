"""The weights that a tape's calls use, by name; each call's own are made by the layers' own fillers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from layerkit.blob import Array, Blob, WeightBlob, shape_text
from layerkit.errors import ShapeError, UsageError, did_you_mean
from layerkit.graph import Node
from layerkit.layer import Generators
from layerkit.weights import WeightStore


class Parameters:
    """All weights and statistics, `layer.weight` or the name that `param` gives -> blob.

    A blob's `data` is what all calls use, and its `diff` what backward passes added up. They lie in `stores`, one for
    each call that made some.
    """

    def __init__(self, dtype: np.dtype[Any]):
        self.dtype = dtype
        self.blobs: dict[str, Blob] = {}
        self.stores: list[WeightStore] = []
        self.trained: dict[str, Blob] = {}
        """Those that training changes."""

    def lend(self, node: Node, keys: Sequence[str], seed: int) -> Mapping[str, Blob]:
        """A call's weights, by `layer.weight`: the values that go by `keys`, with diffs of its own.

        Those that are not there yet are made. Raises ShapeError where one is there with another shape.
        """
        own = [f"{node.name}.{weight.name}" for weight in node.plan.weights]
        for key, weight in zip(keys, node.plan.weights, strict=True):
            if key in self.blobs and self.blobs[key].shape != weight.shape:
                here, there = shape_text(weight.shape), shape_text(self.blobs[key].shape)
                why = "an earlier call made it; give this call another name for weights of its own"
                raise ShapeError(f"the weight {key!r} would be {here}, but is {there}: {why}")
        known = {name: self.blobs[key] for name, key in zip(own, keys, strict=True) if key in self.blobs}
        if len(known) < len(own):
            self._make(node, dict(zip(own, keys, strict=True)), seed, known)
        return {name: _use(self.blobs[key]) for name, key in zip(own, keys, strict=True)}

    def _make(self, node: Node, keys: Mapping[str, str], seed: int, known: Mapping[str, Blob]) -> None:
        def generator(layer: str, *key: int) -> np.random.Generator:
            return Generators.of(seed, layer)(*key)

        store = WeightStore([node], self.dtype, generator, given=known)
        self.stores.append(store)
        for slot in store.slots.values():
            if slot.key not in known:
                self.blobs[keys[slot.key]] = slot.blob
                if slot.trained:
                    self.trained[keys[slot.key]] = slot.blob

    def expect(self, keys: Sequence[str]) -> None:
        """Raise UsageError unless there are weights of these names already."""
        for key in keys:
            if key not in self.blobs:
                raise UsageError(f"no call has made a weight {key!r}{did_you_mean(key, self.blobs)}")

    def add(self, gradients: Mapping[str, Array]) -> None:
        """Add gradients to the diffs of the weights of these names."""
        for key, gradient in gradients.items():
            self.blobs[key].diff[...] += gradient

    def zero(self) -> None:
        """Set all diffs to zero."""
        for store in self.stores:
            store.diff.fill(0)


def _use(blob: Blob) -> Blob:
    """A weight's values with a diff of its own."""
    return Blob.of(blob.values) if blob.stamp is None else WeightBlob.stamped(blob.stamp, blob.values)
