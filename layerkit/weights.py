"""Where a net's weights lie: the trained ones in one contiguous array, their diffs in another, each a live view.

And how they are read from a file, with what a layerkit file says of itself.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from layerkit import arrayfile, threads
from layerkit.blob import Array, Blob, Shape, Stamp, WeightBlob, Weights, aligned, shape_text
from layerkit.errors import ShapeError, SnapshotError
from layerkit.fillers import PART, Filler
from layerkit.graph import Node
from layerkit.matching import Match, match

FORMAT = 1
KEY = "layerkit"
"""The metadata entry in which a layerkit file says what it is, as one JSON object."""
STATE_SUFFIX = ".state.safetensors"
MEAN_IMAGE = ".mean_image."
"""What stands in front of an input's name in the name of its mean image; no weight's name begins with a dot."""

Generator = Callable[..., np.random.Generator]


class Use(NamedTuple):
    """One layer's use of a weight: its data in the shape that this layer planned, with a diff of its own."""

    layer: str
    weight: str
    blob: Blob

    @property
    def key(self) -> str:
        """`layer.weight`."""
        return f"{self.layer}.{self.weight}"


@dataclass
class Slot:
    """One weight, however many layers use it. Its owner is the first layer that does; the owner's blob is `blob`."""

    layer: str
    """The owner."""
    index: int
    """Its number among the owner's weights."""
    name: str
    """Its name among the owner's weights."""
    shape: Shape
    filler: Filler
    trained: bool
    lr_mult: float
    decay_mult: float
    planned: list[tuple[str, str, Shape]] = field(default_factory=list)
    """Layer, name there and shape there, of every use."""
    start: int = 0
    """Where it lies in the flat arrays, if it is among their store's `trained`."""
    blob: Blob = field(init=False)
    uses: list[Use] = field(default_factory=list)
    """Every use; the owner's comes first."""
    stamp: Stamp = field(default_factory=Stamp)
    """When its values changed; one with the slot of another net that it borrows from."""

    @property
    def key(self) -> str:
        """`layer.weight` of the owner: its name in snapshots."""
        return f"{self.layer}.{self.name}"

    @property
    def span(self) -> slice:
        """Its part of the flat arrays."""
        return slice(self.start, self.start + math.prod(self.shape))


