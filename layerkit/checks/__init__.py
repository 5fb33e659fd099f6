"""Numeric checks for anyone who writes a layer: one `Case` a row of a table, one function a promise of the contract.

    leaky = lambda bottoms, weights, params: [np.maximum(bottoms[0], 0.1 * bottoms[0])]
    check_layer(Case("ReLU", "leaky", [(2, 3, 4, 5)], {"negative_slope": 0.1}, formula=leaky))

A check that fails raises CheckFailed, an AssertionError, with a sentence that names the layer, the case, the array, its
worst element and both values. `check_layer` runs all of `CHECKS`; each can be called alone. `check_engine` compares an
engine's kernel with the layer's own code.

Everything a layer may not rely on is filled with NaN before each call (integers with their least value): tops and diffs
that it must overwrite, scratch whose contents are arbitrary. So an element that was left out or added to shows.
"""

from layerkit.checks.case import Case, CheckFailed, Prepared, poison, prepare
from layerkit.checks.engine import check_engine
from layerkit.checks.layers import (
    CHECKS,
    check_by_rows,
    check_channels_last,
    check_float32,
    check_forward,
    check_gradient,
    check_in_place,
    check_jvp,
    check_layer,
    check_plan,
    check_reads,
    check_untouched,
    check_zero_rows,
)

__all__ = [
    "CHECKS",
    "Case",
    "CheckFailed",
    "Prepared",
    "check_by_rows",
    "check_channels_last",
    "check_engine",
    "check_float32",
    "check_forward",
    "check_gradient",
    "check_in_place",
    "check_jvp",
    "check_layer",
    "check_plan",
    "check_reads",
    "check_untouched",
    "check_zero_rows",
    "poison",
    "prepare",
]
