"""What a net runs: its graph as units, each bound to a layer's own code or to an engine's kernel, and to blobs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from layerkit.blob import Array, Blob, Shape, shape_text
from layerkit.engines import Engine, Kernel, Run, Work, adding
from layerkit.errors import UsageError
from layerkit.given import Keep
from layerkit.graph import Graph, Node, Ref, loss_seeds
from layerkit.graph.memory import Needs, plan_memory
from layerkit.graph.units import Unit, find_units, schedule, unit_segments, unit_steps
from layerkit.passes import BackwardPass, Binding, ForwardStep, OwnCode, Runner, forward_steps, make_ready, naming
from layerkit.storage import BlobStore, Layout

KEPT_PROGRAMS = 8
"""Most programs that are kept, each for one set of shapes: as many batch sizes as take turns."""


@dataclass
class Program:
    """What runs for one set of shapes."""

    graph: Graph
    binding: Binding
    steps: list[ForwardStep]
    moves: int
    """What the store's `moves` was: where it has changed since, the program is bound to memory that is given up."""
    passes: dict[Any, BackwardPass] = field(default_factory=dict)

    def backward(self, seeds: frozenset[Ref], lowest: int, highest: int, *, from_the_end: bool) -> BackwardPass:
        """The backward pass from the layer at `highest` down to that at `lowest`, made when it is first asked for.

        Gradients flow from `seeds`, if there are any, else from the losses; and unless the pass begins `from_the_end`,
        from what crosses the border below which it begins.
        """
        key = (seeds, lowest, highest, from_the_end)
        if key not in self.passes:
            nodes, roots = self.graph.nodes, seeds or None
            if not from_the_end:
                made = {ref for node in nodes[: highest + 1] for ref in node.tops}
                crossing = made & {ref for node in nodes[highest + 1 :] for ref in node.bottoms}
                roots = seeds | crossing | {*nodes[highest].tops} | loss_seeds(nodes[: highest + 1])
            steps = self.graph.backward(roots, inputs=bool(seeds) or not from_the_end)
            steps = [step for step in steps if lowest <= step.node <= highest]
            own = unit_steps(self.binding.units, steps)
            self.passes[key] = make_ready(self.binding, own, partial=not from_the_end, seeded=bool(seeds))
        return self.passes[key]

    def backward_from_losses(self) -> BackwardPass:
        """The whole backward pass."""
        return self.backward(frozenset(), 0, len(self.graph.nodes) - 1, from_the_end=True)


