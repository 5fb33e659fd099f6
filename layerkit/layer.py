"""The contract of a layer: what it is told, what it plans, and what it computes.

A layer is planned first, by pure functions over shapes: `plan` says what the net must provide. The net then allocates,
fills in the run-time attributes below, and calls `forward` and `backward` with blobs.

The rule for gradients: before `backward` the net has set every top's diff (loss weight, plus what all readers gave,
plus the caller's seed). The layer *overwrites* the diff of each bottom it is asked for (`propagate_down[i]`) and of
each weight in `self.asked`, and touches nothing else. All summing is the net's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from layerkit.blob import Array, Blob, Shape, Weights, shape_text
from layerkit.errors import LayerkitError, Mark, ShapeError, Use
from layerkit.fields import Strict
from layerkit.fillers import Filler
from layerkit.samples import SampleInfo

Bottoms = Sequence[Blob]
Tops = Sequence[Blob]


class LayerParams(Strict):
    """Base of every layer's parameters. They lie flat in the layer's YAML mapping; each has a description."""

    by_part: ClassVar[frozenset[str]] = frozenset()
    """Fields whose mapping has a value for each part of a dataset, and is never taken for one value per phase."""


@dataclass(frozen=True)
class Weight:
    """A weight to provide. `learned=False` makes it a statistic: no gradient, changed by `forward`, saved."""

    name: str
    shape: Shape
    filler: Filler = field(default_factory=Filler)
    learned: bool = True


@dataclass(frozen=True)
class Scratch:
    """An array to work in, found at `self.scratch.NAME`; its contents at the start of a call are arbitrary.

    `dtype=None` is the net's. `keep=True` keeps what `forward` wrote until `backward` has read it. With `like_blob` it
    lies in memory as a blob of its shape does, so that passes over both are quick; otherwise it is C-ordered.
    """

    name: str
    shape: Shape
    dtype: str | None = None
    keep: bool = False
    like_blob: bool = False


@dataclass(frozen=True)
class State:
    """A private array that `forward` changes (a carry, a position), found at `self.state.NAME`; starts at zero.

    It is saved with the solver's state, and restored before a forward pass is recomputed. Planned again for another
    batch size it keeps what it holds: it grows along axis 0 where more is planned, with zeros, and is not cut where
    less is, so that a layer uses as many rows as it planned. Where its other axes change it starts at zero.
    """

    name: str
    shape: Shape
    dtype: str | None = None


@dataclass(frozen=True)
class Loop:
    """What goes from one run of a body to the next, and what each run is given; names are those of inputs."""

    states: Mapping[str, str]
    """Inputs that are made by the run before: each with the blob that is its value in the next run."""
    sliced: Collection[str] = ()
    """Inputs of which each run has one of its own; those that are neither are the same in all runs."""
    begins: Collection[str] | None = None
    """Where a state may begin anew in any row (`cont`): those that then begin with a value of their own, not zeros."""
    holds: bool = False
    """Whether a state may stay as it is in any row (`alive`)."""
    runs: int = 1
    """How often the body runs in a forward pass, at the most."""
    instead: bool = False
    """Whether each run takes the place of one of the layer's other bodies."""


@dataclass(frozen=True)
class Body:
    """A net inside a layer: `layers` is a list of layers as in YAML, `inputs` gives the shapes it is fed with.

    Found at `self.bodies[name]` as a callable: `body.forward(**inputs)` returns the named outputs' arrays,
    `body.backward(**output_diffs)` returns the inputs' diffs.
    Its weights become the layer's own, as `name/inner.weight`. With a `loop` it runs again and again, and is found as
    an object that gives pieces of so many steps; see `layerkit/loops.py`.
    """

    name: str
    layers: Sequence[Any]
    inputs: Mapping[str, Shape]
    outputs: Sequence[str]
    loop: Loop | None = None
    blocks: Mapping[str, Any] = field(default_factory=dict)
    """Blocks that the layers use, as a net has them."""


@dataclass(frozen=True)
class Plan:
    """What a layer asks the net for, given its bottoms' shapes."""

    tops: Sequence[Shape]
    """Shape of each top; upper bounds where `dynamic`."""
    weights: Sequence[Weight] = ()
    scratch: Sequence[Scratch] = ()
    state: Sequence[State] = ()
    random: bool = False
    """Whether `forward` draws from `self.rng`, whose state then counts as private state."""
    gradients: Sequence[bool] | None = None
    """Which bottoms can have gradients; None is all of them."""
    reads_bottoms: Collection[int] | None = None
    """Which bottoms' data `backward` reads; None is all of them."""
    reads_tops: Collection[int] | None = None
    """Which tops' data `backward` reads; None is all of them."""
    in_place: bool = False
    """Whether top 0 may share memory with bottom 0, forward and backward: elements are read before they are written."""
    dynamic: bool = False
    """Whether `forward` decides the tops' shapes, within `tops`, by `top[i].reshape`."""
    unbounded: bool = False
    """Of a `dynamic` layer: whether they may outgrow `tops`, by `top[i].resize`; no memory is shared then."""
    bodies: Sequence[Body] = ()
    by_rows: bool = False
    """Whether row i of each top, along axis 0, is a function of row i of the bottoms alone and of the weights, and
    `forward` changes no statistic, so that several batches may run as one."""
    multiply_adds: int | None = None
    """Those of the matrix products in a forward pass. None: what the bodies make; without bodies, each learned array of
    two axes or more is a matrix, and meets each row of top 0 once."""


