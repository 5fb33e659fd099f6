"""Where a net's blobs lie: every version of every name, what is seen of them from outside, and work arrays.

Either each blob has memory of its own, or a plan lays them all into one arena, where most take turns.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from layerkit.blob import Alias, Array, Blob, Shape, aligned, laid_out, shape_text
from layerkit.errors import ShapeError, UnknownNameError, UsageError
from layerkit.graph import Graph, Node, Ref
from layerkit.graph.memory import Key, MemoryPlan
from layerkit.graph.units import Unit
from layerkit.layer import Layer, State
from layerkit.passes import BackwardPass, Reader


class Named(dict[str, Any]):
    """A dict whose missing keys raise UnknownNameError with the nearest name."""

    def __init__(self, kind: str, items: Mapping[str, Any]):
        super().__init__(items)
        self._kind = kind

    def __missing__(self, key: str) -> Any:
        raise UnknownNameError(self._kind, key, self)


class Hidden(Blob):
    """A blob of which the data, or just the diff, cannot be read.

    Its memory serves others too, or it is computed in one with another. Its shape can be asked for; what is hidden
    raises UsageError.
    """

    __slots__ = ("_blob", "_name", "_shape_of")

    def __init__(self, name: str, shape_of: Array, blob: Blob | None):
        self._name = name
        self._shape_of = shape_of
        self._blob = blob
        self.channels_last = False
        self.moves = 0

    @property
    def data(self) -> Array:
        """The values, where they are kept."""
        return self._refuse("data") if self._blob is None else self._blob.data

    @property
    def diff(self) -> Array:
        """Raises UsageError."""
        return self._refuse("diff")

    @property
    def values(self) -> Array:
        """The values; where they are not kept, an array of their shape and type."""
        return self._shape_of if self._blob is None else self._blob.values

    @property
    def has_diff(self) -> bool:
        """No."""
        return False

    @property
    def arrays(self) -> list[Array]:
        """None of its own."""
        return []

    def fits(self, shape: Shape) -> bool:
        """Whether this is its shape: it can take no other."""
        return shape == self.shape

    def reshape(self, *shape: int) -> None:
        """Raises UsageError: blobs that are not inputs follow from these."""
        self._refuse("shape")

    def resize(self, shape: Shape) -> bool:
        """Raises UsageError: blobs that are not inputs follow from these."""
        return self._refuse("shape")

    def _refuse(self, what: str) -> NoReturn:
        raise UsageError(
            f"the {what} of blob {self._name!r} is not kept, since its memory serves others too; make the net with "
            f"keep='all', or with keep=[{self._name!r}] to keep just this one"
        )


@dataclass
class Layout:
    """How a net's blobs are to lie: the units they flow between, and the plan if there is an arena."""

    units: Sequence[Unit]
    plan: MemoryPlan | None = None
    visible: Collection[str] = ()
    """With a plan: the blobs whose data can be read from outside."""
    kept: Collection[str] = ()
    """With a plan: those whose diffs can be read, too."""
    again: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """The units of each segment that is computed again for the backward pass."""
    by_kernel: frozenset[int] = frozenset()
    """With a plan: the units for which it reckons with a kernel of the engine's."""


