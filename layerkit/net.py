"""Net: the layers of a graph with their blobs and weights; runs them forward and backward."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from layerkit import engines, prediction
from layerkit import graph as graphs
from layerkit.blob import Array, Blob, Shape, Weights, shape_text
from layerkit.bodies import RunningBody
from layerkit.differentiation import Differentiable
from layerkit.errors import ShapeError, UnknownNameError, UsageError
from layerkit.given import Keep, as_array, as_shape, expect_whole_sources, known_names
from layerkit.graph import Graph, Node, Ref, table
from layerkit.layer import Body, Generators, Layer
from layerkit.loops import Bodies, refit
from layerkit.matching import Match
from layerkit.passes import ForwardStep, name_layer, naming
from layerkit.planning import Planning
from layerkit.spec import Origin
from layerkit.storage import Named
from layerkit.weights import WeightStore, read_weights
from layerkit.words import counted

DTYPES = ("float32", "float64")


class Net(Differentiable):
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
        strict: bool | None = None,
        seed: int | None = None,
        dtype: str = "float32",
        engine: str | None = None,
        keep: Keep = "all",
        overrides: Iterable[str] = (),
        allow_python: bool = False,
    ):
        """A net from a YAML file's path, a YAML text or a dict.

        `weights` is a file for `load_weights`, with `strict`; `seed` replaces the run's random_seed; `dtype` is float32
        or float64; `engine` (auto, numpy or onednn) replaces the run's. With keep="all" every blob can be read after a
        pass; with a list of names only those, inputs and outputs, and others take turns in memory, which is faster and
        smaller. With `allow_python`, layers of type Python run code. Raises ConfigError with everything that is wrong.
        """
        run, loaded = graphs.load(source, [phase], overrides, allow_python=allow_python)
        seed = seed if seed is not None else run.solver.random_seed if run.solver else 0
        self._init(loaded[phase], seed, dtype, engine=engine or run.engine, keep=keep)
        if weights is not None:
            self.load_weights(weights, strict)

    @classmethod
    def from_graph(
        cls,
        graph: Graph,
        *,
        seed: int = 0,
        dtype: str = "float32",
        engine: str = "auto",
        keep: Keep = "all",
        share: Net | None = None,
        given: Mapping[str, Blob] | None = None,
    ) -> Self:
        """A net from a graph; weights of the same name are those of the net `share`, or are blobs that are `given`."""
        net = cls.__new__(cls)
        net._init(graph, seed, dtype, engine=engine, keep=keep, share=share.flat if share else None, given=given)
        return net

    def _init(
        self,
        graph: Graph,
        seed: int,
        dtype: str,
        *,
        engine: str = "auto",
        keep: Keep = "all",
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
        self.engine = engines.choose(engine, self.dtype)
        """What runs the layers; `engine.name` says which it is."""
        self._bodies = Bodies(seed, self.dtype, self.engine, self._inside)
        self._opened: set[str] = set()
        try:
            self.flat: WeightStore = WeightStore(graph.nodes, self.dtype, self.generator, share, given)
            self.params: dict[str, Weights] = Named("layer", self.flat.params)
            self.layers: dict[str, Layer] = Named("layer", {node.name: node.layer for node in graph.nodes})
            self._files = [each for each in self.layers.values() if each.uses_files and each.bottoms != (0, 0)]
            for node in graph.nodes:
                self._bodies.equip(node, self.flat.params[node.name], prefix)
            self._planning = Planning(graph, self.engine, known_names(graph, keep), self.dtype)
            self._store = self._planning.store
            self.program = self._planning.program(graph)
            """What runs, for the shapes that the blobs have now."""
        except MemoryError:
            raise UsageError(f"not enough memory for the net; {table.largest(graph)}") from None
        self.blobs = self._store.public
        self.inputs = graph.inputs
        """Names of the blobs that can be given to `forward`."""
        self.outputs = graph.outputs
        """Names of the blobs that nobody reads; `forward` returns them."""
        self._forward_done = False

    @property
    def name(self) -> str:
        """The net's name, or its run's."""
        return self.graph.name

    # -- set-up --------------------------------------------------------------------------------------------------

    def generator(self, layer: str, *key: int) -> np.random.Generator:
        """A fresh generator that is a pure function of the net's seed, a layer's name and `key`."""
        return Generators.of(self.seed, self._prefix + layer)(*key)

    def _inside(self, graph: Graph, body: Body, given: Mapping[str, Blob], prefix: str) -> RunningBody:
        """The net of a body, over the weights that its layer was given for it."""
        net = Net.__new__(Net)
        net._init(graph, self.seed, self.dtype.name, engine=self.engine.name, given=given, prefix=prefix)
        return RunningBody(net, body.outputs)

    def reshape(self, **shapes: Sequence[int]) -> None:
        """Plan again for other shapes of inputs, by name; without any, for the shapes that the input blobs have now.

        Weights and states stay. Raises ShapeError, naming the layer, where a shape does not fit, and changes nothing.
        """
        wanted = shapes or {name: self.blobs[name].shape for name in self.inputs}
        self._force({self._input(name): as_shape(name, shape) for name, shape in wanted.items()})

    def _force(self, shapes: Mapping[Ref, Shape], *, decided: bool = False) -> None:
        """Plan again with some tops' shapes given from outside, or `decided` by their layer within what it planned."""
        same = all(self.graph.shapes[ref] == shape for ref, shape in shapes.items())
        if same and self.program.moves == self._store.moves:
            return
        self.graph = self._planning.again(self.graph, shapes, decided=decided)
        self.program = self._planning.program(self.graph)
        refit(self.graph.nodes, self.dtype)

    def _input(self, name: str) -> Ref:
        if name not in self._store.inputs:
            raise UnknownNameError("input", name, self.inputs)
        return Ref(name)

    def load_weights(self, weights: str | os.PathLike[str] | Mapping[str, Array], strict: bool | None = None) -> Match:
        """Copy weights in by name from a file's path or a mapping; returns what was loaded, skipped and missing.

        With None every weight of the net must be there, and others are skipped: a train net's snapshot fits its predict
        net. False is Caffe's rule, for fine-tuning: what is missing stays as it is. True allows no others either.
        Raises SnapshotError for a file that cannot be read and for another shape; nothing is changed then.
        """
        if isinstance(weights, Mapping):
            return self.flat.load(weights, "the mapping", strict)
        return self.flat.load(read_weights(weights), os.fspath(weights), strict)

    def open(self) -> None:
        """Open the sources; the first forward does it too. Raises DataError, naming the layer."""
        for layer in self.layers.values():
            with naming(layer):
                self._open(layer)

    def _open(self, layer: Layer) -> None:
        if layer.name not in self._opened:
            layer.open()
            self._opened.add(layer.name)

    def close(self) -> None:
        """Let go of files and threads."""
        for layer in self.layers.values():
            layer.close()
        self._opened.clear()

    @property
    def bytes(self) -> dict[str, int]:
        """Bytes by what lies there: `blobs` with work arrays, `weights` with diffs, and what the `engine` keeps."""
        weights = sum(array.nbytes for array in self.flat.arrays().values()) + self.flat.diff.nbytes
        bodies = sum(body.bytes for layer in self.layers.values() for body in layer.bodies.values())
        return {"blobs": self._store.bytes + bodies, "weights": weights, "engine": self.engine.own}

    def nodes(self) -> Iterator[tuple[str, Node]]:
        """Every layer's node with its full name, those inside bodies too (`rnn/body/fc`)."""
        for node in self.graph.nodes:
            yield self._prefix + node.name, node
            for body in node.layer.bodies.values():
                yield from body.nodes()

    @property
    def trains(self) -> bool:
        """Whether there can be a backward pass from the losses."""
        return self._planning.programs.trains and bool(self.graph.backward(None))

    # -- forward -------------------------------------------------------------------------------------------------

    @property
    def loss(self) -> float:
        """The sum of all tops with a loss weight, each times its weight, after `forward`."""
        return sum(weight * float(blob.data.sum()) for blob, weight in self._store.losses())

    def forward(self, /, start: str | None = None, end: str | None = None, **inputs: npt.ArrayLike) -> dict[str, Array]:
        """Run the layers from `start` to `end` (by name, both included) and return the outputs, as live views.

        An input that is given does not run; its other tops must be given too if anything reads them. Without `start`,
        `inputs` are net inputs, and another batch size plans again; with it they are blobs that `start` or what
        follows reads. With `end`, the tops of that layer are returned. Raises ShapeError, DataError, UnknownNameError.
        """
        first, last = self._span("forward", start, end)
        arrays = {name: as_array(name, value) for name, value in inputs.items()}
        given: frozenset[str] = frozenset()
        if start is None:
            expect_whole_sources(self.graph, arrays)
            refs = [ref for ref in map(Ref, self.inputs) if ref not in self._planning.decided]
            shapes = {ref: self._store.versions[ref].shape for ref in refs}  # a caller may have reshaped a blob
            self._force({**shapes, **{self._input(name): array.shape for name, array in arrays.items()}})
            for name, array in arrays.items():
                self._store.versions[Ref(name)].data[...] = array
            given = frozenset(arrays)
        else:
            self._store.enter_forward(first, arrays)
        self.engine.enter()
        self._run(first, last, given)
        self._forward_done = True
        if end is None:
            return {name: self.blobs[name].data for name in self.outputs}
        self._store.leave_forward(last)
        return {ref.name: self._store.versions[ref].data for ref in self.graph.nodes[last].tops}

    def _run(self, first: int, last: int, given: frozenset[str]) -> None:
        """Run the units whose last layers stand from `first` to `last`."""
        layer: Layer | None = None
        try:
            for layer in self._files:
                self._open(layer)
            for i, step in enumerate(self.program.steps):  # another program may take this one's place, unit by unit
                if not first <= step.last <= last or (given and not given.isdisjoint(step.makes)):
                    continue
                layer = step.layer
                if step.varies:
                    self.offer_bounds(step)
                self.program.steps[i].run()
                if step.varies:
                    layer = None  # what cannot be planned below names its own layer
                    shapes = {ref: top.shape for ref, top in zip(step.refs, step.tops, strict=True)}
                    self._force(shapes, decided=True)
        except Exception as error:
            name_layer(error, layer)
            raise

    def _span(self, what: str, above: str | None, below: str | None) -> tuple[int, int]:
        """The positions of two layers, by default the first and the last, between which a pass is to run.

        No chain of layers runs as one over their borders from now on. Raises UsageError.
        """
        first = 0 if above is None else self.graph.index(above)
        last = len(self.graph.nodes) - 1 if below is None else self.graph.index(below)
        if first > last:
            order = f"{below!r} runs before layer {above!r}"
            raise UsageError(
                f"layer {order if what == 'forward' else f'{above!r} runs backward before layer {below!r}'}"
            )
        if (above is not None or below is not None) and self._planning.divide(self.graph, first, last, what):
            self.program = self._planning.program(self.graph)
        return first, last

    def offer_bounds(self, step: ForwardStep) -> None:
        """Open a source; give tops whose shapes the layer decides their full size, whatever the last pass left."""
        self._open(step.layer)
        for top, bound in zip(step.tops, self.graph.nodes[step.last].plan.tops, strict=True):
            top.resize(tuple(bound))

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
        partial = start is not None or end is not None
        self._planning.programs.expect_backward(seeds, self._forward_done)
        self._forward_done = False
        span = self._span("backward", end, start)
        plan = self.program.backward(frozenset(seeds), *span, from_the_end=start is None)
        if partial:
            self._store.enter_backward(plan)
        self.engine.enter()
        if accumulate:
            self.flat.keep()
        plan.run(seeds)
        self.flat.sum_uses(plan.ran, full=not partial)
        if accumulate:
            self.flat.add_kept()
        if partial:
            self._store.leave_backward(plan)
        return {name: self.blobs[name].diff for name in self.inputs if Ref(name) in plan.written}

    def _seed_ref(self, name: str) -> Ref:
        if name not in self.blobs:
            raise UnknownNameError("blob", name, self.blobs)
        return self.graph.last[name]

    def _seed(self, name: str, value: npt.ArrayLike) -> Array:
        array = as_array(name, value)
        shape = self.graph.shapes[self.graph.last[name]]
        if array.shape != shape:
            raise ShapeError(f"the diff of {name!r} is {shape_text(shape)}, not {shape_text(array.shape)}")
        return array

    # -- use -----------------------------------------------------------------------------------------------------

    def predict(self, raw: npt.ArrayLike | Sequence[npt.ArrayLike]) -> Any:
        """Class names (or, where there are none, a copy of the output) for raw samples.

        `raw` is one sample or a batch as the source stored it; transforms, crop, mean, scale and channel order are
        applied here. Where these give all images one size, it may be a list of images of several. Several outputs come
        as a dict. For probabilities instead of names use `forward`. Raises UsageError, ShapeError.
        """
        if self.graph.state.phase != "predict":
            raise UsageError("predict needs a net in the predict phase: Net(..., phase='predict')")
        if len(self.inputs) != 1:
            raise UsageError(f"predict needs one input, not {len(self.inputs)} ({', '.join(self.inputs)}); use forward")
        name = self.inputs[0]
        info = self.graph.samples.get(name)
        shape = tuple(info.shape) if info else self.graph.shapes[Ref(name)][1:]
        batch, single = prediction.prepare(name, raw, shape, info)
        given: dict[str, Any] = {name: batch}
        return prediction.answers(self.forward(**given), info.class_names if info else [], single)

    def __repr__(self) -> str:
        weights = counted(sum(array.size for array in self.flat.arrays().values()), "weight")
        return f"<Net {self.name!r} {self.graph.state.phase}: {counted(len(self.layers), 'layer')}, {weights}>"

    def _repr_html_(self) -> str:
        """The net as a table, for notebooks."""
        return table.html(self.graph)
