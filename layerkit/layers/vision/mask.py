"""Masks: the place in a plane of each element of a smaller one, as Pooling's second top says where maxima lay.

A place is counted row by row. Upsample and Unpooling put elements back to their places.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import DataError


def check_mask(mask: Array, size: Shape) -> None:
    """Raise DataError unless each element of `mask` is a place in a plane of this size."""
    right = (mask >= 0) & (mask < math.prod(size)) & (mask % 1 == 0)
    if not right.all():
        position = tuple(int(i) for i in np.argwhere(~right)[0])
        raise DataError(
            f"the mask's {mask[position]:g} at position {position} is no place in a plane of {shape_text(size)}, "
            f"whose places are 0..{math.prod(size) - 1}: does the mask come from a pooling of that size?"
        )


def put(x: Array, mask: Array, y: Array) -> None:
    """y[n, c, mask[n, c, j]] = x[n, c, j], and 0 elsewhere. Of several x with one place the last remains."""
    y[...] = 0
    for image, places, larger in zip(x, mask, y, strict=True):
        larger[_indices(places, larger.shape)] = image.reshape(len(image), -1)


def take(y: Array, mask: Array, last: Array, x: Array) -> None:
    """The transpose of `put`: x[n, c, j] = y[n, c, mask[n, c, j]], but 0 where another x has overwritten it.

    `last` is integers to work in, (C, size...) as one image of y.
    """
    for image, places, larger in zip(x, mask, y, strict=True):
        indices = _indices(places, larger.shape)
        order = np.arange(math.prod(image.shape[1:]))
        last[indices] = order
        image[...] = np.where(last[indices] == order, larger[indices], 0).reshape(image.shape)


def _indices(places: Array, shape: Shape) -> tuple[Any, ...]:
    """The places of one image (C, size...) as indices of an array of this shape, each (C, elements)."""
    flat = places.reshape(len(places), -1).astype(np.intp)
    return np.arange(len(places))[:, np.newaxis], *np.unravel_index(flat, shape[1:])
