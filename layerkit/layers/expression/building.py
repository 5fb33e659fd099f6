"""From the tree of a formula to a graph of primitives: what the names and functions of a formula mean."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any, cast

from layerkit.blob import shape_text
from layerkit.errors import ExpressionError, did_you_mean
from layerkit.layers.expression import shapes
from layerkit.layers.expression.nodes import F, Graph, Node
from layerkit.layers.expression.reading import OPERATORS, Formula

Axis = int | Sequence[int] | None

CONSTANTS = {"pi": math.pi, "e": math.e}
"""Names that mean a number where nothing else has them."""


def build(formula: Formula, names: Mapping[str, Node], graph: Graph) -> Node:
    """The node that a formula computes, as a number. Raises ExpressionError, with the place."""
    return _Builder(formula, names, graph).number(formula.tree)


# -- functions ---------------------------------------------------------------------------------------------------------


def _sum(x: Node, axis: Axis = None, keepdims: bool = False) -> Node:
    return _along(F.sum, x, axis, keepdims)


def _mean(x: Node, axis: Axis = None, keepdims: bool = False) -> Node:
    count = math.prod(x.shape[i] for i in shapes.axes_of(x.shape, axis))
    return _sum(x, axis, keepdims) * (1 / max(1, count))  # the mean of no values is 0


def _max(*given: Node, axis: Axis = None, keepdims: bool = False) -> Node:
    if len(given) == 1:  # one axis after the other, the last first, so that the first in scan order is counted
        return _along(lambda x, axis: reduce(lambda y, i: F.max(y, axis=(i,)), axis[::-1], x), given[0], axis, keepdims)
    return _extreme(F.maximum, given, axis)


def _min(*given: Node, axis: Axis = None, keepdims: bool = False) -> Node:
    return -_max(-given[0], axis=axis, keepdims=keepdims) if len(given) == 1 else _extreme(F.minimum, given, axis)


def _extreme(choose: Callable[..., Node], given: Sequence[Node], axis: Axis) -> Node:
    """Of several; where they tie, the order of Eltwise's MAX holds: the second, then the first, third, fourth ..."""
    if not given or axis is not None:
        raise ExpressionError("this takes one argument and axis, or several arguments")
    return reduce(lambda best, x: choose(x, best), given[2:], choose(*given[:2]))


def _along(function: Callable[..., Node], x: Node, axis: Axis, keepdims: bool) -> Node:
    """A function that leaves length 1 along the axes, and then, unless these are to be kept, the rest alone."""
    axes = shapes.axes_of(x.shape, axis)
    y = function(x, axis=axes)
    return y if keepdims else _reshaped(y, tuple(n for i, n in enumerate(x.shape) if i not in axes))


def _reshaped(x: Node, shape: Sequence[int]) -> Node:
    return x if tuple(shape) == x.shape else F.reshape(x, shape=tuple(shape))


def _matmul(a: Node, b: Node) -> Node:
    if not a.shape or not b.shape:
        raise ExpressionError("a product of matrices needs arguments with axes; a single number is multiplied by *")
    left = a if len(a.shape) > 1 else _reshaped(a, (1, *a.shape))
    right = b if len(b.shape) > 1 else _reshaped(b, (*b.shape, 1))
    y = left @ right
    rows = y.shape[-2:-1] if len(a.shape) > 1 else ()
    columns = y.shape[-1:] if len(b.shape) > 1 else ()
    return _reshaped(y, (*y.shape[:-2], *rows, *columns))


def _dot(a: Node, b: Node) -> Node:
    if not 1 <= len(a.shape) <= 2 or not 1 <= len(b.shape) <= 2:
        listed = f"{shape_text(a.shape)} and {shape_text(b.shape)}"
        raise ExpressionError(f"dot is of vectors and matrices, not of {listed}; @ is of stacks of them, too")
    return _matmul(a, b)


def _softmax(x: Node, axis: Axis = -1) -> Node:
    return F.softmax(x, axis=shapes.axes_of(x.shape, axis))


