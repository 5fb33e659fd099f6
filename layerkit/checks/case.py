"""Case: one row of a table of cases; Prepared: the lone layer of a case, planned, allocated and ready to run."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from layerkit import engines
from layerkit.blob import Array, Blob, Shape, Weights, laid_out, shape_text
from layerkit.errors import LayerkitError, ShapeError, UsageError
from layerkit.graph import Graph, Node, plan_alone
from layerkit.layer import Body, Generators, Layer, Plan
from layerkit.loops import Bodies
from layerkit.passes import remember
from layerkit.registry import layer_class

LayerType = type[Layer]
Values = Shape | Array | Callable[[np.random.Generator], Array]
Formula = Callable[[list[Array], list[Array], Any], Sequence[npt.ArrayLike]]
Request = int | str  # a bottom's number or a weight's name, whose diff is asked for


class CheckFailed(LayerkitError, AssertionError):  # noqa: N818 - said as in the other errors
    """A layer that breaks its contract, or disagrees with its formula."""


@dataclass(frozen=True)
class Case:
    """One row of a table of cases. Choose pairwise different dimensions: equal ones hide transposed axes."""

    type: str | LayerType
    name: str
    bottoms: Sequence[Values] = ()
    """Each a shape (filled with random values), an array, or a function of a generator (labels, say)."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """The layer's parameters as in YAML."""
    phase: str = "train"
    num_tops: int = 1
    formula: Formula | None = None
    """`formula(bottoms, weights, params)`: the expected tops, from float64 arrays, independent of the layer's code."""
    weights: Mapping[str, Values] = field(default_factory=dict)
    """Values of weights by name. Otherwise random: learned weights around 0, statistics in 0.5 to 1.5."""
    span: tuple[float, float] = (-2.0, 2.0)
    """Random bottom values lie here. No two are equal, in one bottom or in two, so maxima have no ties."""
    kinks: Sequence[float] = (0.0,)
    """Random bottom values keep clear of these, where the function has no derivative."""
    tolerance: float = 1e-10
    """Allowed difference from the formula, relative to the array's largest magnitude (or 1)."""
    gradient_tolerance: float = 1e-6
    """Allowed difference from central differences, relative to the array's largest magnitude."""
    float32_eps: float = 64
    """Allowed difference of float32 from float64, in float32 epsilons of the array's largest magnitude."""
    no_formula: str = ""
    """Why there is no formula."""
    no_gradient: str = ""
    """Why central differences cannot be compared. A layer that only draws at random needs none: draws are repeated."""
    no_zero_rows: str = ""
    """Why there cannot be zero rows."""

    def __post_init__(self) -> None:
        if self.formula is None and not self.no_formula:
            raise UsageError(f"the case {self} has no formula: give one, or say why not in no_formula")

    @property
    def layer_type(self) -> LayerType:
        """The class of the layer."""
        return layer_class(self.type) if isinstance(self.type, str) else self.type

    def __str__(self) -> str:
        return f"{self.type if isinstance(self.type, str) else self.type.__name__}-{self.name}"


