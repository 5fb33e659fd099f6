"""Where a net's blobs lie: every version of every name, what is seen of them from outside, and scratch arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from layerkit.blob import Alias, Array, Blob, shape_text
from layerkit.errors import ShapeError, UnknownNameError
from layerkit.graph import Graph, Node, Ref
from layerkit.passes import BackwardPass, Reader


class Named(dict[str, Any]):
    """A dict whose missing keys raise UnknownNameError with the nearest name."""

    def __init__(self, kind: str, items: Mapping[str, Any]):
        super().__init__(items)
        self._kind = kind

    def __missing__(self, key: str) -> Any:
        raise UnknownNameError(self._kind, key, self)


class BlobStore:
    """The blobs of a net.

    `versions` holds one blob a version. `public` shows a name as Caffe would, where in-place layers share one buffer:
    the last version's data, the first version's diff (of a net input: both of the first). `readers` holds a blob with a
    diff of its own for each of several readers of a blob, once a backward pass needs it.
    """

    def __init__(self, graph: Graph, dtype: npt.DTypeLike):
        self.graph = graph
        self.dtype = dtype
        self.inputs = frozenset(graph.inputs)
        self.versions = {ref: Blob(shape, dtype) for ref, shape in graph.shapes.items()}
        public = {name: self._public(last) for name, last in graph.last.items()}
        self.public: dict[str, Blob] = Named("blob", public)
        self.readers: dict[Reader, Blob] = {}
        self._arena: dict[tuple[str, str], Array] = {}
        self._weigh_losses()

    def _public(self, last: Ref) -> Blob:
        first = self.versions[Ref(last.name)]
        if last.version == 0 or last.name in self.inputs:
            return first
        return Alias(self.versions[last], first)

    def adopt(self, graph: Graph) -> None:
        """Take over a graph that was planned for other shapes."""
        self.graph = graph
        for ref, shape in graph.shapes.items():
            if self.versions[ref].shape != shape:
                self.versions[ref].resize(shape)
        self._weigh_losses()

    def losses(self) -> list[tuple[Blob, float]]:
        """The tops that have a loss weight, with it."""
        return [
            (self.versions[ref], weight)
            for node in self.graph.nodes
            for ref, weight in zip(node.tops, node.loss_weights, strict=True)
            if weight
        ]

    def _weigh_losses(self) -> None:
        """Let every loss's diff be its weight, so that a partial pass that starts at the loss finds it there."""
        for blob, weight in self.losses():
            blob.diff[...] = weight

    def scratch(self, node: Node) -> SimpleNamespace:
        """The arrays that a layer planned to work in; memory once taken up is used again for smaller shapes."""
        arrays = {}
        for planned in node.plan.scratch:
            size = math.prod(planned.shape)
            whole = self._arena.get((node.name, planned.name))
            if whole is None or whole.size < size:
                whole = self._arena[node.name, planned.name] = np.zeros(size, planned.dtype or self.dtype)
            arrays[planned.name] = whole[:size].reshape(planned.shape)
        return SimpleNamespace(**arrays)

    # -- partial runs: under in-place names, what Caffe's one buffer would hold ------------------------------------

    def enter_forward(self, first: int, given: Mapping[str, Array]) -> None:
        """Before a run from node `first` on: what it reads from above is given, or is what the public data shows.

        Raises UnknownNameError for a given blob that is not read from there on, ShapeError for one of another shape.
        """
        made = {ref for node in self.graph.nodes[:first] for ref in node.tops}
        border = {ref.name: ref for node in self.graph.nodes[first:] for ref in node.bottoms if ref in made}
        for name, array in given.items():
            if name not in border:
                raise UnknownNameError("blob read by the layers that run", name, border)
            shape = self.versions[border[name]].shape
            if array.shape != shape:
                raise ShapeError(f"{name!r} is {shape_text(shape)}, not {shape_text(array.shape)}")
        for name, ref in border.items():
            version, public = self.versions[ref], self.public[name]
            if name in given:
                version.data[...] = given[name]
            elif public.data is not version.data and name not in self.inputs:
                version.data[...] = public.data

    def leave_forward(self, last: int) -> None:
        """After a run that ended at node `last`: let the public data show the version that was written last."""
        newest = {ref.name: ref for node in self.graph.nodes[: last + 1] for ref in node.tops}
        for name, ref in newest.items():
            if ref != self.graph.last[name] and name not in self.inputs:
                self.public[name].data[...] = self.versions[ref].data

    def enter_backward(self, plan: BackwardPass) -> None:
        """Before a partial pass: a top whose diff is taken as found is what the public diff shows."""
        for step in plan.steps:
            for top in step.before:
                if top.kept and top.ref.version > 0:
                    top.blob.diff[...] = self.public[top.ref.name].diff

    def leave_backward(self, plan: BackwardPass) -> None:
        """After a partial pass: let the public diff show the version that was written last."""
        newest = {ref.name: ref for ref in sorted(plan.written, reverse=True)}  # backward, the lowest version is last
        for name, ref in newest.items():
            if ref.version > 0:
                self.public[name].diff[...] = self.versions[ref].diff
