"""Central differences of a lone layer's tops, projected on their diffs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from layerkit.blob import Array
from layerkit.checks.case import Prepared

STEP = 1e-5
"""How far a value moves to each side, in float64."""
_ROUNDING = 16 * float(np.finfo(np.float64).eps)
"""How far off a layer's sums may be, relative to the values that they add up to."""


def slope(
    lone: Prepared, base: Iterable[Array], data: Array, at: Any, by: Any, step: float = STEP
) -> tuple[float, float]:
    """The derivative of <top diffs, tops> where `data[at]` moves along `by`, and how far off it may be.

    `base` are the tops where nothing moves. The second number is twice what the slopes to both sides differ by, which
    is much where the function has a kink near the point, or what rounding may do to it if that is more. `data` is as
    it was afterwards.
    """
    kept, ends = data[at].copy(), []
    for sign in (1, -1):
        data[at] = kept + sign * step * by
        ends.append(list(lone.forward().values()))
    data[at] = kept
    central = bend = size = 0.0
    for blob, middle, above, below in zip(lone.top, base, *ends, strict=True):
        apart = above - below  # first, so that what does not move adds no rounding
        central += float(np.vdot(blob.diff, apart))
        bend += float(np.vdot(blob.diff, above - middle + (below - middle)))
        size += float(np.vdot(abs(blob.diff), np.where(apart != 0, abs(middle), 0)))
    return central / (2 * step), max(2 * abs(bend), _ROUNDING * size) / step