class WeightStore:
    """All weights of a net.

    `data` (or `values`) and `diff` are the flat arrays of the trained weights (lr_mult is not 0), each weight in
    Caffe's layout and in order of first use; `trained` are the slots that lie there. Frozen weights and statistics lie
    outside. With `share`, a weight that the other store's net uses in a layer of the same name is that store's array,
    and not in `trained`. So is one that has its blob, data and diff, in `given` (a body's weights, which lie among its
    layer's).

    Raises ShapeError where a weight to share has another shape.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        dtype: npt.DTypeLike,
        generator: Generator,
        share: WeightStore | None = None,
        given: Mapping[str, Blob] | None = None,
    ):
        self.slots: dict[str, Slot] = {slot.key: slot for slot in _find_slots(nodes)}
        lent = {} if share is None else {use.key: use.blob for slot in share.slots.values() for use in slot.uses}
        borrowed = {key: blob for key, slot in self.slots.items() if (blob := _borrow(slot, lent)) is not None}
        given = given or {}
        elsewhere = {*borrowed, *given}
        self.trained = [slot for key, slot in self.slots.items() if slot.trained and key not in elsewhere]
        self._kept: list[Array] = []
        size = 0
        for slot in self.trained:
            slot.start, size = size, size + math.prod(slot.shape)
        self.values: Array = aligned(size, dtype)
        """What `data` gives, for those who only read, or who call `change`."""
        self.diff: Array = aligned(size, dtype)
        for key, slot in self.slots.items():
            if key in elsewhere:
                slot.blob = given[key] if key in given else borrowed[key]
                slot.stamp = slot.blob.stamp or slot.stamp
                continue
            if slot.trained:
                data, diff = (whole[slot.span].reshape(slot.shape) for whole in (self.values, self.diff))
                slot.blob = WeightBlob.stamped(slot.stamp, data, diff)
            else:
                slot.blob = WeightBlob.stamped(slot.stamp, np.zeros(slot.shape, dtype))
        _fill([slot for key, slot in self.slots.items() if key not in elsewhere], generator)
        self.params: dict[str, Weights] = self._bind(nodes)

    @property
    def data(self) -> Array:
        """All trained weights; whoever takes the array may write into it at any time."""
        for slot in self.trained:
            slot.stamp.handed_out = True
        return self.values

    def change(self) -> None:
        """Note that the trained weights have changed."""
        for slot in self.trained:
            slot.stamp.change()

    def _bind(self, nodes: Sequence[Node]) -> dict[str, Weights]:
        """Every layer's weights: of the owner the slot's own blob, of others the same data with a diff of its own."""
        blobs: dict[tuple[str, str], Blob] = {}
        for slot in self.slots.values():
            for layer, name, shape in slot.planned:
                blob = slot.blob
                if slot.uses:
                    blob = WeightBlob.stamped(slot.stamp, slot.blob.values.reshape(shape, copy=False))
                slot.uses.append(Use(layer, name, blob))
                blobs[layer, name] = blob
        return {
            node.name: Weights({weight.name: blobs[node.name, weight.name] for weight in node.plan.weights})
            for node in nodes
        }

    def sum_uses(self, ran: Collection[str], full: bool) -> None:
        """After a backward pass through the layers `ran`: add up the diffs of shared weights.

        After a `full` pass a trained weight that nothing reached has a diff of zero; after a partial one it keeps its.
        """
        for slot in self.slots.values():
            if not slot.trained:
                continue
            owner, *others = slot.uses
            written = [use.blob for use in others if use.layer in ran]
            if owner.layer not in ran and (full or written):
                slot.blob.diff.fill(0)
            for blob in written:
                slot.blob.diff[...] += blob.diff.reshape(slot.shape)

    def keep(self) -> None:
        """Put the gradients aside, so that those of the next pass can be added to them."""
        diffs = self._diffs()
        self._kept = self._kept or [np.empty_like(diff) for diff in diffs]
        for kept, diff in zip(self._kept, diffs, strict=True):
            np.copyto(kept, diff)
            diff.fill(0)  # those of layers that do not run count as nothing in the next pass

    def add_kept(self) -> None:
        """Add the gradients that were put aside."""
        for kept, diff in zip(self._kept, self._diffs(), strict=True):
            np.add(diff, kept, out=diff)

    def _diffs(self) -> list[Array]:
        """The diffs of all trained weights: the flat array, and those that lie elsewhere."""
        flat = {slot.key for slot in self.trained}
        return [self.diff, *(slot.blob.diff for key, slot in self.slots.items() if slot.trained and key not in flat)]

    def arrays(self) -> dict[str, Array]:
        """Every weight and statistic by its name in snapshots, as live views to read; a shared one stands once."""
        return {key: slot.blob.values for key, slot in self.slots.items()}

    def shared(self) -> dict[str, str]:
        """For each further use of a shared weight, `layer.weight` -> the name that `arrays` has it under."""
        return {use.key: key for key, slot in self.slots.items() for use in slot.uses[1:]}

    def match(self, arrays: Mapping[str, npt.ArrayLike], source: str) -> Match:
        """How arrays from `source` match these weights by name. Raises SnapshotError for values that are no numbers."""
        found = {key: np.asarray(array) for key, array in arrays.items()}
        return match(found, {key: slot.shape for key, slot in self.slots.items()}, self.shared(), source)

    def load(self, arrays: Mapping[str, npt.ArrayLike], source: str, strict: bool | None = None) -> Match:
        """Copy weights in by name; returns what was loaded, skipped and missing.

        Nothing is changed unless everything fits. Raises SnapshotError as `match` does, and for what `strict` does not
        allow, as `Net.load_weights` says.
        """
        found = self.match(arrays, source)
        found.expect(strict)
        for key in found.loaded:
            self.slots[key].blob.values[...] = np.asarray(arrays[key])
            self.slots[key].stamp.change()
        return found


def _fill(slots: Sequence[Slot], generator: Generator) -> None:
    """Fill weights, each from a generator of its own, so that several threads draw the same numbers as one."""
    calls = [(slot.filler, slot.blob.values, generator(slot.layer, 0, slot.index)) for slot in slots]
    calls.sort(key=lambda call: -call[1].size)  # the largest first, so that no thread is left with it at the end
    if sum(values.size for _, values, _ in calls) < PART:
        for filler, values, rng in calls:
            filler.fill(values, rng)
        return
    with ThreadPoolExecutor(threads.default()) as pool:
        for future in [pool.submit(filler.fill, values, rng) for filler, values, rng in calls]:
            future.result()


def _find_slots(nodes: Sequence[Node]) -> list[Slot]:
    """The weights of all layers, those that share a name as one; in order of first use."""
    slots: list[Slot] = []
    by_name: dict[str, Slot] = {}
    for node in nodes:
        for i, weight in enumerate(node.plan.weights):
            param = node.params[i]
            slot = by_name.get(param.name) if param.name else None
            if slot is None:
                learns = node.learns(i)
                slot = Slot(
                    node.name, i, weight.name, weight.shape, weight.filler, learns, param.lr_mult, param.decay_mult
                )
                slots.append(slot)
                if param.name:
                    by_name[param.name] = slot
            slot.planned.append((node.name, weight.name, weight.shape))
    return slots


def _borrow(slot: Slot, lent: Mapping[str, Blob]) -> WeightBlob | None:
    """What another net lends to a slot, in the slot's shape; None if that net has no such weight."""
    for layer, name, shape in slot.planned:
        blob = lent.get(f"{layer}.{name}")
        if blob is None:
            continue
        if blob.shape != shape:
            here, there = shape_text(shape), shape_text(blob.shape)
            raise ShapeError(f"{f'{layer}.{name}'!r} is {here} here and {there} in the net that lends it")
        return WeightBlob.stamped(blob.stamp or slot.stamp, blob.values.reshape(slot.shape, copy=False))
    return None


