"""The logistic function, which several layers use."""

from __future__ import annotations

import numpy as np

from layerkit.blob import Array


def logistic(x: Array, out: Array) -> Array:
    """Write 1 / (1 + exp(-x)) to `out`, which may be x, and return it.

    It is computed as (tanh(x / 2) + 1) / 2, which cannot overflow.
    """
    np.multiply(x, 0.5, out=out)
    np.tanh(out, out=out)
    np.multiply(out, 0.5, out=out)
    return np.add(out, 0.5, out=out)