class Layer:
    """Base of every layer. A subclass is registered, gives `Params`, and writes `plan`, `forward` and `backward`."""

    Params: ClassVar[type[LayerParams]] = LayerParams
    bottoms: ClassVar[tuple[int, int | None]] = (1, 1)
    """Least and greatest number of bottoms; None is no limit."""
    tops: ClassVar[tuple[int, int | None]] = (1, 1)
    """Least and greatest number of tops; None is no limit."""
    same_number: ClassVar[bool] = False
    """Whether there must be as many tops as bottoms."""
    loss: ClassVar[bool] = False
    """A loss: its first top has loss weight 1 unless the file says otherwise."""
    metric: ClassVar[bool] = False
    """A metric: it has no gradient and nothing trains through it."""
    uses_files: ClassVar[bool] = False
    """Whether it reads or writes files, as no layer of a snapshot's net may."""
    predict_type: ClassVar[str | None] = None
    """loss: the type that takes its place on bottom 0 in the derived predict phase, with same-named parameters."""
    predict_bottoms: ClassVar[int] = 1
    """loss, metric: how many of its first bottoms are predictions, with which a predict net of nothing else answers."""
    allow_python: bool = False
    """Whether whoever made the net allows it to run code that its file names; given before planning."""
    bottom_names: Sequence[str] = ()
    """The bottoms' names; given before planning."""
    top_names: Sequence[str] = ()
    """The tops' names; given before planning."""
    mark: Mark | None = None
    """Where it stands in its file, for messages; given before planning."""
    uses: tuple[Use, ...] = ()
    """The blocks that it came from, innermost first; given before planning."""

    def __init__(self, params: LayerParams, phase: str = "train", num_tops: int = 1):
        self.params: Any = params
        """The parameters, resolved for the phase."""
        self.phase = phase
        self.num_tops = num_tops
        # Given by the net after planning:
        self.name = type(self).__name__
        self.weights = Weights()
        self.scratch = SimpleNamespace()
        self.state = SimpleNamespace()
        self.rng = np.random.default_rng(0)
        self.asked: frozenset[str] = frozenset()
        """Names of the weights whose diffs `backward` must write."""
        self.weight_tangents: Mapping[str, Array] = {}
        """Tangents of weights, by name, that `jvp` is to reckon with."""
        self.bodies: Mapping[str, Any] = {}
        self.generator: Callable[..., np.random.Generator] = Generators(0)
        """`generator(*key)`: a fresh generator, a pure function of the net's seed, the layer's name and `key`."""
        self.body_shapes: Callable[[Body], Mapping[str, Shape]] = _no_bodies
        """During `plan`: the shapes of a body's outputs."""

    def plan(self, *bottoms: Shape) -> Plan:
        """What the net must provide for bottoms of these shapes. Pure. Raises ShapeError where they do not fit."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it plans")

    def missing(self) -> str | None:
        """What this machine lacks for `open` to succeed, in a sentence, or None. Reads headers at the most."""
        return None

    def doubts(self) -> str | None:
        """What will go wrong with samples that are there, in a sentence, or None. Reads the headers of a few."""
        return None

    def open(self) -> None:
        """Called once before the first forward: open files. Raises DataError."""

    def close(self) -> None:
        """Called when the net is closed: let go of what `open` took."""

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        """Write every `top[i].data` from the bottoms' data and the weights."""
        raise NotImplementedError(f"{type(self).__name__} has no forward pass")

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        """Overwrite `bottom[i].diff` where `propagate_down[i]`, and the diffs of the weights in `self.asked`."""
        raise LayerkitError(f"{type(self).__name__} has no backward pass")

    def bound_forward(self, bottom: Bottoms, top: Tops) -> Callable[[], None]:
        """`forward` of blobs that stay where they are; where it looks up much, a layer may do that here, once."""
        return partial(self.forward, bottom, top)

    def bound_backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> Callable[[], None]:
        """`backward` likewise, for the weights that are in `self.asked` now."""
        asked = self.asked

        def run() -> None:
            self.asked = asked
            self.backward(top, propagate_down, bottom)

        return run

    def prepare(self, bottoms: Sequence[Shape], propagate_down: Sequence[bool] | None) -> None:
        """Have bodies make what passes need beforehand: a forward one, and unless None, backward with what is `asked`.

        Only layers with bodies that run again and again have anything to do.
        """

    def jvp(
        self, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], top_tangent: Sequence[Array]
    ) -> None:
        """Optional: overwrite each top's tangent, after `forward` and before what it kept is gone.

        A bottom's tangent that is None is zero, as are the weights' that are not in `self.weight_tangents`. No part of
        training: unlike the other passes it may take up memory. `layerkit.tangents` has rules for families of layers.
        """
        raise LayerkitError(f"{type(self).__name__} has no forward-mode rule (jvp)")


