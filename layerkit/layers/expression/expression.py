"""Expression: a formula as a layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import Field, field_validator, model_validator

from layerkit.blob import Array, Shape
from layerkit.errors import ExpressionError, did_you_mean
from layerkit.fields import Strict
from layerkit.fillers import Filler, Float32
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops, Weight
from layerkit.layers.expression.building import build
from layerkit.layers.expression.nodes import Graph, Node
from layerkit.layers.expression.primitives import PRIMITIVES
from layerkit.layers.expression.program import Key, Program
from layerkit.layers.expression.reading import Formula, is_name
from layerkit.layers.expression.rows import by_rows
from layerkit.registry import register

KEPT_PROGRAMS = 8
"""Most programs that a layer keeps, each for one set of shapes: as many batch sizes as take turns."""


class WeightParams(Strict):
    """A learned array that a formula reads."""

    shape: list[Annotated[int, Field(gt=0)]] = Field([], description="Its shape; empty: a single number.")
    filler: Filler = Field(Filler(), description="How it starts.")


@register
class Expression(Layer):
    """Whatever a formula of the bottoms says, with its gradients.

        expr: "x1 * x2 + sin(x2)"            one result
        results: {q: "x + y", f: "q * z"}    several, each of which may read those before it

    A formula reads bottoms, by their names; declared weights, which are learned; constants; and pi and e. It holds

        + - * / ** @    < <= > >= == !=    and or not    ( )
        sin cos tan exp log sqrt square abs sign tanh sigmoid relu, of x
        sum mean max min (x, axis=None, keepdims=False)    max min (a, b, ...)    softmax(x, axis=-1)
        where(condition, a, b)    dot(a, b)    matmul(a, b)    transpose(x, axes=None)    reshape(x, shape)

    and means what it does in numpy: shapes stretch to fit, @ is of the last two axes. max(x, 1) is the larger of the
    two; an axis is named, axis=1. In a shape 0 is the length of that axis and -1 what makes the size come out. The mean
    of no values is 0. Comparisons give 1 and 0, and let no gradient through. At ties relu and abs have slope 0, of
    max(a, b) the second counts, of max over axes the first of the largest.

    Bottoms: any number, of any shapes that the formula fits. Their names are the blobs', behind the last '/' of those
    inside blocks, or `names`.
    Tops: the result of the same name; where no top is named like one, the last results in their order.
    Weights: those declared.
    Raises ExpressionError, with the place, for a formula that means nothing, or where shapes do not fit.

    Example: {name: f, type: Expression, bottom: [x, y, z], top: [q, f], results: {q: "x + y", f: "q * z"}}

    Source: Wengert 1964, A simple automatic derivative evaluation program; numpy for what the functions mean.
    """

    class Params(LayerParams):
        """The formulas, and what their names mean."""

        by_part: ClassVar[frozenset[str]] = frozenset({"results", "weights", "constants"})

        expr: str | None = Field(None, description="The formula of the one result.")
        results: dict[str, str] = Field(
            {}, description="In the place of expr: several formulas by their results' names."
        )
        names: list[str] = Field([], description="What the bottoms are called in formulas; empty: as the blobs are.")
        weights: dict[str, WeightParams] = Field({}, description="Learned arrays by name, each with shape and filler.")
        constants: dict[str, Float32] = Field({}, description="Numbers by name.")

        @field_validator("expr")
        @classmethod
        def _readable(cls, expr: str | None) -> str | None:
            if expr is not None:
                Formula(expr)
            return expr

        @field_validator("names", "weights", "constants", "results")
        @classmethod
        def _named(cls, given: list[str] | dict[str, object]) -> list[str] | dict[str, object]:
            for i, name in enumerate(given):
                if not is_name(name):
                    raise ValueError(f"{name!r} is no name for a formula: letters, digits and _")
                if name in list(given)[:i]:
                    raise ValueError(f"the name {name!r} is given twice")
            return given

        @field_validator("results")
        @classmethod
        def _all_readable(cls, results: dict[str, str]) -> dict[str, str]:
            for name, text in results.items():
                try:
                    Formula(text)
                except ExpressionError as error:
                    error.inside = (name,)
                    raise
            return results

        @model_validator(mode="after")
        def _one_way(self) -> Expression.Params:
            if (self.expr is None) == (not self.results):
                raise ValueError("needs either expr, a formula, or results, several by name")
            return self

    bottoms = (1, None)
    tops = (1, None)

    def __init__(self, params: LayerParams, phase: str = "train", num_tops: int = 1):
        super().__init__(params, phase, num_tops)
        self._made: dict[tuple[Shape, ...], Program] = {}

    def plan(self, *bottoms: Shape) -> Plan:
        program = self.program(bottoms)
        found = program.gradients
        return Plan(
            tops=[node.shape for node in program.results],
            weights=[Weight(name, tuple(each.shape), each.filler) for name, each in self.params.weights.items()],
            scratch=program.scratch,
            gradients=[found["bottom", i] is not None for i in range(len(bottoms))],
            reads_bottoms=program.reads_bottoms,
            reads_tops=program.reads_tops,
            by_rows=program.by_rows,
            multiply_adds=program.multiply_adds,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        self.bound_forward(bottom, top)()

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        self.bound_backward(top, propagate_down, bottom)()

    def bound_forward(self, bottom: Bottoms, top: Tops) -> Callable[[], None]:
        return self._at(bottom).forward(bottom, self._weight_values(), self.scratch, top)

    def bound_backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> Callable[[], None]:
        diffs: dict[Key, Array] = {("bottom", i): bottom[i].diff for i, down in enumerate(propagate_down) if down}
        diffs |= {("weight", name): self.weights[name].diff for name in self.asked}
        return self._at(bottom).backward(top, bottom, self._weight_values(), self.scratch, diffs)

    def jvp(
        self, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], top_tangent: Sequence[Array]
    ) -> None:
        given: dict[Key, Array] = {("bottom", i): t for i, t in enumerate(bottom_tangent) if t is not None}
        given |= {("weight", name): tangent for name, tangent in self.weight_tangents.items()}
        self._at(bottom).jvp(bottom, self._weight_values(), given, top_tangent)

    def _weight_values(self) -> dict[str, Array]:
        return {name: blob.values for name, blob in self.weights.items()}

    # -- from formulas to a program --------------------------------------------------------------------------------

    def _at(self, bottom: Bottoms) -> Program:
        return self.program(tuple(blob.shape for blob in bottom))

    def program(self, shapes: Sequence[Shape]) -> Program:
        """The formulas made ready for bottoms of these shapes; the last few are kept. Raises ExpressionError."""
        key = tuple(shapes)
        if key not in self._made:
            if len(self._made) >= KEPT_PROGRAMS:
                del self._made[next(iter(self._made))]
            self._made[key] = self._compile(key)
        return self._made[key]

    def _compile(self, shapes: Sequence[Shape]) -> Program:
        graph, leaves, results = self._nodes(shapes)
        return Program(graph, leaves, results, by_rows=self._by_rows(shapes, results))

    def _nodes(self, shapes: Sequence[Shape]) -> tuple[Graph, dict[Key, Node], list[Node]]:
        """A graph, its bottoms and weights, and the tops. Raises ExpressionError where a formula means nothing."""
        graph = Graph(PRIMITIVES)
        bottoms = [graph.leaf(("bottom", i), shape) for i, shape in enumerate(shapes)]
        declared = self.params.weights.items()
        weights = {name: graph.leaf(("weight", name), tuple(each.shape)) for name, each in declared}
        leaves: dict[Key, Node] = {node.value: node for node in (*bottoms, *weights.values())}
        return graph, leaves, self.results(graph, bottoms, weights)

    def _by_rows(self, shapes: Sequence[Shape], results: Sequence[Node]) -> bool:
        """Whether the formulas work row by row: those for these shapes, and for one row more."""
        heads = {shape[:1] for shape in shapes}
        if len(heads) > 1 or () in heads:
            return False
        rows = shapes[0][0]
        try:
            return by_rows(results, rows) and by_rows(self._nodes([(rows + 1, *s[1:]) for s in shapes])[2], rows + 1)
        except ExpressionError:  # a length that the formula gives fits these shapes only
            return False

    def results(self, graph: Graph, bottoms: Sequence[Node], weights: Mapping[str, Node]) -> list[Node]:
        """The tops as nodes of a graph. Raises ExpressionError where a formula means nothing."""
        return self._choose(self.named(graph, bottoms, weights))

    def named(self, graph: Graph, bottoms: Sequence[Node], weights: Mapping[str, Node]) -> dict[str, Node]:
        """Every result as a node of a graph, by its name; the one of `expr` is called "". Raises as `results` does."""
        p = self.params
        names = {**dict(zip(self._bottom_names(len(bottoms)), bottoms, strict=True)), **weights}
        names |= {name: graph.constant(value) for name, value in p.constants.items()}
        results: dict[str, Node] = {}
        for name, text in (p.results or {"": p.expr}).items():
            try:
                results[name] = names[name] = build(Formula(text), names, graph)
            except ExpressionError as error:
                error.field, error.inside = ("results", (name,)) if p.results else ("expr", ())
                raise
        return results

    def _bottom_names(self, count: int) -> list[str]:
        """What each bottom is called in formulas. Raises ExpressionError where that is not clear."""
        p, given = self.params, self.params.names
        if given and len(given) != count:
            raise ExpressionError(f"there must be as many names as bottoms: {count}, not {len(given)}", field="names")
        names = list(given) or [name.rpartition("/")[2] for name in self.bottom_names]
        names = names or [f"x{i}" for i in range(count)]
        taken = [*p.weights, *p.constants, *p.results]
        for i, name in enumerate(names):
            if not is_name(name):
                message = f"a formula cannot call the bottom {name!r} by its name; say in names what it is called"
                raise ExpressionError(message, field="bottom")
            if name in names[:i]:
                raise ExpressionError(
                    f"two bottoms are called {name!r}; say in names what they are called", field="bottom"
                )
            if name in taken:
                raise ExpressionError(
                    f"{name!r} is the name of a bottom already; another must be chosen", field="bottom"
                )
        for i, name in enumerate(taken):
            if name in taken[:i]:
                raise ExpressionError(
                    f"the name {name!r} is given to two things", field="results" if p.results else "weights"
                )
        return names

    def _choose(self, results: Mapping[str, Node]) -> list[Node]:
        """The node of each top."""
        tops = [name.rpartition("/")[2] for name in self.top_names]
        if any(top in results for top in tops):
            for top in tops:
                if top not in results:
                    hint = did_you_mean(top, results) or f"; there are: {', '.join(results)}"
                    raise ExpressionError(f"no result is named like the top {top!r}{hint}", field="top")
            return [results[top] for top in tops]
        if self.num_tops > len(results):
            raise ExpressionError(f"{self.num_tops} tops need as many results, not {len(results)}", field="top")
        return list(results.values())[-self.num_tops :]
