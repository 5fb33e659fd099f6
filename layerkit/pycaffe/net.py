"""Net: a net from a prototxt file, as pycaffe has it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from layerkit.convert import caffemodel
from layerkit.errors import UsageError
from layerkit.layers.data.memory_data import MemoryData
from layerkit.net import Net as Inner
from layerkit.pycaffe import files, modes, reading
from layerkit.pycaffe.passes import Passes
from layerkit.pycaffe.reading import Words

Path = str | os.PathLike[str]


class Net(Passes):
    """A net in one phase, as scripts written for Caffe use it.

    Layers of type Python run the class that the file names, without further permission: the file is the script's own.

    Source: Caffe's Net; pycaffe.py and _caffe.cpp.
    """

    _owned = False

    def __init__(
        self,
        network_file: Path,
        *args: Any,
        phase: int | None = None,
        level: int = 0,
        stages: Sequence[str] | None = None,
        weights: Path | None = None,
    ):
        """A net from a prototxt file: `Net(file, phase)`, `Net(file, weights, phase)`, or with names.

        `phase` is caffe.TRAIN or caffe.TEST; `level` and `stages` choose layers by their rules; `weights` are copied
        in as `copy_from` does. Raises ConfigError with all that is wrong with the file.
        """
        said: dict[str, Any] = {"phase": phase, "level": level, "stages": stages, "weights": weights}
        names = ["weights", "phase"] if args and isinstance(args[0], (str, os.PathLike)) else list(said)
        if len(args) > len(names):
            raise UsageError("Net takes (file, phase) or (file, weights, phase); name what follows")
        said.update(zip(names, args, strict=False))
        if said["phase"] is None:
            raise UsageError("Net needs a phase: caffe.TRAIN or caffe.TEST")
        found = reading.load(network_file)
        built = found.build(said["phase"], said["level"], said["stages"] or ())
        self._begin(Inner.from_graph(built, seed=modes.next_seed(), engine=modes.engine()), found.words)
        if said["weights"] is not None:
            self.copy_from(said["weights"])

    @classmethod
    def over(cls, inner: Inner, words: Words, *, owned: bool = False) -> Self:
        """What shows a net of layerkit that exists already; one that is `owned`, by a solver, keeps its arrays."""
        net = cls.__new__(cls)
        net._owned = owned
        net._begin(inner, words)
        return net

    def _begin(self, inner: Inner, words: Words) -> None:
        self._prepare()
        self._show(inner, words)

    @property
    def name(self) -> str:
        """The net's name."""
        return self.inner.name

    def copy_from(self, weights: Path) -> None:
        """Copy a file's weights into the layers of the same name, as `files.copy_weights` does."""
        files.copy_weights(self, weights)

    def share_with(self, other: Net) -> None:
        """Use the other net's weights in the layers of the same name from now on; diffs stay apart.

        Raises ShapeError where they differ in shape, UsageError for a solver's net; nothing is changed then.
        """
        lent = {use.key: use.blob for slot in other.inner.flat.slots.values() for use in slot.uses}
        slots = self.inner.flat.slots
        if all(np.shares_memory(slots[key].blob.values, lent[key].values) for key in slots.keys() & lent.keys()):
            return
        if self._owned:
            raise UsageError("a solver's net keeps its own arrays; use copy_from, or share them with the other net")
        before = self.inner
        inner = Inner.from_graph(before.graph, seed=before.seed, engine=before.engine.name, share=other.inner)
        own = {key: array for key, array in before.flat.arrays().items() if key not in lent}
        before.close()
        inner.flat.load(own, "the net", strict=False)
        for name in before.inputs:
            inner.blobs[name].data[...] = before.blobs[name].data
        self.inner = inner

    def save(self, path: Path) -> None:
        """Write a .caffemodel that Caffe reads, atomically. Raises SnapshotError."""
        caffemodel.write(path, self.name, files.saved_layers(self))

    def save_hdf5(self, path: Path, write_diff: bool = False) -> None:
        """Write the weights as a .caffemodel.h5 that Caffe reads, with `write_diff` also their diffs."""
        files.save_hdf5(self, path, write_diff)

    def load_hdf5(self, path: Path) -> None:
        """Copy in the weights of a .caffemodel.h5, as `copy_from` does."""
        self.copy_from(path)

    def set_input_arrays(self, data: Any, labels: Any) -> None:
        """Let the MemoryData layer with which the net begins read these samples, a whole number of batches.

        Raises UsageError for another first layer and another number of samples, DataError for arrays that do not fit.
        """
        first = self.inner.graph.nodes[0]
        if not isinstance(first.layer, MemoryData):
            raise UsageError(f"set_input_arrays needs a net that begins with MemoryData, not {first.spec.type}")
        size = first.layer.params.batch_size
        if len(data) % size:
            raise UsageError(f"set_input_arrays takes a multiple of {size} samples, the batch's size, not {len(data)}")
        first.layer.set_arrays(data, labels)

    def __repr__(self) -> str:
        return repr(self.inner)
