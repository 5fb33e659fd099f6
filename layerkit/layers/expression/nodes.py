"""A graph of primitives: what a formula is before it has arrays. Equal nodes are one, so nothing is computed twice.

    graph = Graph(PRIMITIVES)
    x = graph.leaf("x", (2, 3))
    y = F.sin(x) * x + 1

`F.name(...)` makes a node of the primitive of that name; Python's own operators do for the arithmetic ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.errors import ExpressionError
from layerkit.fillers import FLOAT32_MAX

MAX_NODES = 20_000
"""Most primitives that one formula and its derivatives may come to."""

Rule = Callable[..., Any]
Settings = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Primitive:
    """One row of the table: what a primitive computes, and how its derivative goes through it in both modes."""

    shape: Callable[..., Shape]
    """`shape(*shapes, **settings)`: the result's. Raises ExpressionError where the arguments do not fit."""
    forward: Callable[..., Any]
    """`forward(*arguments, out=out, **settings)` writes the value; of a `view` it returns it, without `out`."""
    vjp: Sequence[Rule | None]
    """Of each argument: from `g`, the gradient of y, that of the argument, before what stretched is summed up again."""
    jvp: Sequence[Rule | None]
    """Of each argument: from `t`, the argument's tangent, its part of the tangent of y."""
    logical: bool = False
    """Whether y is true or false at each place."""
    asks: bool = False
    """Whether the arguments are logical ones; the first argument of `where` is in any case."""
    view: bool = False
    """Whether y lies where its argument does."""
    dense: bool = False
    """Whether `out` must lie in C order."""
    work: Callable[..., Shape] | None = None
    """The shape of an array to work in, if one is needed: `forward` is given it after the arguments."""


class Node:
    """One value in a graph: a leaf, a constant, or a primitive of other nodes."""

    __slots__ = ("arguments", "graph", "index", "kind", "primitive", "room", "settings", "shape", "value")

    def __init__(
        self, graph: Graph, kind: str, arguments: tuple[Node, ...], settings: Settings, shape: Shape, value: Any = None
    ):
        self.graph, self.kind, self.arguments, self.shape = graph, kind, arguments, shape
        self.settings = dict(settings)
        self.primitive: Primitive | None = graph.primitives.get(kind)
        """Its row of the table; a leaf and a constant have none."""
        work = None if self.primitive is None else self.primitive.work
        self.room = None if work is None else work(*(each.shape for each in arguments), **self.settings)
        """The shape of the array that its primitive works in."""
        self.value = value
        """Of a constant its number, of a leaf its key."""
        self.index = len(graph.nodes)
        """Its place in the graph, after those of its arguments."""
        graph.nodes.append(self)

    @property
    def logical(self) -> bool:
        """Whether it is true or false at each place."""
        return self.primitive is not None and self.primitive.logical

    def __neg__(self) -> Node:
        return F.negative(self)

    def __add__(self, other: Node | float) -> Node:
        return F.add(self, other)

    def __sub__(self, other: Node | float) -> Node:
        return F.subtract(self, other)

    def __rsub__(self, other: float) -> Node:
        return F.subtract(self.graph.constant(other), self)

    def __mul__(self, other: Node | float) -> Node:
        return F.multiply(self, other)

    def __rmul__(self, other: float) -> Node:
        return F.multiply(self, other)

    def __truediv__(self, other: Node | float) -> Node:
        return F.divide(self, other)

    def __gt__(self, other: Node | float) -> Node:
        return F.greater(self, other)

    def __matmul__(self, other: Node) -> Node:
        return F.matmul(self, other)