class Prepared:
    """A lone layer, planned and allocated, with values in its bottoms, weights and top diffs. Use it in a `with`."""

    def __init__(self, case: Case, layer: Layer, plan: Plan, bottom: list[Blob], top: list[Blob]):
        self.case, self.layer, self.plan, self.bottom, self.top = case, layer, plan, bottom, top
        learned = [weight.name for weight in plan.weights if weight.learned]
        bottoms = [i for i in range(len(bottom)) if plan.gradients is None or plan.gradients[i]]
        self.requests: list[Request] = [*bottoms, *learned]
        """Every diff that can be asked for."""
        self.statistics = {w.name: layer.weights[w.name].data.copy() for w in plan.weights if not w.learned}
        self._restore_inside = remember(self.inside)

    @property
    def inside(self) -> list[Node]:
        """The layers in the layer's bodies, as nodes."""
        return [node for body in self.layer.bodies.values() for _, node in body.nodes()]

    def __enter__(self) -> Prepared:
        self.layer.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.layer.close()

    def blob(self, request: Request) -> Blob:
        """The bottom of that number or the weight of that name."""
        return self.bottom[request] if isinstance(request, int) else self.layer.weights[request]

    def restore(self) -> None:
        """Generator, state and statistics as they were, scratch arbitrary: what comes before a (repeated) forward."""
        self.layer.rng = self.layer.generator()
        for state in vars(self.layer.state).values():
            state[...] = 0
        for name, values in self.statistics.items():
            self.layer.weights[name].data[...] = values
        self._restore_inside()
        for scratch in vars(self.layer.scratch).values():
            poison(scratch)

    def forward(self) -> dict[str, Array]:
        """Run forward from the same generator, state and statistics each time. Returns copies of the tops."""
        self.restore()
        self.reshape_tops(self.plan.tops)
        for top in self.top:
            poison(top.data)
        with self.explained("forward"):
            self.layer.forward(self.bottom, self.top)
        return {f"top {i}": top.data.copy() for i, top in enumerate(self.top)}

    def backward(self, asked: Collection[Request]) -> dict[str, Array]:
        """Run backward after `forward`. Returns copies of the diffs asked for; raises if anything else was changed."""
        self.layer.asked = frozenset(name for name in asked if isinstance(name, str))
        for blob in (*self.bottom, *self.layer.weights):
            poison(blob.diff)
        for scratch in self.plan.scratch:
            if not scratch.keep:
                poison(getattr(self.layer.scratch, scratch.name))
        own = [f"the diff of {named(request)}" for request in asked]
        with self.watched(f"backward, asked for {' and '.join(map(named, asked)) or 'nothing'},", own):
            self.layer.backward(self.top, [i in asked for i in range(len(self.bottom))], self.bottom)
        return {f"the diff of {named(request)}": self.blob(request).diff.copy() for request in asked}

    def arrays(self) -> dict[str, Array]:
        """Every array that the net looks after, by a name for messages."""
        labelled = {f"bottom {i}": blob for i, blob in enumerate(self.bottom)}
        labelled |= {f"top {i}": blob for i, blob in enumerate(self.top)}
        labelled |= {f"weight {name!r}": blob for name, blob in self.layer.weights.items()}
        found = {f"the data of {label}": blob.data for label, blob in labelled.items()}
        found |= {f"the diff of {label}": blob.diff for label, blob in labelled.items()}
        return found | {f"the state {name!r}": array for name, array in vars(self.layer.state).items()}

    @contextmanager
    def watched(self, call: str, own: Collection[str]) -> Iterator[None]:
        """Raise if the block changes any of `arrays()` but its `own`."""
        before = {label: array.copy() for label, array in self.arrays().items() if label not in own}
        shapes = [top.shape for top in self.top]
        with self.explained(call):
            yield
        decided = [top.shape for top in self.top]  # by a dynamic layer, over memory that stays where it is
        self.reshape_tops(shapes)
        for label, array in self.arrays().items():
            if label in before and array.tobytes() != before[label].tobytes():
                where = _place(np.nonzero(~same_elements(array, before[label])), array)
                raise CheckFailed(
                    f"{self.case}: {call} changed {label}, which is not its to write: element {list(where)} "
                    f"was {before[label][where]:.9g} and is {array[where]:.9g}"
                )
        self.reshape_tops(decided)

    def reshape_tops(self, shapes: Sequence[Shape]) -> None:
        """Give the tops these shapes, within those of the plan."""
        for top, shape in zip(self.top, shapes, strict=True):
            top.reshape(*shape)

    @contextmanager
    def explained(self, call: str) -> Iterator[None]:
        """Turn whatever the block raises into a CheckFailed that names the case and the call."""
        try:
            yield
        except ShapeError as error:
            raise CheckFailed(f"{self.case}: {call} did not keep within its plan: {error}") from error
        except Exception as error:
            shapes = ", ".join(f"top {i} {shape_text(top.shape)}" for i, top in enumerate(self.top)) or "no tops"
            raise CheckFailed(
                f"{self.case}: {call} raised {type(error).__name__}: {error} (planned: {shapes})"
            ) from error