class Programs:
    """Makes a net's programs and keeps the last few."""

    def __init__(self, graph: Graph, engine: Engine, keep: Keep, dtype: np.dtype[Any]):
        self.engine = engine
        self.keep = keep
        self.dtype = dtype
        self.planned = keep != "all" and not any(node.plan.unbounded for node in graph.nodes)
        names = () if keep == "all" else keep
        self.kept = frozenset({*names, *graph.inputs})
        """In planned memory: the blobs whose diffs are kept, too."""
        self.visible = frozenset({*names, *graph.inputs, *graph.outputs})
        self.trains = not self.planned or (graph.state.phase == "train" and bool(graph.backward(None)))
        self.apart: frozenset[int] = frozenset()
        """Nodes that run on their own because a partial pass began or ended between them."""
        self._kernels: dict[tuple[Any, ...], Kernel | None] = {}
        self._programs: dict[Any, Program] = {}

    # -- layout ----------------------------------------------------------------------------------------------------

    def layout(self, graph: Graph) -> Layout:
        """The units of a graph, and where its arrays lie."""
        segments = graph.segments if self.planned and self.trains else {}
        units = find_units(graph.nodes, self._may_hide(graph), lambda chain: self._joins(graph, chain), self.apart)
        if not self.planned:
            return Layout(units)
        again = unit_segments(units, segments)
        steps = unit_steps(units, graph.backward(None)) if self.trains else []
        needs = [self._needs(graph, i, unit) for i, unit in enumerate(units)]
        losses = {ref for node in graph.nodes for ref, w in zip(node.tops, node.loss_weights, strict=True) if w}
        pinned = losses | {graph.last[name] for name in self.visible} | {Ref(name) for name in self.kept}
        kept = {Ref(name) for name in self.kept}
        backward = schedule(steps, again)
        plan = plan_memory(units, needs, backward, graph.shapes, pinned, kept, again, self.dtype.itemsize)
        by_kernel = frozenset(i for i, unit in enumerate(units) if self.kernel_of(graph, unit) is not None)
        return Layout(units, plan, self.visible, self.kept, again, by_kernel)

    def _may_hide(self, graph: Graph) -> Callable[[Ref], bool]:
        """A function that says whether a blob that one layer reads may go unseen.

        In planned memory it may if it is not to be kept; else only a version without a name of its own, and that no
        layer's own code reads backward, so that a partial pass can still begin there.
        """
        last = graph.last
        read_back = {
            ref
            for node in graph.nodes
            for refs, reads in ((node.bottoms, node.plan.reads_bottoms), (node.tops, node.plan.reads_tops))
            for i, ref in enumerate(refs)
            if reads is None or i in reads
        }

        def may_hide(ref: Ref) -> bool:
            nameless = ref != last[ref.name] and ref.name not in graph.inputs
            if self.planned:
                return nameless or ref.name not in self.visible
            return nameless and ref not in read_back

        return may_hide

    def _joins(self, graph: Graph, chain: Sequence[int]) -> bool:
        nodes = [graph.nodes[i] for i in chain]
        if self.planned and any(ref.name in self.kept for node in nodes for ref in node.tops):
            return False  # a kernel may change the diff of its top, or never write those in between
        kernel = self._kernel(nodes, graph, nodes[0].bottoms, nodes[-1].tops)
        return kernel is not None and (self.planned or not kernel.remembers)

    def _kernel(
        self, nodes: Sequence[Node], graph: Graph, bottoms: Sequence[Ref], tops: Sequence[Ref]
    ) -> Kernel | None:
        """The engine's kernel for a layer or a chain, made once for its shapes."""
        shapes = tuple(graph.shapes[ref] for ref in bottoms), tuple(graph.shapes[ref] for ref in tops)
        key = (tuple(node.name for node in nodes), *shapes)
        if key not in self._kernels:
            work = Work(tuple(node.layer for node in nodes), *shapes, self.trains)
            with naming(nodes[0].layer):
                self._kernels[key] = self.engine.kernel(work)
        return self._kernels[key]

    def kernel_of(self, graph: Graph, unit: Unit) -> Kernel | None:
        """The engine's kernel for a unit; None where the layer's own code runs."""
        nodes = [graph.nodes[i] for i in unit.nodes]
        if any(node.plan.dynamic or node.plan.bodies for node in nodes) or not unit.bottoms:
            return None
        return self._kernel(nodes, graph, unit.bottoms, unit.tops)

    def _needs(self, graph: Graph, index: int, unit: Unit) -> Needs:
        kernel = self.kernel_of(graph, unit)
        if kernel is not None:
            return Needs(
                reads_bottoms=frozenset(kernel.reads_bottoms),
                reads_tops=frozenset(kernel.reads_tops),
                shares_data=kernel.shares_data,
                shares_diff=kernel.shares_diff,
                passes=frozenset(kernel.passes),
                spoils=kernel.spoils,
            )
        plan = graph.nodes[unit.nodes[0]].plan
        scratch = tuple(
            (each.name, np.dtype(each.dtype or self.dtype).itemsize * _size(each.shape), each.keep)
            for each in plan.scratch
        )
        bottoms = range(len(unit.bottoms)) if plan.reads_bottoms is None else plan.reads_bottoms
        tops = range(len(unit.tops)) if plan.reads_tops is None else plan.reads_tops
        return Needs(frozenset(bottoms), frozenset(tops), plan.in_place, plan.in_place, scratch=scratch)

    # -- what a net with little memory cannot do --------------------------------------------------------------------

    def expect_backward(self, seeds: Collection[Ref], forward_done: bool) -> None:
        """Raise UsageError for a backward pass that there is no memory for."""
        if self.planned and seeds:
            raise UsageError("a backward pass from given diffs needs every blob; make the net with keep='all'")
        if not self.trains:
            raise UsageError("the net has no memory for a backward pass; make it with keep='all'")
        if self.planned and not forward_done:
            raise UsageError("each backward pass needs a forward pass before it; to repeat it use keep='all'")

    def divided(
        self, graph: Graph, units: Sequence[Unit], borders: Collection[int], what: str
    ) -> Sequence[Unit] | None:
        """The units with no chain over a border, from now on; None if there is none anyway. Raises UsageError."""
        if self.planned:
            raise UsageError(f"a partial {what} pass needs every blob; make the net with keep='all'")
        crossed = {
            i for unit in units for i in unit.nodes if any(unit.nodes[0] < at <= unit.nodes[-1] for at in borders)
        }
        if not crossed:
            return None
        self.apart |= crossed
        return self.layout(graph).units

    # -- programs --------------------------------------------------------------------------------------------------

    def program(self, graph: Graph, store: BlobStore) -> Program:
        """The program for a graph whose blobs the store has laid out; layers are given their work arrays."""
        key = tuple(graph.shapes.values())
        kept = self._programs.pop(key, None)
        if kept is None or kept.moves != store.moves or kept.binding.units is not store.layout.units:
            self._programs = {each: old for each, old in self._programs.items() if old.moves == store.moves}
            kept = self._make(graph, store)
        else:
            self._lend_scratch(graph, store, kept.binding.runners)
        self._programs[key] = kept
        if len(self._programs) > KEPT_PROGRAMS:
            del self._programs[next(iter(self._programs))]
            used = {id(runner) for each in self._programs.values() for runner in each.binding.runners}
            self._kernels = {key: kernel for key, kernel in self._kernels.items() if id(kernel) in used}
        return kept

    def _make(self, graph: Graph, store: BlobStore) -> Program:
        units = store.layout.units
        runners = [self._runner(graph, index, store) for index in range(len(units))]
        self._lend_scratch(graph, store, runners)
        again = store.layout.again
        binding = Binding(graph, units, runners, store.versions, store.parts, self._add, self.planned, again)
        return Program(graph, binding, forward_steps(binding), store.moves)

    def _runner(self, graph: Graph, index: int, store: BlobStore) -> Runner:
        unit = store.layout.units[index]
        kernel = self.kernel_of(graph, unit)
        if kernel is not None:
            return kernel
        if index in store.layout.by_kernel and all(_size(graph.shapes[ref]) for ref in (*unit.bottoms, *unit.tops)):
            node = graph.nodes[unit.nodes[0]]
            what = f"layer {node.name!r} ({node.spec.type}) with a top of {shape_text(graph.shapes[unit.tops[0]])}"
            raise UsageError(f"the engine {self.engine.name!r} cannot run {what} in planned memory; use keep='all'")
        between = [
            store.versions.get(ref) or Blob(graph.shapes[ref], self.dtype, channels_last=self.engine.channels_last)
            for ref in unit.inside
        ]
        return OwnCode([graph.nodes[i].layer for i in unit.nodes], between)

    def _lend_scratch(self, graph: Graph, store: BlobStore, runners: Sequence[Runner]) -> None:
        for index, (unit, runner) in enumerate(zip(store.layout.units, runners, strict=True)):
            if isinstance(runner, OwnCode):
                for i in unit.nodes:
                    node = graph.nodes[i]
                    node.layer.scratch = store.scratch(node, index)

    def _add(self, total: Array, part: Array) -> Run:
        """A function that adds one diff to another."""
        return self.engine.add(total, part) or adding(total, part)


def implementations(graph: Graph, program: Program) -> Mapping[str, str]:
    """What runs each layer: an engine's implementation, or the layer's own code."""
    return {
        graph.nodes[i].name: getattr(runner, "implementation", "numpy")
        for unit, runner in zip(program.binding.units, program.binding.runners, strict=True)
        for i in unit.nodes
    }


def planned_implementations(graph: Graph, programs: Programs, units: Sequence[Unit]) -> Mapping[str, str]:
    """What will run each layer of a layout's units, before anything is bound."""
    kernels = [programs.kernel_of(graph, unit) for unit in units]
    return {
        graph.nodes[i].name: "numpy" if kernel is None else kernel.implementation
        for unit, kernel in zip(units, kernels, strict=True)
        for i in unit.nodes
    }


def _size(shape: Shape) -> int:
    return int(np.prod(shape, dtype=np.int64))
