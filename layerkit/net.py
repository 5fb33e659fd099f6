"""Net: the layers of a graph with their blobs and weights; runs them forward and backward."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from layerkit import graph as graphs
from layerkit import prediction
from layerkit.blob import Array, Blob, Shape, Weights, shape_text
from layerkit.errors import ShapeError, UnknownNameError, UsageError
from layerkit.graph import Graph, Node, Ref, table
from layerkit.layer import Layer
from layerkit.passes import BackwardPass, ForwardStep, forward_steps, make_ready, name_layer
from layerkit.spec import Origin
from layerkit.storage import BlobStore, Named
from layerkit.weights import WeightStore, read_weights

DTYPES = ("float32", "float64")


class Net:
    """A net in one phase.

    `blobs[name]` is a blob: `data` of its last version, `diff` of its first (of a net input: both of the first).
    `params[layer]` are the layer's weights, by index and by name; `layers[name]` is the layer itself. `flat.data` and
    `flat.diff` hold all trained weights and their diffs.

    Source: Caffe's Net.
    """

    def __init__(
        self,
        source: Origin,
        phase: str = "train",
        *,
        weights: str | os.PathLike[str] | None = None,
        seed: int | None = None,
        dtype: str = "float32",
        overrides: Iterable[str] = (),
    ):
        """A net from a YAML file's path, a YAML text or a dict.

        `weights` is a snapshot to load; `seed` replaces the run's random_seed; `dtype` is float32 or float64.
        Raises ConfigError with everything that is wrong with the source.
        """
        run, loaded = graphs.load(source, [phase], overrides)
        if seed is None:
            seed = run.solver.random_seed if run.solver else 0
        self._init(loaded[phase], seed, dtype)
        if weights is not None:
            self.load_weights(weights)

    @classmethod
    def from_graph(cls, graph: Graph, *, seed: int = 0, dtype: str = "float32", share: Net | None = None) -> Self:
        """A net from a graph; with `share`, weights of the same name are the other net's arrays."""
        net = cls.__new__(cls)
        net._init(graph, seed, dtype, share=share.flat if share else None)
        return net

    def _init(
        self,
        graph: Graph,
        seed: int,
        dtype: str,
        *,
        share: WeightStore | None = None,
        given: Mapping[str, Blob] | None = None,
        prefix: str = "",
    ) -> None:
        if dtype not in DTYPES:
            raise UnknownNameError("dtype", dtype, DTYPES)
        if seed < 0:
            raise UsageError(f"seed must be a whole number from 0 on, not {seed}")
        self.graph = graph
        self.seed = seed
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self._prefix = prefix
        try:
            self._store = BlobStore(graph, self.dtype)
            self.flat: WeightStore = WeightStore(graph.nodes, self.dtype, self.generator, share, given)
        except MemoryError:
            raise UsageError(f"not enough memory for the net; {table.largest(graph)}") from None
        self.blobs = self._store.public
        self.params: dict[str, Weights] = Named("layer", self.flat.params)
        self.layers: dict[str, Layer] = Named("layer", {node.name: node.layer for node in graph.nodes})
        for node in graph.nodes:
            self._bind(node)
        self.inputs = graph.inputs
        """Names of the blobs that can be given to `forward`."""
        self.outputs = graph.outputs
        """Names of the blobs that nobody reads; `forward` returns them."""
        self._steps = forward_steps(graph, self._store.versions)
        self._losses = self._store.losses()
        self._passes: dict[Any, BackwardPass] = {}
        self._forced: dict[Ref, Shape] = {}
        self._opened: set[str] = set()

    @property
    def name(self) -> str:
        """The net's name, or its run's."""
        return self.graph.name

    # -- set-up --------------------------------------------------------------------------------------------------

    def generator(self, layer: str, *key: int) -> np.random.Generator:
        """A fresh generator that is a pure function of the net's seed, a layer's name and `key`."""
        name = hashlib.blake2b((self._prefix + layer).encode(), digest_size=16).digest()
        words = np.frombuffer(name, "<u4").tolist()
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(*words, *key)))

    def _bind(self, node: Node) -> None:
        """Give a layer what it planned."""
        layer = node.layer
        layer.weights = self.flat.params[node.name]
        layer.rng = self.generator(node.name, 1)
        layer.generator = lambda *key: self.generator(node.name, 2, *key)
        layer.state = SimpleNamespace(**{s.name: np.zeros(s.shape, s.dtype or self.dtype) for s in node.plan.state})
        layer.scratch = self._store.scratch(node)
        layer.bodies = {name: self._body(node, name) for name in node.bodies}

    def _body(self, node: Node, name: str) -> RunningBody:
        """The net of one of a layer's bodies, over the weights that the layer was given for it."""
        inside = f"{name}/"
        own = {
            key.removeprefix(inside): blob
            for key, blob in self.flat.params[node.name].items()
            if key.startswith(inside)
        }
        net = Net.__new__(Net)
        prefix = f"{self._prefix}{node.name}/{inside}"
        net._init(node.bodies[name], self.seed, self.dtype.name, given=own, prefix=prefix)
        outputs = next(body.outputs for body in node.plan.bodies if body.name == name)
        return RunningBody(net, outputs)

    def reshape(self, **shapes: Sequence[int]) -> None:
        """Plan again for other shapes of inputs, by name; without any, for the shapes that the input blobs have now.

        Weights stay. Raises ShapeError, naming the layer, where a shape does not fit; nothing is changed then.
        """
        wanted = shapes or {name: self.blobs[name].shape for name in self.inputs}
        self._force({self._input(name): _as_shape(name, shape) for name, shape in wanted.items()})

    def _force(self, shapes: Mapping[Ref, Shape]) -> None:
        """Plan again with some tops' shapes given from outside or decided by a dynamic layer."""
        if all(self.graph.shapes[ref] == shape for ref, shape in shapes.items()):
            return
        forced = {**self._forced, **shapes}
        graph = self.graph.with_shapes(forced)
        self._forced = {ref: shape for ref, shape in forced.items() if graph.shapes[ref] == shape}
        self.graph = graph
        self._store.adopt(graph)
        for node in graph.nodes:
            node.layer.scratch = self._store.scratch(node)
            for name, body in node.layer.bodies.items():
                body.net.reshape(
                    **{
                        ref.name: shape
                        for ref, shape in node.bodies[name].shapes.items()
                        if ref.name in body.net.inputs
                    }
                )

    def _input(self, name: str) -> Ref:
        if name not in self._store.inputs:
            raise UnknownNameError("input", name, self.inputs)
        return Ref(name)

    def load_weights(self, weights: str | os.PathLike[str] | Mapping[str, Array], strict: bool = True) -> list[str]:
        """Copy weights in by name from a snapshot's path or a mapping; returns the names that it lacks.

        Raises SnapshotError for a file that cannot be read, another shape, or if `strict` a weight that is missing.
        """
        if isinstance(weights, Mapping):
            return self.flat.load(weights, "the mapping", strict)
        return self.flat.load(read_weights(weights), os.fspath(weights), strict)

    def open(self) -> None:
        """Open the sources; the first forward does it too. Raises DataError, naming the layer."""
        for layer in self.layers.values():
            if layer.name not in self._opened:
                try:
                    layer.open()
                except Exception as error:
                    name_layer(error, layer)
                    raise
                self._opened.add(layer.name)

    def close(self) -> None:
        """Let go of files and threads."""
        for layer in self.layers.values():
            layer.close()
        self._opened.clear()

    def nodes(self) -> Iterator[tuple[str, Node]]:
        """Every layer's node with its full name, those inside bodies too (`rnn/body/fc`)."""
        for node in self.graph.nodes:
            yield self._prefix + node.name, node
            for body in node.layer.bodies.values():
                yield from body.net.nodes()

    # -- forward -------------------------------------------------------------------------------------------------

    @property
    def loss(self) -> float:
        """The sum of all tops with a loss weight, each times its weight, after `forward`."""
        return sum(weight * float(blob.data.sum()) for blob, weight in self._losses)

    def forward(self, /, start: str | None = None, end: str | None = None, **inputs: npt.ArrayLike) -> dict[str, Array]:
        """Run the layers from `start` to `end` (by name, both included) and return the outputs, as live views.

        An input that is given does not run; its other tops must be given too if anything reads them. Without `start`,
        `inputs` are net inputs, and another batch size plans again; with it they are blobs that `start` or what
        follows reads. With `end`, the tops of that layer are returned. Raises ShapeError, DataError, UnknownNameError.
        """
        first = 0 if start is None else self.graph.index(start)
        last = len(self.graph.nodes) - 1 if end is None else self.graph.index(end)
        if first > last:
            raise UsageError(f"layer {end!r} runs before layer {start!r}")
        arrays = {name: _as_array(name, value) for name, value in inputs.items()}
        given: frozenset[str] = frozenset()
        if start is None:
            self._expect_whole_sources(arrays)
            self._force({self._input(name): array.shape for name, array in arrays.items()})
            for name, array in arrays.items():
                self._store.versions[Ref(name)].data[...] = array
            given = frozenset(arrays)
        else:
            self._store.enter_forward(first, arrays)
        self._run(self._steps[first : last + 1], given)
        if end is None:
            return {name: self.blobs[name].data for name in self.outputs}
        self._store.leave_forward(last)
        return {ref.name: self._store.versions[ref].data for ref in self.graph.nodes[last].tops}

    def _run(self, steps: Sequence[ForwardStep], given: frozenset[str]) -> None:
        layer: Layer | None = None
        try:
            for step in steps:
                if given and not given.isdisjoint(step.makes):
                    continue
                layer = step.layer
                if step.varies:
                    self._offer_bounds(step)
                layer.forward(step.bottoms, step.tops)
                if step.varies:
                    layer = None  # what cannot be planned below names its own layer
                    self._force({ref: top.shape for ref, top in zip(step.refs, step.tops, strict=True)})
        except Exception as error:
            name_layer(error, layer)
            raise

    def _offer_bounds(self, step: ForwardStep) -> None:
        """Open a source; give tops whose shapes the layer decides their full size, whatever the last pass left."""
        if step.layer.name not in self._opened:
            step.layer.open()
            self._opened.add(step.layer.name)
        for top, bound in zip(step.tops, self.graph.nodes[step.node].plan.tops, strict=True):
            top.resize(tuple(bound))

    def _expect_whole_sources(self, given: Mapping[str, Array]) -> None:
        """Raise UsageError if only some tops of a source are given, and something reads the others."""
        read = {ref.name for node in self.graph.nodes for ref in node.bottoms}
        for node in self.graph.nodes:
            tops = [ref.name for ref in node.tops]
            if node.bottoms or given.keys().isdisjoint(tops):
                continue
            one = next(name for name in tops if name in given)
            for name in tops:
                if name not in given and name in read:
                    why = f"layer {node.name!r} does not run when {one!r} is given"
                    raise UsageError(f"{why}, so {name!r} must be given too")

    # -- backward ------------------------------------------------------------------------------------------------

    def backward(
        self, /, start: str | None = None, end: str | None = None, *, accumulate: bool = False, **diffs: npt.ArrayLike
    ) -> dict[str, Array]:
        """Run the layers backward from `start` to `end` (by name, both included); returns the inputs' diffs as views.

        Without arguments gradients flow from the loss to the trained weights (and to inputs with force_backward). With
        `diffs` these are the only seeds, and weights and inputs are reached. With `start`, the diffs of its tops, and
        of blobs that only layers after it read, are taken as they are found. `accumulate` adds the weights' gradients
        to those of the pass before. Raises ShapeError, UnknownNameError.
        """
        seeds = {self._seed_ref(name): self._seed(name, value) for name, value in diffs.items()}
        key = (frozenset(seeds), start, end)
        plan = self._passes.get(key)
        if plan is None:
            plan = self._passes[key] = self._plan_backward(frozenset(seeds), start, end)
        partial = start is not None or end is not None
        if partial:
            self._store.enter_backward(plan)
        if accumulate:
            self.flat.keep()
        plan.run(seeds)
        self.flat.sum_uses(plan.ran, full=not partial)
        if accumulate:
            self.flat.add_kept()
        if partial:
            self._store.leave_backward(plan)
        return {name: self.blobs[name].diff for name in self.inputs if Ref(name) in plan.written}

    def _plan_backward(self, seeds: frozenset[Ref], start: str | None, end: str | None) -> BackwardPass:
        nodes = self.graph.nodes
        first = len(nodes) - 1 if start is None else self.graph.index(start)
        last = 0 if end is None else self.graph.index(end)
        if first < last:
            raise UsageError(f"layer {end!r} runs backward before layer {start!r}")
        roots: frozenset[Ref] | None = seeds or None
        if start is not None:
            made = {ref for node in nodes[: first + 1] for ref in node.tops}
            crossing = made & {ref for node in nodes[first + 1 :] for ref in node.bottoms}
            roots = seeds | crossing | {*nodes[first].tops} | graphs.loss_seeds(nodes[: first + 1])
        steps = self.graph.backward(roots, inputs=bool(seeds) or start is not None)
        steps = [step for step in steps if last <= step.node <= first]
        blobs, own = self._store.versions, self._store.readers
        return make_ready(self.graph, steps, self.layers, blobs, own, partial=start is not None, seeded=bool(seeds))

    def _seed_ref(self, name: str) -> Ref:
        if name not in self.blobs:
            raise UnknownNameError("blob", name, self.blobs)
        return self.graph.last[name]

    def _seed(self, name: str, value: npt.ArrayLike) -> Array:
        array = _as_array(name, value)
        shape = self.graph.shapes[self.graph.last[name]]
        if array.shape != shape:
            raise ShapeError(f"the diff of {name!r} is {shape_text(shape)}, not {shape_text(array.shape)}")
        return array

    # -- use -----------------------------------------------------------------------------------------------------

    def predict(self, raw: npt.ArrayLike) -> Any:
        """Class names (or, where there are none, a copy of the output) for raw samples.

        `raw` is one sample or a batch as the source stored it; scale, mean and channel order are applied here. Several
        outputs come as a dict. For probabilities instead of names use `forward`. Raises UsageError, ShapeError.
        """
        if self.graph.state.phase != "predict":
            raise UsageError("predict needs a net in the predict phase: Net(..., phase='predict')")
        if len(self.inputs) != 1:
            listed = ", ".join(self.inputs)
            raise UsageError(f"predict needs a net with one input, not {len(self.inputs)} ({listed}); use forward")
        name = self.inputs[0]
        info = self.graph.samples.get(name)
        shape = tuple(info.shape) if info else self.graph.shapes[Ref(name)][1:]
        batch, single = prediction.prepare(_as_array(name, raw), shape, info)
        given: dict[str, Any] = {name: batch}
        return prediction.answers(self.forward(**given), info.class_names if info else [], single)

    def __repr__(self) -> str:
        count = sum(array.size for array in self.flat.arrays().values())
        return f"<Net {self.name!r} {self.graph.state.phase}: {len(self.layers)} layers, {count:,} weights>"

    def _repr_html_(self) -> str:
        """The net as a table, for notebooks."""
        return table.html(self.graph)