class SourceLayer(Layer):
    """Base of the layers that read samples from somewhere; becomes an Input in the derived predict phase.

    Its position is the private state `consumed`, the number of samples read so far, so that it survives a resume; every
    random draw is a function of (seed, epoch, index) through `self.generator(epoch, ...)`, so that nothing disturbs it.
    """

    bottoms = (0, 0)
    tops: ClassVar[tuple[int, int | None]] = (1, None)
    uses_files = True

    def __init__(self, params: LayerParams, phase: str = "train", num_tops: int = 1):
        super().__init__(params, phase, num_tops)
        self.waited = 0.0
        """Seconds that forward passes waited for samples."""
        self.skipped: dict[str, int] = {}
        """What was wrong with samples that were left out, and how often they were."""

    def samples(self) -> SampleInfo:
        """What a sample of top 0 is and what was done to it. Reads headers only."""
        raise NotImplementedError(f"{type(self).__name__} does not describe its samples")

    def class_names(self) -> Sequence[str]:
        """Names of the classes, by label, where they are known; after `plan`."""
        return ()

    def length(self) -> int:
        """How many samples there are; after `open`. Raises UsageError before."""
        raise NotImplementedError(f"{type(self).__name__} does not know its length")

    def batches(self) -> int:
        """How many forward passes read every sample once, from position 0; after `open`."""
        raise NotImplementedError(f"{type(self).__name__} does not know its length")

    def rewind(self) -> None:
        """Go back to the first sample."""
        self.state.consumed[...] = 0


class Metric(Layer):
    """Base of the metrics, whose values are a function of sums over samples: sums add up over batches, means do not.

    A metric writes `plan` by `plan_sums`, `count` and `values`. A forward pass gives the batch's own values; `result`
    gives those of all batches since `reset`, exactly, whatever the batches' sizes are.
    """

    metric = True
    better: ClassVar[Literal["max", "min"]] = "max"
    """Whether a higher value is the better one, or a lower."""

    def plan_sums(
        self, sums: Shape, tops: Sequence[Shape], bottoms: Sequence[Shape], scratch: Sequence[Scratch] = ()
    ) -> Plan:
        """A plan with an array of this shape to sum in; it is float64, which counts exactly up to 2^53."""
        return Plan(
            tops=tops[: self.num_tops],
            scratch=[Scratch("sums", sums, "float64"), *scratch],
            state=[State("total", sums, "float64")],
            gradients=[False] * len(bottoms),
            reads_bottoms=(),
            reads_tops=(),
        )

    def count(self, bottom: Bottoms, sums: Array) -> None:
        """Write the batch's sums."""
        raise NotImplementedError(f"{type(self).__name__} does not count")

    def values(self, sums: Array) -> Sequence[npt.ArrayLike]:
        """The values of all possible tops, from sums."""
        raise NotImplementedError(f"{type(self).__name__} does not make values of its sums")

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        self.count(bottom, self.scratch.sums)
        self.state.total += self.scratch.sums
        for blob, value in zip(top, self.values(self.scratch.sums), strict=False):
            blob.data[...] = value

    def result(self) -> list[Array]:
        """Each top's value over all that was counted since `reset`, in float64."""
        return [np.asarray(value, "float64") for value in self.values(self.state.total)][: self.num_tops]

    def reset(self) -> None:
        """Forget what was counted."""
        self.state.total[...] = 0


@dataclass(frozen=True)
class Generators:
    """`generators(*key)` is a fresh generator, a pure function of the seed, `prefix` and `key`."""

    seed: int
    prefix: tuple[int, ...] = ()

    @classmethod
    def of(cls, seed: int, name: str, *key: int) -> Self:
        """Those of a layer, by its full name."""
        digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
        return cls(seed, (*np.frombuffer(digest, "<u4").tolist(), *key))

    def __call__(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(*self.prefix, *key)))


def _no_bodies(body: Body) -> Mapping[str, Shape]:
    raise LayerkitError(f"the body {body.name!r} is not part of a net yet")


def canonical_axis(axis: int, shape: Shape, field: str = "axis") -> int:
    """`axis` counted from the front. Raises ShapeError, naming the parameter `field`, where there is no such axis."""
    if not -len(shape) <= axis < len(shape):
        raise ShapeError(f"{field} {axis} does not exist in a bottom of shape {shape_text(shape)}", field)
    return axis % len(shape)


def same_shape(shapes: Sequence[Shape]) -> Shape:
    """The one shape that all bottoms have. Raises ShapeError where they differ."""
    for i, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ShapeError(
                f"the bottoms must have one shape, but bottom 0 is {shape_text(shapes[0])} "
                f"and bottom {i} is {shape_text(shape)}",
                "bottom",
            )
    return shapes[0]
