"""Where a net's weights lie: the trained ones in one contiguous array, their diffs in another, each a live view."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from layerkit.blob import Array, Blob, Shape, Weights, shape_text
from layerkit.errors import ShapeError, SnapshotError, did_you_mean
from layerkit.graph import Node
from layerkit.layer import Weight

Generator = Callable[..., np.random.Generator]


@dataclass
class Slot:
    """One weight, however many layers use it. Its owner is the first layer that does."""

    key: str
    """`layer.weight` of the owner: its name in snapshots."""
    shape: Shape
    trained: bool
    lr_mult: float
    decay_mult: float
    blob: Blob
    start: int = 0
    """Where it lies in the flat arrays, if trained."""
    uses: list[tuple[str, str, Blob]] = field(default_factory=list)
    """Layer, weight name and blob of every use; the owner's is `blob` itself."""


class WeightStore:
    """All weights of a net.

    `data` and `diff` are the flat arrays of the trained weights (lr_mult is not 0), each weight in Caffe's layout and
    order of first use. Frozen weights and statistics lie outside. With `share`, weights that the other store has under
    the same key are its arrays.
    """

    def __init__(
        self, nodes: Sequence[Node], dtype: npt.DTypeLike, generator: Generator, share: WeightStore | None = None
    ):
        self.slots: dict[str, Slot] = {}
        self.params: dict[str, Weights] = {}
        by_name: dict[str, Slot] = {}
        own: list[tuple[Slot, Weight]] = []
        for node in nodes:
            for i, weight in enumerate(node.plan.weights):
                key, param = f"{node.name}.{weight.name}", node.param(i)
                slot = by_name.get(param.name) if param.name else None
                if slot is None:
                    slot = Slot(key, weight.shape, node.learns(i), param.lr_mult, param.decay_mult, Blob((0,), dtype))
                    self.slots[key] = slot
                    own.append((slot, weight))
                    if param.name:
                        by_name[param.name] = slot
                slot.uses.append((node.name, weight.name, slot.blob))
        shared = {} if share is None else share.slots
        self._allocate([slot for slot, _ in own if slot.key not in shared], dtype)
        for slot, weight in own:
            if slot.key in shared:
                slot.blob = Blob.of(_fitting(slot, shared[slot.key]))
            else:
                weight.filler.fill(slot.blob.data, generator(slot.key.rpartition(".")[0], 0, _position(slot, nodes)))
        self._make_uses(nodes)

    def _allocate(self, slots: Sequence[Slot], dtype: npt.DTypeLike) -> None:
        size = 0
        for slot in slots:
            slot.start = size
            size += math.prod(slot.shape) if slot.trained else 0
        self.data: Array = np.zeros(size, dtype)
        self.diff: Array = np.zeros(size, dtype)
        self.trained = [slot for slot in self.slots.values() if slot.trained]
        for slot in slots:
            if slot.trained:
                span = slice(slot.start, slot.start + math.prod(slot.shape))
                slot.blob = Blob.of(self.data[span].reshape(slot.shape), self.diff[span].reshape(slot.shape))
            else:
                slot.blob = Blob(slot.shape, dtype)

    def _make_uses(self, nodes: Sequence[Node]) -> None:
        """Give every layer its blobs: the owner the slot's own, each other use the same data with a diff of its own."""
        shapes = {(node.name, weight.name): weight.shape for node in nodes for weight in node.plan.weights}
        by_layer: dict[str, dict[str, Blob]] = {}
        for slot in self.slots.values():
            for i, (layer, name, _) in enumerate(slot.uses):
                data = slot.blob.data.reshape(shapes[layer, name], copy=False)
                blob = slot.blob if i == 0 else Blob.of(data)
                slot.uses[i] = (layer, name, blob)
                by_layer.setdefault(layer, {})[name] = blob
        for node in nodes:
            blobs = by_layer.get(node.name, {})
            self.params[node.name] = Weights({weight.name: blobs[weight.name] for weight in node.plan.weights})

    def sum_uses(self, ran: Collection[str], full: bool) -> None:
        """After a backward pass through the layers `ran`: add up the diffs of shared weights.

        After a full pass a trained weight that nothing reached has a diff of zero.
        """
        for slot in self.trained:
            if full and slot.uses[0][0] not in ran:
                slot.blob.diff.fill(0)
            if len(slot.uses) == 1:
                continue
            written = [blob for layer, _, blob in slot.uses if layer in ran]
            if written and not full and slot.uses[0][0] not in ran:
                slot.blob.diff.fill(0)
            for blob in written:
                if blob is not slot.blob:
                    slot.blob.diff[...] += blob.diff.reshape(slot.shape)

    def arrays(self) -> dict[str, Array]:
        """Every weight and statistic by its name in snapshots, as live views."""
        return {key: slot.blob.data for key, slot in self.slots.items()}

    def load(self, arrays: Mapping[str, Array], source: str, strict: bool = True) -> list[str]:
        """Copy weights in by name, and return the names of those that `arrays` lacks.

        Nothing is changed unless everything fits. Raises SnapshotError for another shape, and if `strict` for a weight
        that is missing.
        """
        missing = []
        for key, slot in self.slots.items():
            found = arrays.get(key)
            if found is None:
                missing.append(key)
                if strict:
                    raise SnapshotError(f"{source} has no weight {key!r}{did_you_mean(key, arrays)}")
            elif found.shape != slot.shape:
                raise SnapshotError(
                    f"{source}: {key!r} is {shape_text(found.shape)}, but the net's is {shape_text(slot.shape)}"
                )
        for key, slot in self.slots.items():
            if key in arrays:
                slot.blob.data[...] = arrays[key]
        return missing


def _position(slot: Slot, nodes: Sequence[Node]) -> int:
    """The number of a weight within its owner, so that each is filled from its own stream."""
    layer, name, _ = slot.uses[0]
    return next(
        i for node in nodes if node.name == layer for i, weight in enumerate(node.plan.weights) if weight.name == name
    )


def _fitting(slot: Slot, other: Slot) -> Array:
    if slot.shape != other.shape:
        raise ShapeError(
            f"{slot.key!r} is {shape_text(slot.shape)} here and {shape_text(other.shape)} in the net it shares"
        )
    return other.blob.data