class RunningBody:
    """A layer's body at run time: the callable that the layer contract speaks of."""

    def __init__(self, net: Net, outputs: Sequence[str]):
        self.net = net
        self.outputs = list(outputs)

    def forward(self, **inputs: Array) -> dict[str, Array]:
        """Run the body and return its outputs, as live views."""
        given: dict[str, Any] = inputs
        self.net.forward(**given)
        return {name: self.net.blobs[name].data for name in self.outputs}

    def backward(self, *, accumulate: bool = False, **diffs: Array) -> dict[str, Array]:
        """Run the body backward from diffs of its outputs; returns its inputs' diffs, as live views."""
        given: dict[str, Any] = diffs
        return self.net.backward(accumulate=accumulate, **given)


def _as_array(name: str, value: npt.ArrayLike) -> Array:
    try:
        array = np.asarray(value)
    except ValueError:
        raise UsageError(f"{name!r} must be an array of numbers, with rows of one length") from None
    if array.dtype.kind not in "fiub":
        raise UsageError(f"{name!r} must be an array of numbers, not of {array.dtype}")
    return array


def _as_shape(name: str, shape: Sequence[int]) -> Shape:
    sizes = tuple(shape) if isinstance(shape, Sequence) and not isinstance(shape, str) else (None,)
    if any(not isinstance(size, (int, np.integer)) or size < 0 for size in sizes):
        raise UsageError(f"the shape of {name!r} must be a list of whole numbers from 0 on, not {shape!r}")
    return tuple(int(size) for size in sizes if size is not None)