class Graph:
    """Nodes in an order in which each stands behind its arguments."""

    def __init__(self, primitives: Mapping[str, Primitive]):
        self.primitives = primitives
        self.nodes: list[Node] = []
        self._known: dict[Any, Node] = {}

    def leaf(self, key: Any, shape: Shape) -> Node:
        """A value that comes from outside."""
        return self._node("leaf", (), (), shape, key)

    def constant(self, value: float) -> Node:
        """A number. Raises ExpressionError for one that is not finite in float32."""
        try:
            number = float(value)
        except OverflowError:
            number = np.inf
        if not abs(number) <= FLOAT32_MAX:
            raise ExpressionError(f"this constant is {number:g}, which is no finite number in float32")
        return self._node("constant", (), (), (), number)

    def call(self, kind: str, *given: Node | float, **settings: Any) -> Node:
        """A primitive of nodes and numbers. Raises ExpressionError where their shapes do not fit."""
        primitive = self.primitives[kind]
        nodes = [each if isinstance(each, Node) else self.constant(each) for each in given]
        wants = [primitive.asks or (kind == "where" and i == 0) for i in range(len(nodes))]
        arguments = tuple(self._as(node, wanted) for node, wanted in zip(nodes, wants, strict=True))
        if kind in ("add", "multiply"):  # in one order, so that a b and b a are one node
            arguments = tuple(sorted(arguments, key=lambda each: (each.kind == "constant", each.index)))
        simple = _simplified(kind, arguments)
        if simple is not None:
            return simple
        shape = primitive.shape(*(each.shape for each in arguments), **settings)
        numbers = [each.value for each in arguments if each.kind == "constant"]
        if len(numbers) == len(arguments) and not (primitive.logical or primitive.view or settings):
            return self.constant(_folded(primitive, numbers))
        return self._node(kind, arguments, tuple(sorted(settings.items())), shape)

    def _as(self, node: Node, logical: bool) -> Node:
        """A node where a logical one is wanted, or a number."""
        if node.logical == logical:
            return node
        return self.call("not_equal", node, 0.0) if logical else self._node("number", (node,), (), node.shape)

    def _node(
        self, kind: str, arguments: tuple[Node, ...], settings: Settings, shape: Shape, value: Any = None
    ) -> Node:
        key = (kind, tuple(each.index for each in arguments), settings, shape, value)
        if key not in self._known:
            if len(self.nodes) >= MAX_NODES:
                raise ExpressionError(f"this comes to more than {MAX_NODES} operations")
            self._known[key] = Node(self, kind, arguments, settings, shape, value)
        return self._known[key]


class Functions:
    """`F.sin(x)`: the primitive `sin` of nodes of a graph, and of numbers."""

    def __getattr__(self, kind: str) -> Callable[..., Node]:
        def call(*given: Node | float, **settings: Any) -> Node:
            graph = next(each.graph for each in given if isinstance(each, Node))
            return graph.call(kind, *given, **settings)

        return call


F = Functions()


def ancestors(nodes: Iterable[Node], stop: Callable[[Node], bool] = lambda node: False) -> list[Node]:
    """The nodes and all that they are made of, in order; not those where `stop`, nor what only these are made of."""
    found: dict[int, Node] = {}
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node.index not in found and not stop(node):
            found[node.index] = node
            waiting += node.arguments
    return [found[index] for index in sorted(found)]


def bound(
    node: Node, arguments: Sequence[Array], out: Array | None, work: Array | None
) -> tuple[Array, Callable[[], None] | None]:
    """Where the value of a primitive lies, and what writes it to `out`; nothing needs to write a view."""
    primitive = node.primitive
    assert primitive is not None
    if primitive.view:
        return primitive.forward(*arguments, **node.settings), None
    assert out is not None
    given = arguments if work is None else [*arguments, work]
    return out, partial(primitive.forward, *given, out=out, **node.settings)


def evaluate(wanted: Sequence[Node], leaves: Mapping[Any, Array], dtype: np.dtype[Any]) -> list[Array]:
    """The values of nodes, from those of the leaves by their keys, in new arrays."""
    values: dict[int, Array] = {}
    for node in ancestors(wanted):
        primitive = node.primitive
        if primitive is None:
            values[node.index] = leaves[node.value] if node.kind == "leaf" else np.asarray(node.value, dtype)
            continue
        out = None if primitive.view else np.empty(node.shape, bool if primitive.logical else dtype)
        work = None if node.room is None else np.empty(node.room, dtype)
        values[node.index], run = bound(node, [values[each.index] for each in node.arguments], out, work)
        if run is not None:
            run()
    return [values[node.index] for node in wanted]


def _folded(primitive: Primitive, numbers: Sequence[float]) -> float:
    """A primitive of constants, computed once and for all."""
    out = np.empty((), np.float64)
    with np.errstate(all="ignore"):
        primitive.forward(*(np.asarray(number) for number in numbers), out=out)
    return float(out)


def _simplified(kind: str, arguments: Sequence[Node]) -> Node | None:
    """What does the same as a primitive but costs less; None where there is nothing of the kind."""
    first, last = arguments[0], arguments[-1]
    number = last.value if last.kind == "constant" else None
    if (kind in ("multiply", "divide", "power") and number == 1) or (kind in ("add", "subtract") and number == 0):
        return first
    if kind == "power" and number == 0:
        return F.stretch(first.graph.constant(1), shape=first.shape)
    if kind == "power" and number in (2, 0.5, -1):
        return {2: F.square, 0.5: F.sqrt, -1: lambda x: F.divide(x.graph.constant(1), x)}[number](first)
    return None