def _transpose(x: Node, axes: Axis = None) -> Node:
    return F.transpose(x, axes=shapes.order_of(x.shape, axes))


def _reshape(x: Node, shape: int | Sequence[int]) -> Node:
    return _reshaped(x, shapes.reshaped(x.shape, shape))


def _where(condition: Node, a: Node, b: Node) -> Node:
    return F.where(condition, a, b)


FUNCTIONS: dict[str, tuple[Callable[..., Node], str]] = {
    **{name: (cast("Callable[..., Node]", getattr(F, name)), "x") for name in (
        "sin", "cos", "tan", "exp", "log", "sqrt", "abs", "tanh", "sigmoid", "relu", "square", "sign",
    )},
    "sum": (_sum, "x, axis, keepdims"),
    "mean": (_mean, "x, axis, keepdims"),
    "max": (_max, "x, axis, keepdims"),
    "min": (_min, "x, axis, keepdims"),
    "where": (_where, "condition, a, b"),
    "dot": (_dot, "a, b"),
    "matmul": (_matmul, "a, b"),
    "transpose": (_transpose, "x, axes"),
    "reshape": (_reshape, "x, shape"),
    "softmax": (_softmax, "x, axis"),
}  # fmt: skip
"""Every function that a formula may call, with the names of its arguments; max and min take several x as well."""

_NODES = ("x", "a", "b", "condition")
"""The arguments that are values; the others are settings, which are written out as numbers."""


