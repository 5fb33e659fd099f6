"""Mean 0 and variance 1 over some axes, and the gradient through that: what several normalizations have in common."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from layerkit.blob import Array
from layerkit.layer import Layer

Axes = tuple[int, ...]


def average(values: Array, axes: Axes, out: Array) -> None:
    """Means over the axes, which keep length 1 in `out`; summed in float64, as there may be millions of values."""
    out[...] = np.mean(values, axes, dtype=np.float64, keepdims=True)


def standardize(x: Array, axes: Axes, eps: float, out: Array, std: Array, work: Array) -> None:
    """out = (x - mean) / std with std = sqrt(variance + eps); `out` may lie where x does, `work` has its shape."""
    average(x, axes, std)
    np.subtract(x, std, out=out)
    average(np.square(out, out=work), axes, std)
    std += eps
    np.sqrt(std, out=std)
    np.divide(out, std, out=out)


def standardize_backward(dy: Array, y: Array, axes: Axes, std: Array, out: Array, means: Array, work: Array) -> None:
    """out = (dy - mean(dy) - y * mean(dy * y)) / std, for y = standardize(x); `out` may lie where dy does.

    The mean and the variance each take out of dy what would move them: its share along 1, and along y.
    """
    average(np.multiply(dy, y, out=work), axes, means)
    np.multiply(y, means, out=work)
    average(dy, axes, means)
    np.subtract(dy, means, out=out)
    np.subtract(out, work, out=out)
    np.divide(out, std, out=out)


def scaled_tangent(layer: Layer, n: Array, out: Array, stretched: Callable[[Array], Array]) -> None:
    """Turn n's tangent, in `out`, into that of y = n * scale + bias; `stretched` makes a weight stretch over n."""
    out *= stretched(layer.weights["scale"].values)
    for name, factor in (("scale", n), ("bias", 1)):
        if name in layer.weight_tangents:
            out += factor * stretched(layer.weight_tangents[name])
