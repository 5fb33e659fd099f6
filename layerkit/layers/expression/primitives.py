"""The table of primitives: shape, value, and the rules of both modes of differentiation, side by side.

In a rule y stands for the primitive's value and x, a, b for its arguments. Reverse mode (vjp) makes of g, the gradient
of y, that of an argument; forward mode (jvp) makes of t, the tangent of an argument, its part of y's tangent. Both are
formulas over the same primitives, so that derivatives have derivatives, and what the passes have in common is shared.
Where an argument was stretched, what a vjp rule gives is summed up again, and what a jvp rule gives is stretched.

At ties, as in the layers that do the same: relu and abs have slope 0 at 0; of max(a, b) and min(a, b) the second
counts where both are equal; max over an axis counts the first of the largest. None: no gradient goes there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.layers.activation.logistic import logistic
from layerkit.layers.expression import shapes
from layerkit.layers.expression.nodes import F, Node, Primitive
from layerkit.layers.shape.stretch import sum_to


def _where(condition: Array, a: Array, b: Array, out: Array) -> None:
    np.copyto(out, b)
    np.copyto(out, a, where=condition)


def _max(x: Array, out: Array, axis: tuple[int, ...]) -> None:
    np.max(x, axis, out=out, keepdims=True, initial=-np.inf)


def _softmax(x: Array, row: Array, out: Array, axis: tuple[int, ...]) -> None:
    _max(x, row, axis)
    np.exp(np.subtract(x, row, out=out), out=out)  # the largest becomes exp(0), so nothing overflows
    np.divide(out, np.sum(out, axis, keepdims=True, out=row), out=out)


def _reshape(x: Array, out: Array, shape: Shape) -> None:
    out.reshape(x.shape, copy=False)[...] = x


def _first_largest(y: Node, x: Node, axis: tuple[int, ...]) -> Node:
    """1 at the first place along the axis that has the largest x, 0 elsewhere."""
    largest = F.number(F.equal(x, y))
    return largest * F.equal(F.cumulative(largest, axis=axis), 1)


def _power_before(a: Node, b: Node) -> Node:
    """a ** (b - 1), but finite where b is 0, so that a product with b is 0 there."""
    return F.power(a if b.kind == "constant" else F.where(F.equal(b, 0), 1, a), b - 1)


def _back(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


def _turned(x: Node) -> Node:
    """With the last two axes exchanged."""
    order = range(len(x.shape))
    return F.transpose(x, axes=(*order[:-2], order[-1], order[-2]))


def _comparison(function: Any, asks: bool = False, count: int = 2) -> Primitive:
    none = [None] * count
    return Primitive(shapes.broadcast, function, vjp=none, jvp=none, logical=True, asks=asks)


PRIMITIVES: dict[str, Primitive] = {
    # -- arithmetic: arguments stretch
    "add": Primitive(
        shapes.broadcast,
        np.add,
        vjp=[lambda g, y, a, b: g, lambda g, y, a, b: g],
        jvp=[lambda t, y, a, b: t, lambda t, y, a, b: t],
    ),
    "subtract": Primitive(
        shapes.broadcast,
        np.subtract,
        vjp=[lambda g, y, a, b: g, lambda g, y, a, b: -g],
        jvp=[lambda t, y, a, b: t, lambda t, y, a, b: -t],
    ),
    "multiply": Primitive(
        shapes.broadcast,
        np.multiply,
        vjp=[lambda g, y, a, b: g * b, lambda g, y, a, b: g * a],
        jvp=[lambda t, y, a, b: t * b, lambda t, y, a, b: t * a],
    ),
    "divide": Primitive(
        shapes.broadcast,
        np.divide,
        vjp=[lambda g, y, a, b: g / b, lambda g, y, a, b: -(g * y / b)],
        jvp=[lambda t, y, a, b: t / b, lambda t, y, a, b: -(t * y / b)],
    ),
    "power": Primitive(  # to the power b: where a is 0, y does not change with b; where b is 0, y does not with a
        shapes.broadcast,
        np.power,
        vjp=[
            lambda g, y, a, b: g * b * _power_before(a, b),
            lambda g, y, a, b: g * y * F.log(F.where(F.equal(a, 0), 1, a)),
        ],
        jvp=[
            lambda t, y, a, b: t * b * _power_before(a, b),
            lambda t, y, a, b: t * y * F.log(F.where(F.equal(a, 0), 1, a)),
        ],
    ),
    "maximum": Primitive(
        shapes.broadcast,
        np.maximum,
        vjp=[lambda g, y, a, b: F.where(a > b, g, 0), lambda g, y, a, b: F.where(a > b, 0, g)],
        jvp=[lambda t, y, a, b: F.where(a > b, t, 0), lambda t, y, a, b: F.where(a > b, 0, t)],
    ),
    "minimum": Primitive(
        shapes.broadcast,
        np.minimum,
        vjp=[lambda g, y, a, b: F.where(b > a, g, 0), lambda g, y, a, b: F.where(b > a, 0, g)],
        jvp=[lambda t, y, a, b: F.where(b > a, t, 0), lambda t, y, a, b: F.where(b > a, 0, t)],
    ),
    "where": Primitive(
        shapes.broadcast,
        _where,
        vjp=[None, lambda g, y, c, a, b: F.where(c, g, 0), lambda g, y, c, a, b: F.where(c, 0, g)],
        jvp=[None, lambda t, y, c, a, b: F.where(c, t, 0), lambda t, y, c, a, b: F.where(c, 0, t)],
    ),
    # -- functions of one argument, element by element
    "negative": Primitive(shapes.same, np.negative, vjp=[lambda g, y, x: -g], jvp=[lambda t, y, x: -t]),
    "square": Primitive(shapes.same, np.square, vjp=[lambda g, y, x: g * (x * 2)], jvp=[lambda t, y, x: t * (x * 2)]),
    "sqrt": Primitive(shapes.same, np.sqrt, vjp=[lambda g, y, x: g / (y * 2)], jvp=[lambda t, y, x: t / (y * 2)]),
    "sin": Primitive(shapes.same, np.sin, vjp=[lambda g, y, x: g * F.cos(x)], jvp=[lambda t, y, x: t * F.cos(x)]),
    "cos": Primitive(shapes.same, np.cos, vjp=[lambda g, y, x: -(g * F.sin(x))], jvp=[lambda t, y, x: -(t * F.sin(x))]),
    "tan": Primitive(shapes.same, np.tan, vjp=[lambda g, y, x: g * (y * y + 1)], jvp=[lambda t, y, x: t * (y * y + 1)]),
    "tanh": Primitive(
        shapes.same, np.tanh, vjp=[lambda g, y, x: g * (1 - y * y)], jvp=[lambda t, y, x: t * (1 - y * y)]
    ),
    "exp": Primitive(shapes.same, np.exp, vjp=[lambda g, y, x: g * y], jvp=[lambda t, y, x: t * y]),
    "log": Primitive(shapes.same, np.log, vjp=[lambda g, y, x: g / x], jvp=[lambda t, y, x: t / x]),
    "sigmoid": Primitive(
        shapes.same,
        logistic,
        vjp=[lambda g, y, x: g * (y * (1 - y))],
        jvp=[lambda t, y, x: t * (y * (1 - y))],
    ),
    "relu": Primitive(
        shapes.same,
        lambda x, out: np.maximum(x, 0, out=out),
        vjp=[lambda g, y, x: g * (y > 0)],
        jvp=[lambda t, y, x: t * (y > 0)],
    ),
    "abs": Primitive(shapes.same, np.abs, vjp=[lambda g, y, x: g * F.sign(x)], jvp=[lambda t, y, x: t * F.sign(x)]),
    "sign": Primitive(shapes.same, np.sign, vjp=[None], jvp=[None]),
    # -- several values become one: along the axes, which keep length 1
    "sum": Primitive(
        shapes.reduced,
        lambda x, out, axis: np.sum(x, axis, out=out, keepdims=True),
        vjp=[lambda g, y, x, axis: F.stretch(g, shape=x.shape)],
        jvp=[lambda t, y, x, axis: F.sum(t, axis=axis)],
    ),
    "max": Primitive(  # along one axis
        shapes.reduced,
        _max,
        vjp=[lambda g, y, x, axis: g * _first_largest(y, x, axis)],
        jvp=[lambda t, y, x, axis: F.sum(t * _first_largest(y, x, axis), axis=axis)],
    ),
    "softmax": Primitive(  # its Jacobian is symmetric
        shapes.same,
        _softmax,
        vjp=[lambda g, y, x, axis: y * (g - F.sum(g * y, axis=axis))],
        jvp=[lambda t, y, x, axis: y * (t - F.sum(t * y, axis=axis))],
        work=shapes.reduced,
    ),
    "cumulative": Primitive(  # sums of all up to each place of one axis
        shapes.same, lambda x, out, axis: np.cumsum(x, axis[0], out=out), vjp=[None], jvp=[None]
    ),
    # -- products of matrices, which are the last two axes; those before stretch
    "matmul": Primitive(
        shapes.product,
        np.matmul,
        vjp=[lambda g, y, a, b: g @ _turned(b), lambda g, y, a, b: _turned(a) @ g],
        jvp=[lambda t, y, a, b: t @ b, lambda t, y, a, b: a @ t],
    ),
    # -- the same values in another shape
    "reshape": Primitive(
        shapes.given,
        _reshape,
        vjp=[lambda g, y, x, shape: F.reshape(g, shape=x.shape)],
        jvp=[lambda t, y, x, shape: F.reshape(t, shape=shape)],
        dense=True,
    ),
    "transpose": Primitive(
        shapes.permuted,
        lambda x, axes: x.transpose(axes),
        vjp=[lambda g, y, x, axes: F.transpose(g, axes=_back(axes))],
        jvp=[lambda t, y, x, axes: F.transpose(t, axes=axes)],
        view=True,
    ),
    "stretch": Primitive(
        shapes.given,
        lambda x, shape: np.broadcast_to(x, shape),
        vjp=[lambda g, y, x, shape: F.total(g, shape=x.shape)],
        jvp=[lambda t, y, x, shape: F.stretch(t, shape=shape)],
        view=True,
    ),
    "total": Primitive(  # the opposite: sums over what was stretched
        shapes.given,
        lambda x, out, shape: sum_to(x, out),
        vjp=[lambda g, y, x, shape: F.stretch(g, shape=x.shape)],
        jvp=[lambda t, y, x, shape: F.total(t, shape=shape)],
    ),
    # -- true or false
    "number": Primitive(shapes.same, lambda x, out: np.copyto(out, x), vjp=[None], jvp=[None], asks=True),
    "greater": _comparison(np.greater),
    "greater_equal": _comparison(np.greater_equal),
    "less": _comparison(np.less),
    "less_equal": _comparison(np.less_equal),
    "equal": _comparison(np.equal),
    "not_equal": _comparison(np.not_equal),
    "both": _comparison(np.logical_and, asks=True),
    "either": _comparison(np.logical_or, asks=True),
    "opposite": _comparison(np.logical_not, asks=True, count=1),
}
"""Every primitive, by name."""
