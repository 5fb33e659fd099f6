"""What the layers share in which a smaller array stretches over axes of a larger one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import canonical_axis


def small_shape(bottoms: Sequence[Shape], axis: int, num_axes: int) -> Shape:
    """The shape of the smaller array: bottom 1's, or without one that of a weight over `num_axes` axes of bottom 0.

    Both begin at `axis`; a scalar needs none. Raises ShapeError where there are no such axes, or bottom 1 is no match.
    """
    x = bottoms[0]
    if len(bottoms) == 1:
        if not num_axes:
            return ()
        first = canonical_axis(axis, x)
        if first + num_axes > len(x):
            raise ShapeError(f"num_axes {num_axes} from axis {first} on are more than {shape_text(x)} has", "num_axes")
        return x[first:] if num_axes == -1 else x[first : first + num_axes]
    small = bottoms[1]
    if small:
        first = canonical_axis(axis, x)
        if x[first : first + len(small)] != small:
            raise ShapeError(
                f"bottom 1 must have the shape of axes of bottom 0 from axis {first} on, "
                f"but bottom 0 is {shape_text(x)} and bottom 1 is {shape_text(small)}",
                "bottom",
            )
    return small


def along_rows(small: Shape, axis: int, x: Shape) -> bool:
    """Whether `small`, which lies along axes of x from `axis` on, lies along the first."""
    return bool(small) and canonical_axis(axis, x) == 0


def stretched(small: Array, axis: int, x: Array) -> Array:
    """A view of `small`, which lies along axes of x from `axis` on, with axes of length 1 behind: it stretches to x."""
    if not small.ndim:
        return small
    behind = x.ndim - canonical_axis(axis, x.shape) - small.ndim
    return small[(..., *(None for _ in range(behind)))]


def sum_to(values: Array, out: Array) -> None:
    """`out` = the sum of `values` over the axes that `out` lacks in front, and those along which it has length 1.

    It is the gradient of what stretches over these axes.
    """
    lacks = values.ndim - out.ndim
    whole = out[(None,) * lacks] if lacks else out
    axes = tuple(i for i, length in enumerate(whole.shape) if length == 1)
    np.sum(values, axes, keepdims=True, out=whole)