def prepare(
    case: Case,
    dtype: npt.DTypeLike = np.float64,
    seed: int = 0,
    *,
    channels_last: bool = False,
    zero_rows: bool = False,
) -> Prepared:
    """Plan a lone layer and provide what it asks for. The same seed gives the same values in every dtype and layout.

    `zero_rows` leaves axis 0 of every bottom empty. Raises UsageError for too few or too many bottoms or tops.
    """
    rng = np.random.default_rng(seed)
    cls = case.layer_type
    layer = cls(cls.Params.model_validate(dict(case.params)), case.phase, case.num_tops)
    layer.generator = Generators(seed)
    _count(case, "bottoms", len(case.bottoms), cls.bottoms)
    _count(case, "tops", case.num_tops, cls.tops)

    values = _bottom_values(case, rng)
    if zero_rows:
        values = [each[:0] if each.ndim else each for each in values]
    bottom = [_blob(each, dtype, channels_last) for each in values]
    plan, graphs = plan_alone(layer, *(blob.shape for blob in bottom))
    blobs = {}
    for weight in plan.weights:
        given = case.weights.get(weight.name, weight.shape)
        around = 0.0 if weight.learned else 1.0
        drawn = _concrete(given, rng) if not _is_shape(given) else around + rng.uniform(-0.5, 0.5, weight.shape)
        blobs[weight.name] = _blob(drawn, dtype)
    layer.weights = Weights(blobs)
    for each in plan.scratch:
        whole = np.zeros(math.prod(each.shape), each.dtype or dtype)
        setattr(layer.scratch, each.name, laid_out(whole, each.shape, channels_last and each.like_blob))
    for state in plan.state:
        setattr(layer.state, state.name, np.zeros(state.shape, state.dtype or dtype))
    lend_bodies(layer, plan, graphs, seed, dtype)
    top = [Blob(shape, dtype, channels_last=channels_last) for shape in plan.tops]
    for blob in top:
        blob.diff[...] = _single(rng.normal(size=blob.shape))
    return Prepared(case, layer, plan, bottom, top)


def lend_bodies(layer: Layer, plan: Plan, graphs: Mapping[str, Graph], seed: int, dtype: npt.DTypeLike) -> None:
    """Give a lone layer its bodies, over the weights that it has. Raises UsageError for one that runs once."""
    bodies = Bodies(seed, np.dtype(dtype), engines.choose("numpy"), _no_single_run)
    layer.bodies = bodies(layer.name, plan, graphs, layer.weights)


def _no_single_run(graph: Graph, body: Body, given: Mapping[str, Blob], prefix: str) -> Any:
    raise UsageError(f"the body {body.name!r} runs once, which takes a net; check the layer in one")


def poison(array: Array) -> None:
    """Fill an array with what no correct code may use: NaN, the least integer, True."""
    array.fill(np.nan if array.dtype.kind == "f" else np.iinfo(array.dtype).min if array.dtype.kind in "iu" else True)


def _bottom_values(case: Case, rng: np.random.Generator) -> list[Array]:
    """Random values for all bottoms that are shapes, drawn from one jittered grid so that no two are equal."""
    sizes = [math.prod(each) if _is_shape(each) else 0 for each in case.bottoms]
    low, high = case.span
    step = (high - low) / max(1, sum(sizes))
    grid = low + step * (rng.permutation(sum(sizes)) + 0.5 + rng.uniform(-0.25, 0.25, sum(sizes)))
    for kink in case.kinks:
        grid += np.where(abs(grid - kink) < 1e-3, np.where(grid < kink, -2e-3, 2e-3), 0)
    parts = np.split(grid, np.cumsum(sizes))
    return [
        part.reshape(each) if _is_shape(each) else _concrete(each, rng)
        for part, each in zip(parts, case.bottoms, strict=False)
    ]


def _is_shape(values: Values) -> TypeGuard[Shape]:
    return isinstance(values, tuple)


def _concrete(values: Any, rng: np.random.Generator) -> Array:
    return np.asarray(values(rng) if callable(values) else values)


def _blob(values: Array, dtype: npt.DTypeLike, channels_last: bool = False) -> Blob:
    blob = Blob(values.shape, dtype, channels_last=channels_last)
    blob.data[...] = _single(values)
    return blob


def _single(values: Array) -> Array:
    """Rounded to float32, so that runs in float32 and float64 start from the same numbers."""
    return values.astype(np.float32)


def _count(case: Case, what: str, number: int, bounds: tuple[int, int | None]) -> None:
    least, most = bounds
    if number < least or (most is not None and number > most):
        raise UsageError(
            f"the case {case} has {number} {what}; the layer takes {least} to {'any number' if most is None else most}"
        )


def named(request: Request) -> str:
    """`bottom 0`, `weight 'bias'`."""
    return f"bottom {request}" if isinstance(request, int) else f"weight {request!r}"


def same_elements(a: Array, b: Array) -> Array:
    """Where both are equal, or both NaN."""
    return np.asarray((a == b) | ((a != a) & (b != b)))


def _place(found: tuple[Array, ...], array: Array) -> tuple[int, ...]:
    """The first of the places found, as an index; of none (a changed sign of zero), the first of the array."""
    return tuple(int(axis[0]) for axis in found) if found and len(found[0]) else (0,) * array.ndim