class _Builder:
    """Builds the nodes of one formula."""

    def __init__(self, formula: Formula, names: Mapping[str, Node], graph: Graph):
        self.formula, self.names, self.graph = formula, names, graph

    @contextmanager
    def placed(self, tree: ast.AST) -> Iterator[None]:
        """Give what the block raises its place, unless it has one."""
        try:
            yield
        except ExpressionError as error:
            if error.offset is None:
                error.offset = self.formula.at(tree)
            raise

    def number(self, tree: ast.expr) -> Node:
        """The value of a part of the tree; what is true or false becomes 1 or 0."""
        node = self.build(tree)
        return F.number(node) if node.logical else node

    def build(self, tree: ast.expr) -> Node:
        with self.placed(tree):
            match tree:
                case ast.Constant(value=bool() | None) | ast.Tuple() | ast.List():
                    raise ExpressionError("a number or a name is wanted here")
                case ast.Constant(value=value):
                    return self.graph.constant(cast("float", value))
                case ast.Name(id=name):
                    return self.name(name)
                case ast.BinOp():
                    return self.chain(tree)
                case ast.UnaryOp(op=op, operand=operand):
                    return self.operate(op, self.build(operand))
                case ast.BoolOp(op=op, values=values):
                    return reduce(lambda a, b: self.operate(op, a, b), map(self.build, values))
                case ast.Compare(left=left, ops=ops, comparators=rest):
                    nodes = [self.build(each) for each in (left, *rest)]
                    found = [self.operate(op, a, b) for op, a, b in zip(ops, nodes, nodes[1:], strict=False)]
                    return reduce(F.both, found)
                case ast.Call():
                    return self.call(tree)
        raise AssertionError(f"{type(tree).__name__} is not among what a formula may hold")

    def chain(self, tree: ast.BinOp) -> Node:
        """Operators one after another, as in a sum of many terms: not by recursion, for which there may be too many."""
        links = []
        first: ast.expr = tree
        while isinstance(first, ast.BinOp):
            links.append(first)
            first = first.left
        node = self.build(first)
        for link in reversed(links):
            with self.placed(link):
                right = self.build(link.right)
                multiplied = isinstance(link.op, ast.MatMult)
                node = _matmul(node, right) if multiplied else self.operate(link.op, node, right)
        return node

    def operate(self, op: ast.AST, *nodes: Node) -> Node:
        kind = OPERATORS[type(op)]
        return self.graph.call(kind, *nodes) if kind else nodes[0]

    def name(self, name: str) -> Node:
        if name in self.names:
            return self.names[name]
        if name in CONSTANTS:
            return self.graph.constant(CONSTANTS[name])
        known = [*self.names, *CONSTANTS]
        hint = did_you_mean(name, self.names) or f"; there are: {', '.join(known)}"
        if name in FUNCTIONS:
            hint = f"; the function is called as {name}({FUNCTIONS[name][1]})"
        raise ExpressionError(f"there is nothing named {name!r}{hint}")

    def call(self, tree: ast.Call) -> Node:
        name = cast("ast.Name", tree.func).id
        if name not in FUNCTIONS:
            hint = did_you_mean(name, FUNCTIONS) or f"; there are: {', '.join(FUNCTIONS)}"
            raise ExpressionError(f"there is no function {name!r}{hint}")
        function, takes = FUNCTIONS[name]
        names = takes.split(", ")
        several = name in ("max", "min") and len(tree.args) > 1 and all(map(self._is_value, tree.args))
        positional = ["x"] * len(tree.args) if several else names
        if len(tree.args) > len(positional):
            raise ExpressionError(f"{name} is called as {name}({takes})")
        arguments = list(zip(positional, tree.args, strict=False))
        values = [self.argument(kind, each) for kind, each in arguments if kind in _NODES]
        settings = {kind: self.argument(kind, each) for kind, each in arguments if kind not in _NODES}
        for keyword in tree.keywords:
            with self.placed(keyword):
                kind = _keyword(keyword, name, takes)
                if kind in settings:
                    raise ExpressionError(f"{kind!r} is given twice")
                settings[kind] = self.argument(kind, keyword.value)
        if len(values) < sum(each in _NODES for each in names):
            raise ExpressionError(f"{name} is called as {name}({takes})")
        if name == "reshape" and "shape" not in settings:
            raise ExpressionError("reshape needs a shape, as in reshape(x, (0, -1))")
        return function(*values, **settings)

    def _is_value(self, tree: ast.expr) -> bool:
        """Whether an argument of max and min is one of several x, and no axis."""
        return not isinstance(tree, (ast.Tuple, ast.List)) and not (
            isinstance(tree, ast.Constant) and (tree.value is None or isinstance(tree.value, bool))
        )

    def argument(self, kind: str, tree: ast.expr) -> Any:
        """A value, or for a setting what is written out."""
        if kind in _NODES:
            node = self.build(tree)
            return node if kind == "condition" else F.number(node) if node.logical else node
        with self.placed(tree):
            setting = _setting(tree)
            if kind == "keepdims" and not isinstance(setting, bool):
                raise ExpressionError("keepdims is True or False")
            if kind in ("axis", "axes", "shape") and isinstance(setting, bool):
                raise ExpressionError(f"{kind} is a whole number or several in brackets")
            return setting


def _keyword(keyword: ast.keyword, function: str, takes: str) -> str:
    """The name of the setting that a call gives by name. Raises ExpressionError for anything else."""
    kind, names = keyword.arg, takes.split(", ")
    if kind is None:
        raise ExpressionError("a setting has a name, as in axis=1")
    called = f"it is called {function}({takes})"
    if kind in names and kind in _NODES:
        raise ExpressionError(f"{kind!r} of {function} is given by its place; {called}")
    if kind not in names:
        raise ExpressionError(f"{function} has no setting {kind!r}{did_you_mean(kind, names)}; {called}")
    return kind


def _setting(tree: ast.expr) -> Any:
    """A whole number, several in brackets, True, False or None. Raises ExpressionError for anything else."""
    match tree:
        case ast.Constant(value=bool() | int() | None as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as value)) if not isinstance(value, bool):
            return -value
        case ast.Tuple(elts=items) | ast.List(elts=items):
            found = [_setting(item) for item in items]
            if all(type(each) is int for each in found):
                return tuple(found)
    raise ExpressionError("a setting is written out, in whole numbers")