# -- files -----------------------------------------------------------------------------------------------------------


def read_weights(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The weights in a file, ours or another's; a shared one stands under the name of every layer that uses it.

    Raises SnapshotError for a file that cannot be read, and for a solver's state.
    """
    return read_arrays(path)[0]


def read_arrays(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Array]]:
    """The weights in a file, as `read_weights` gives them, and the mean images, by input blob."""
    arrays, notes = arrayfile.load(path)
    images = {name.removeprefix(MEAN_IMAGE): arrays.pop(name) for name in list(arrays) if name.startswith(MEAN_IMAGE)}
    shared = _about_weights(notes, path).get("shared") if KEY in notes else None
    if isinstance(shared, dict):
        known = {use: key for use, key in shared.items() if isinstance(key, str) and key in arrays}
        arrays = {**{use: arrays[key] for use, key in known.items()}, **arrays}
    return arrays, images


def read_about(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a layerkit file says of itself. Raises SnapshotError for a file that is none."""
    return _about(arrayfile.metadata(path), path)


def read_about_weights(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a snapshot says of itself. Raises SnapshotError for a file that is none, a solver's state for one."""
    return _about_weights(arrayfile.metadata(path), path)


def weights_of(state: str | os.PathLike[str]) -> Path:
    """The weights that lie beside a solver's state."""
    path = Path(state)
    return path.with_name(path.name.removesuffix(STATE_SUFFIX) + ".safetensors")


def _about(notes: Mapping[str, str], path: str | os.PathLike[str]) -> dict[str, Any]:
    name = os.fspath(path)
    try:
        about = json.loads(notes[KEY])
        number = about["format"]
    except (KeyError, TypeError, ValueError, RecursionError):
        raise SnapshotError(f"{name}: not a layerkit snapshot (its metadata has no {KEY!r} entry)") from None
    if isinstance(number, int) and number > FORMAT:
        raise SnapshotError(f"{name}: written by a newer layerkit (format {number}, this one reads {FORMAT})")
    return dict(about)


def _about_weights(notes: Mapping[str, str], path: str | os.PathLike[str]) -> dict[str, Any]:
    about = _about(notes, path)
    if about.get("kind") == "state":
        beside = weights_of(path).name
        raise SnapshotError(f"{os.fspath(path)}: this is a solver's state; the weights are {beside} beside it")
    return about


def digest_of(arrays: Mapping[str, Array]) -> str:
    """A digest of names, types, shapes and values, the same for equal arrays in any order."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
