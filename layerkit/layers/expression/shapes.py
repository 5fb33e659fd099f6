"""What shape each primitive's result has. Raises ExpressionError where the arguments do not fit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from layerkit.blob import Shape, shape_text
from layerkit.errors import ExpressionError
from layerkit.words import counted

MAX_AXES = 32


def broadcast(*shapes: Shape) -> Shape:
    """The one that all stretch to, by numpy's rules."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " and ".join(map(shape_text, shapes))
        raise ExpressionError(f"shapes {listed} do not stretch to a common one") from None


def reduced(x: Shape, *, axis: tuple[int, ...]) -> Shape:
    """Length 1 along the axes that become one number."""
    return tuple(1 if i in axis else length for i, length in enumerate(x))


def same(x: Shape, **settings: object) -> Shape:
    """That of the argument."""
    return x


def given(x: Shape, *, shape: Shape) -> Shape:
    """The one that is asked for."""
    return shape


def permuted(x: Shape, *, axes: tuple[int, ...]) -> Shape:
    """That of the argument, with its axes in another order."""
    return tuple(x[axis] for axis in axes)


def product(a: Shape, b: Shape) -> Shape:
    """That of the product of matrices, which are the last two axes; those before stretch."""
    if a[-1] != b[-2]:
        raise ExpressionError(f"{shape_text(a)} and {shape_text(b)} have no product: {a[-1]} is not {b[-2]}")
    return (*broadcast(a[:-2], b[:-2]), a[-2], b[-1])


# -- settings as people write them ------------------------------------------------------------------------------------


def axes_of(x: Shape, axis: int | Sequence[int] | None) -> tuple[int, ...]:
    """The axes that `axis` names, counted from the front; None is all."""
    if axis is None:
        return tuple(range(len(x)))
    wanted = [axis] if isinstance(axis, int) else list(axis)
    for each in wanted:
        if not -len(x) <= each < len(x):
            raise ExpressionError(f"there is no axis {each} in a shape {shape_text(x)}")
    found = sorted(each % len(x) for each in wanted)
    if len(set(found)) < len(found):
        raise ExpressionError("an axis is named twice")
    return tuple(found)


def order_of(x: Shape, axes: int | Sequence[int] | None) -> tuple[int, ...]:
    """An order of all axes; None is from the back to the front."""
    if axes is None:
        return tuple(reversed(range(len(x))))
    order = [axes] if isinstance(axes, int) else list(axes)
    axes_of(x, order)
    if len(order) != len(x):
        raise ExpressionError(f"a shape {shape_text(x)} has {counted(len(x), 'axis', 'axes')}, but {len(order)} named")
    return tuple(each % len(x) for each in order)


def reshaped(x: Shape, wanted: int | Sequence[int]) -> Shape:
    """The shape that is meant: 0 is the length of the axis at that place, and -1 whatever makes the size come out."""
    lengths = [wanted] if isinstance(wanted, int) else list(wanted)
    if len(lengths) > MAX_AXES:
        raise ExpressionError(f"a shape has at most {MAX_AXES} axes")
    for i, length in enumerate(lengths):
        if length < -1 or (length == 0 and i >= len(x)):
            raise ExpressionError(f"length {length} at place {i} means nothing for a shape {shape_text(x)}")
    shape = [x[i] if length == 0 else length for i, length in enumerate(lengths)]
    size = math.prod(length for i, length in enumerate(x) if lengths[i : i + 1] != [0])  # without what is copied, which
    rest = math.prod(length for length in lengths if length > 0)  # may be an empty batch
    if shape.count(-1) == 1 and size % rest == 0:
        shape[shape.index(-1)] = size // rest
    if -1 in shape or math.prod(shape) != math.prod(x):
        raise ExpressionError(
            f"a shape {shape_text(x)} of {counted(math.prod(x), 'value')} does not fit ({_listed(lengths)})"
        )
    return tuple(shape)


def _listed(lengths: Sequence[int]) -> str:
    return ", ".join(map(str, lengths))
