"""Net: the layers of a graph with their blobs and weights; runs them forward and backward."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from layerkit import arrayfile
from layerkit import graph as graphs
from layerkit.blob import Alias, Array, Blob, Shape, Weights, shape_text
from layerkit.datasets import transform
from layerkit.errors import LayerkitError, ShapeError, UnknownNameError, UsageError
from layerkit.graph import Graph, Node, Ref
from layerkit.layer import Layer, SourceLayer
from layerkit.passes import BackwardPass, make_ready
from layerkit.spec import load_run
from layerkit.weights import WeightStore

DTYPES = ("float32", "float64")


class Named(dict[str, Any]):
    """A dict whose missing keys raise UnknownNameError with the nearest name."""

    def __init__(self, kind: str, items: Mapping[str, Any]):
        super().__init__(items)
        self._kind = kind

    def __missing__(self, key: str) -> Any:
        raise UnknownNameError(self._kind, key, self)


class Net:
    """A net in one phase.

    `blobs[name]` is a blob: `data` of its last version, `diff` of its first (of a net input: the first version's both).
    `params[layer]` are the layer's weights, by index and by name. `flat.data` and `flat.diff` hold all trained weights.

    Source: Caffe's Net.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Mapping[str, Any],
        phase: str = "train",
        *,
        weights: str | os.PathLike[str] | None = None,
        seed: int | None = None,
        dtype: str = "float32",
        level: int = 0,
        stages: Iterable[str] = (),
        overrides: Iterable[str] = (),
    ):
        """A net from a YAML file's path, a YAML text or a dict.

        `weights` is a snapshot to load; `seed` replaces the run's random_seed; `dtype` is float32 or float64.
        Raises ConfigError with everything that is wrong with the source.
        """
        run = load_run(source, overrides)
        if seed is None:
            seed = run.solver.random_seed if run.solver else 0
        self._init(graphs.build(run.net, phase, level, stages), seed, dtype, None)
        if weights is not None:
            self.load_weights(weights)

    @classmethod
    def from_graph(cls, graph: Graph, *, seed: int = 0, dtype: str = "float32", share: Net | None = None) -> Self:
        """A net from a graph; with `share`, weights of the same name are the other net's arrays."""
        net = cls.__new__(cls)
        net._init(graph, seed, dtype, share)
        return net

    def _init(self, graph: Graph, seed: int, dtype: str, share: Net | None) -> None:
        if dtype not in DTYPES:
            raise UnknownNameError("dtype", dtype, DTYPES)
        self.graph = graph
        self.seed = seed
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.layers: dict[str, Layer] = Named("layer", {node.name: node.layer for node in graph.nodes})
        self.flat: WeightStore = WeightStore(graph.nodes, self.dtype, self.generator, share.flat if share else None)
        self.params: dict[str, Weights] = Named("layer", self.flat.params)
        self._versions = {ref: Blob(shape, self.dtype) for ref, shape in graph.shapes.items()}
        self._sources = frozenset(graph.inputs)
        self.blobs: dict[str, Blob] = Named("blob", self._public_blobs())
        self._readers = self._make_readers()
        self._forced: dict[Ref, Shape] = {}
        self._passes: dict[Any, BackwardPass] = {}
        self._arena: dict[tuple[str, str], Array] = {}
        self._spare: Array | None = None
        self._opened = False
        for node in graph.nodes:
            self._bind(node)

    # -- set-up --------------------------------------------------------------------------------------------------

    def generator(self, layer: str, *key: int) -> np.random.Generator:
        """A fresh generator that is a pure function of the net's seed, a layer's name and `key`."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(zlib.crc32(layer.encode()), *key)))

    def _bind(self, node: Node) -> None:
        """Give a layer what it planned."""
        layer = node.layer
        layer.weights = self.flat.params[node.name]
        layer.rng = self.generator(node.name, 1)
        layer.generator = lambda *key: self.generator(node.name, 2, *key)
        layer.state = SimpleNamespace(**{s.name: np.zeros(s.shape, s.dtype or self.dtype) for s in node.plan.state})
        self._give_scratch(node)

    def _give_scratch(self, node: Node) -> None:
        arrays = {}
        for scratch in node.plan.scratch:
            size = int(np.prod(scratch.shape))
            whole = self._arena.get((node.name, scratch.name))
            if whole is None or whole.size < size:
                whole = self._arena[node.name, scratch.name] = np.zeros(size, scratch.dtype or self.dtype)
            arrays[scratch.name] = whole[:size].reshape(scratch.shape)
        node.layer.scratch = SimpleNamespace(**arrays)

    def _public_blobs(self) -> dict[str, Blob]:
        public = {}
        for name, last in self.graph.last.items():
            first = self._versions[Ref(name)]
            inside = last.version == 0 or name in self._sources
            public[name] = first if inside else Alias(self._versions[last], first)
        return public

    def _make_readers(self) -> dict[tuple[int, int], Blob]:
        """A blob with a diff of its own for every reader but the last of a blob that several layers read."""
        readers: dict[tuple[int, int], Blob] = {}
        seen: set[Ref] = set()
        for index in range(len(self.graph.nodes) - 1, -1, -1):
            for i, ref in enumerate(self.graph.nodes[index].bottoms):
                if ref in seen:
                    readers[index, i] = Alias(self._versions[ref])
                seen.add(ref)
        return readers

    def _adopt(self, graph: Graph) -> None:
        """Take over a graph that was planned for other shapes."""
        self.graph = graph
        for ref, shape in graph.shapes.items():
            if self._versions[ref].shape != shape:
                self._versions[ref].resize(shape)
        for node in graph.nodes:
            self._give_scratch(node)

    def reshape(self, **shapes: Sequence[int]) -> None:
        """Plan again for other shapes of inputs, by name; without any, for the shapes that the input blobs have now.

        Weights stay. Raises ShapeError, naming the layer, where a shape does not fit; nothing is changed then.
        """
        wanted = shapes or {name: self.blobs[name].shape for name in self._sources}
        forced = {self._source_ref(name): tuple(shape) for name, shape in wanted.items()}
        self._force(forced)

    def _force(self, shapes: Mapping[Ref, Shape]) -> None:
        if all(self.graph.shapes[ref] == shape for ref, shape in shapes.items()):
            return
        forced = {**self._forced, **shapes}
        self._adopt(self.graph.with_shapes(forced))
        self._forced = forced

    def _source_ref(self, name: str) -> Ref:
        if name not in self._sources:
            raise UnknownNameError("input", name, sorted(self._sources))
        return Ref(name)

    def load_weights(self, weights: str | os.PathLike[str] | Mapping[str, Array], strict: bool = True) -> list[str]:
        """Copy weights in by name from a snapshot's path or a mapping; returns the names that it lacks.

        Raises SnapshotError for a file that cannot be read, another shape, or if `strict` a weight that is missing.
        """
        if isinstance(weights, Mapping):
            return self.flat.load(weights, "the mapping", strict)
        arrays, _ = arrayfile.load(weights)
        return self.flat.load(arrays, os.fspath(weights), strict)

    def open(self) -> None:
        """Open the sources; the first forward does it too. Raises DataError, naming the layer."""
        if not self._opened:
            for node in self.graph.nodes:
                self._open(node)
            self._opened = True

    def _open(self, node: Node) -> None:
        with _naming(node):
            node.layer.open()

    def close(self) -> None:
        """Let go of files and threads."""
        for layer in self.layers.values():
            layer.close()
        self._opened = False

    # -- forward -------------------------------------------------------------------------------------------------

    @property
    def inputs(self) -> list[str]:
        """Names of the blobs that can be given to `forward`."""
        return self.graph.inputs

    @property
    def outputs(self) -> list[str]:
        """Names of the blobs that nobody reads; `forward` returns them."""
        return self.graph.outputs

    @property
    def loss(self) -> float:
        """The sum of all tops with a loss weight, after `forward`."""
        total = 0.0
        for node in self.graph.nodes:
            for ref, weight in zip(node.tops, node.loss_weights, strict=True):
                if weight:
                    total += weight * float(self._versions[ref].data.sum())
        return total

    def forward(self, start: str | None = None, end: str | None = None, **inputs: npt.ArrayLike) -> dict[str, Array]:
        """Run the layers from `start` to `end` (by name, both included) and return the outputs, as live views.

        An input that is given does not run; its other tops must be given too if anything reads them. Without `start`,
        `inputs` are net inputs, and another batch size plans again; with it they are blobs that `start` or what
        follows reads. With `end`, the tops of that layer are returned. Raises ShapeError, DataError, UnknownNameError.
        """
        first = 0 if start is None else self.graph.index(start)
        last = len(self.graph.nodes) - 1 if end is None else self.graph.index(end)
        if first > last:
            raise UsageError(f"layer {end!r} runs before layer {start!r}")
        if start is None:
            given = self._give_inputs(inputs)
        else:
            given = frozenset[str]()
            self._enter(first, inputs)
        for index in range(first, last + 1):
            node = self.graph.nodes[index]
            if node.bottoms or not given.issuperset(ref.name for ref in node.tops) or not node.tops:
                self._run(node, given)
        if end is None:
            return {name: self.blobs[name].data for name in self.outputs}
        self._leave(last)
        return {ref.name: self._versions[ref].data for ref in self.graph.nodes[last].tops}

    def _run(self, node: Node, given: frozenset[str]) -> None:
        if not node.bottoms and not given.isdisjoint(ref.name for ref in node.tops):
            self._expect_all_given(node, given)
            return
        with _naming(node):
            if not self._opened and isinstance(node.layer, SourceLayer):
                node.layer.open()
            node.layer.forward(
                [self._versions[ref] for ref in node.bottoms], [self._versions[ref] for ref in node.tops]
            )
        if node.plan.dynamic:
            self._force({ref: self._versions[ref].shape for ref in node.tops})

    def _expect_all_given(self, node: Node, given: frozenset[str]) -> None:
        read = {ref.name for other in self.graph.nodes for ref in other.bottoms}
        for ref in node.tops:
            if ref.name not in given and ref.name in read:
                one = next(other.name for other in node.tops if other.name in given)
                raise UsageError(
                    f"layer {node.name!r} does not run when {one!r} is given, so {ref.name!r} must be given too"
                )

    def _give_inputs(self, inputs: Mapping[str, npt.ArrayLike]) -> frozenset[str]:
        arrays = {self._source_ref(name): self._as_array(name, value) for name, value in inputs.items()}
        self._force({ref: array.shape for ref, array in arrays.items()})
        for ref, array in arrays.items():
            self._versions[ref].data[...] = array
        return frozenset(inputs)

    def _as_array(self, name: str, value: npt.ArrayLike) -> Array:
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise UsageError(f"{name!r} must be an array of numbers, not of {array.dtype}")
        return array

    def _enter(self, first: int, inputs: Mapping[str, npt.ArrayLike]) -> None:
        """Before a run from node `first` on: what it reads from above is what `blobs[name].data` shows, or is given."""
        border = self._border(first)
        for name in inputs:
            if name not in border:
                raise UnknownNameError("blob read by the layers that run", name, border)
        for name, ref in border.items():
            version, public = self._versions[ref], self.blobs[name]
            if name in inputs:
                array = self._as_array(name, inputs[name])
                if array.shape != version.shape:
                    raise ShapeError(f"{name!r} is {shape_text(version.shape)}, not {shape_text(array.shape)}")
                version.data[...] = array
            elif public.data is not version.data and name not in self._sources:
                version.data[...] = public.data

    def _border(self, first: int) -> dict[str, Ref]:
        """The blob versions made above node `first` and read from there on."""
        made = {ref for node in self.graph.nodes[:first] for ref in node.tops}
        return {ref.name: ref for node in self.graph.nodes[first:] for ref in node.bottoms if ref in made}

    def _leave(self, last: int) -> None:
        """After a run that ended at node `last`: let `blobs[name].data` show the version that was written last."""
        newest = {ref.name: ref for node in self.graph.nodes[: last + 1] for ref in node.tops}
        for name, ref in newest.items():
            if ref != self.graph.last[name] and name not in self._sources:
                self.blobs[name].data[...] = self._versions[ref].data

    # -- backward ------------------------------------------------------------------------------------------------

    def backward(
        self, start: str | None = None, end: str | None = None, *, accumulate: bool = False, **diffs: npt.ArrayLike
    ) -> dict[str, Array]:
        """Run the layers backward from `start` to `end` (by name, both included); returns the inputs' diffs as views.

        Without arguments gradients flow from the loss to the trained weights (and to inputs with force_backward). With
        `diffs` these are the only seeds, and weights and inputs are reached. From `start` on, the tops' diffs are taken
        as they are found. `accumulate` adds the weights' gradients to those of the pass before.
        """
        seeds = {self._seed_ref(name): self._seed(name, value) for name, value in diffs.items()}
        key = (frozenset(seeds), start, end)
        plan = self._passes.get(key)
        if plan is None:
            plan = self._passes[key] = self._plan_backward(frozenset(seeds), start, end)
        partial = start is not None or end is not None
        if partial:
            self._enter_backward(plan)
        if accumulate:
            self._spare = self.flat.diff.copy() if self._spare is None else self._spare
            np.copyto(self._spare, self.flat.diff)
        for step in plan.steps:
            with _naming_layer(step.layer):
                step.run(seeds)
        self.flat.sum_uses(plan.ran, full=not partial)
        if accumulate and self._spare is not None:
            np.add(self.flat.diff, self._spare, out=self.flat.diff)
        if partial:
            self._leave_backward(plan)
        return {name: self.blobs[name].diff for name in self.inputs if Ref(name) in plan.written}

    def _plan_backward(self, seeds: frozenset[Ref], start: str | None, end: str | None) -> BackwardPass:
        partial = start is not None or end is not None
        top = len(self.graph.nodes) - 1 if start is None else self.graph.index(start)
        bottom = 0 if end is None else self.graph.index(end)
        if top < bottom:
            raise UsageError(f"layer {end!r} runs backward before layer {start!r}")
        roots: Iterable[Ref] | None = seeds or None
        if start is not None:
            below = {ref for node in self.graph.nodes[: top + 1] for ref in node.tops}
            read = {ref for node in self.graph.nodes[top + 1 :] for ref in node.bottoms}
            starts = {*self.graph.nodes[top].tops, *(below & read), *graphs.loss_seeds(self.graph.nodes[: top + 1])}
            roots = starts | seeds
        steps = self.graph.backward(roots, inputs=bool(seeds) or partial)
        steps = [step for step in steps if bottom <= step.node <= top]
        return make_ready(
            self.graph, steps, self.layers, self._versions, self._readers, partial=start is not None, seeded=bool(seeds)
        )

    def _seed_ref(self, name: str) -> Ref:
        self.blobs[name]  # raises UnknownNameError
        return self.graph.last[name]

    def _seed(self, name: str, value: npt.ArrayLike) -> Array:
        array = self._as_array(name, value)
        shape = self._versions[self.graph.last[name]].shape
        if array.shape != shape:
            raise ShapeError(f"the diff of {name!r} is {shape_text(shape)}, not {shape_text(array.shape)}")
        return array

    def _enter_backward(self, plan: BackwardPass) -> None:
        """Before a partial pass: a top that is taken as found is what `blobs[name].diff` shows."""
        for step in plan.steps:
            for top in step.before:
                if top.kept and top.ref.version > 0:
                    top.blob.diff[...] = self.blobs[top.ref.name].diff

    def _leave_backward(self, plan: BackwardPass) -> None:
        """After a partial pass: let `blobs[name].diff` show the version that was written last."""
        earliest: dict[str, Ref] = {}
        for ref in sorted(plan.written, reverse=True):
            earliest[ref.name] = ref
        for name, ref in earliest.items():
            if ref.version > 0:
                self.blobs[name].diff[...] = self._versions[ref].diff

    # -- use -----------------------------------------------------------------------------------------------------

    def predict(self, raw: npt.ArrayLike) -> Any:
        """Class names (or, where there are none, a copy of the output) for raw samples.

        `raw` is one sample or a batch as the source stored it; scale, mean and channel order are applied here. Several
        outputs come as a dict. For probabilities instead of names use `forward`. Raises UsageError, ShapeError.
        """
        if self.graph.state.phase != "predict":
            raise UsageError("predict needs a net in the predict phase: Net(..., phase='predict')")
        if len(self.inputs) != 1:
            raise UsageError(
                f"predict needs a net with one input, not {len(self.inputs)} ({', '.join(self.inputs)}); use forward"
            )
        name = self.inputs[0]
        samples = self._as_array(name, raw)
        info = self.graph.samples.get(name)
        shape = tuple(info.shape) if info else self.graph.shapes[Ref(name)][1:]
        single = samples.shape == shape
        if not single and samples.shape[1:] != shape:
            wanted = f"one sample of {shape_text(shape)} or a batch of them"
            raise ShapeError(f"predict takes {wanted}, not {shape_text(samples.shape)}")
        batch = samples[np.newaxis] if single else samples
        prepared: dict[str, Any] = {name: transform.apply(batch, info) if info else batch}
        outputs = self.forward(**prepared)
        answers = {key: self._answer(value, info.class_names if info else []) for key, value in outputs.items()}
        if single:
            answers = {key: value[0] for key, value in answers.items()}
        return answers if len(answers) > 1 else next(iter(answers.values()))

    @staticmethod
    def _answer(output: Array, class_names: Sequence[str]) -> Any:
        if class_names and output.ndim == 2 and output.shape[1] == len(class_names):
            return [class_names[k] for k in output.argmax(axis=1)]
        return output.copy()

    def __repr__(self) -> str:
        count = sum(slot.blob.count for slot in self.flat.slots.values())
        return f"<Net {self.graph.name!r} {self.graph.state.phase}: {len(self.layers)} layers, {count:,} weights>"


class _naming:  # noqa: N801 (reads as a phrase at its use)
    """Puts the layer's name in front of an error that its own code raises."""

    def __init__(self, node: Node):
        self.layer = node.layer

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, LayerkitError) and not isinstance(error, UnknownNameError) and error.args:
            error.args = (f"layer {self.layer.name!r} ({type(self.layer).__name__}): {error.args[0]}", *error.args[1:])


def _naming_layer(layer: Layer) -> _naming:
    named = _naming.__new__(_naming)
    named.layer = layer
    return named