class BlobStore:
    """The blobs of a net.

    `versions` holds one blob a version. `public` shows a name as Caffe would, where in-place layers share one buffer:
    the last version's data, the first version's diff (of a net input: both of the first). `parts` holds a blob with a
    diff of its own for each of several readers of a blob, once a backward pass needs it. `moves` counts how often
    memory was taken up anew, which ends what was bound to it.
    """

    def __init__(self, graph: Graph, dtype: npt.DTypeLike, channels_last: bool, layout: Layout):
        self.dtype = np.dtype(dtype)
        self.channels_last = channels_last
        self.inputs = frozenset(graph.inputs)
        self._moves = 0
        self.versions: dict[Ref, Blob] = {}
        self.public: dict[str, Blob] = Named("blob", {})
        self._areas: dict[tuple[str, str], Array] = {}
        self.arena: Array | None = None
        self.allocate(graph, layout)

    def allocate(self, graph: Graph, layout: Layout) -> None:
        """Take up memory for a graph's shapes, in place of what there was."""
        plan = layout.plan
        self.arena = None if plan is None else aligned(plan.size, np.uint8)  # first: memory may not suffice
        self.graph = graph
        self._moves += 1
        self.layout = layout
        before = {name: self.versions[Ref(name)].data for name in self.inputs} if self.versions else {}
        self.versions = {}
        self.parts: dict[Reader, Blob] = {}
        inside = {ref: unit.tops[0] for unit in layout.units for ref in unit.inside}
        for ref, shape in graph.shapes.items():
            if ref not in inside:
                self.versions[ref] = self._blob(ref, shape)
        if plan is None:  # versions that a chain passes over are seen as its top, which has their name
            for ref, top in inside.items():
                self.versions[ref] = self.versions[top]
        for name, data in before.items():  # what a caller has written already
            if data.shape == self.versions[Ref(name)].shape:
                self.versions[Ref(name)].data[...] = data
        self._planned_parts()
        self._show()
        self._weigh_losses()

    @property
    def moves(self) -> int:
        """How often memory was taken up anew, by the store, by a layer, or by a caller who made an input larger."""
        return self._moves + sum(blob.moves for blob in self.versions.values())

    def divide(self, units: Sequence[Unit]) -> None:
        """Run other units from now on, some of the chains apart; the versions between their layers get memory."""
        inside = {ref for unit in units for ref in unit.inside}
        before = {ref for unit in self.layout.units for ref in unit.inside}
        for ref in before - inside:
            shared = self.versions[ref]
            own = self.versions[ref] = Blob(shared.shape, self.dtype, channels_last=self.channels_last)
            own.data[...] = shared.data
            if shared.has_diff:
                own.diff[...] = shared.diff
        self.layout = Layout(units)
        self._moves += 1
        self._show()

    def _blob(self, ref: Ref, shape: tuple[int, ...]) -> Blob:
        data, diff = self._planned(Key("data", ref)), self._planned(Key("diff", ref))
        return Blob(shape, self.dtype, channels_last=self.channels_last, data=data, diff=diff)

    def _planned(self, key: Key, dtype: np.dtype[Any] | None = None) -> Array | None:
        """An array's place in the arena; None where it has none."""
        plan = self.layout.plan
        if plan is None or self.arena is None or key not in plan.offsets:
            return None
        return self.arena[plan.offsets[key] :][: plan.sizes[key]].view(dtype or self.dtype)

    def _planned_parts(self) -> None:
        for key in self.layout.plan.offsets if self.layout.plan else ():
            if key.kind == "part":
                unit, blob = self.layout.units[key.unit], self.versions[key.ref]
                self.parts[unit.nodes[0], int(key.what)] = Alias(blob, whole_diff=self._planned(key))

    def _public(self, last: Ref) -> Blob:
        first = self.versions.get(Ref(last.name))
        if self.layout.plan is not None and last.name not in self.layout.kept:
            shape_of = np.broadcast_to(np.zeros((), self.dtype), self.graph.shapes[last])
            return Hidden(last.name, shape_of, self.versions[last] if last.name in self.layout.visible else None)
        if last.version == 0 or last.name in self.inputs or first is None:
            return first or self.versions[last]
        return Alias(self.versions[last], first)

    def adopt(self, graph: Graph) -> bool:
        """Take over a graph that was planned for other shapes; False, and nothing is done, where an arena is too small.

        Blobs with memory of their own grow.
        """
        if self.layout.plan is not None and any(
            not blob.fits(graph.shapes[ref]) for ref, blob in self.versions.items()
        ):
            return False
        self.graph = graph
        for ref, blob in self.versions.items():
            if blob.shape != graph.shapes[ref]:
                self._moves += blob.resize(graph.shapes[ref])
        if self.layout.plan is not None:
            self._show()
        self._weigh_losses()
        return True

    def _show(self) -> None:
        self.public.clear()
        self.public.update({name: self._public(last) for name, last in self.graph.last.items()})

    @property
    def bytes(self) -> int:
        """Bytes of all blobs and work arrays: of the arena, and of what does not lie in it."""
        blobs = {id(blob): blob for blob in (*self.versions.values(), *self.parts.values())}
        arrays = [array for blob in blobs.values() for array in blob.arrays]
        arrays += self._areas.values()
        if self.arena is not None:
            arena = self.arena
            arrays = [arena, *(array for array in arrays if not np.may_share_memory(array, arena))]
        return sum(array.nbytes for array in arrays)

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
        plan, kept = self.layout.plan, self.layout.kept
        for node in self.graph.nodes:
            for ref, weight in zip(node.tops, node.loss_weights, strict=True):
                if weight and (plan is None or (ref.name in kept and Key("diff", ref) not in plan.offsets)):
                    self.versions[ref].diff[...] = weight

    def scratch(self, node: Node, unit: int = -1) -> SimpleNamespace:
        """The arrays that a layer planned to work in; memory once taken up is used again for smaller shapes."""
        arrays = {}
        for planned in node.plan.scratch:
            size, dtype = math.prod(planned.shape), np.dtype(planned.dtype or self.dtype)
            whole = self._planned(Key("scratch", unit=unit, what=planned.name), dtype)
            if whole is None or whole.size < size:  # a smaller batch may ask for more
                whole = self._areas.get((node.name, planned.name))
                if whole is None or whole.size < size:
                    whole = self._areas[node.name, planned.name] = aligned(size, dtype)
                    self._moves += 1
            arrays[planned.name] = laid_out(whole, planned.shape, self.channels_last and planned.like_blob)
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


def provide_state(layer: Layer, planned: Iterable[State], dtype: np.dtype[Any]) -> None:
    """Give a layer the state that it plans. What it holds already stays, and grows along axis 0 where it must."""
    for each in planned:
        held: Array | None = getattr(layer.state, each.name, None)
        array = np.zeros(each.shape, each.dtype or dtype)
        if held is not None and held.ndim == array.ndim and held.shape[1:] == array.shape[1:]:
            if held.shape[:1] >= array.shape[:1]:
                continue
            array[: len(held)] = held
        setattr(layer.state, each.name, array)
