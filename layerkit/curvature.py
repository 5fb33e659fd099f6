"""Second derivatives of layers: how what a layer's backward pass gives changes where what it reads moves.

Three rules serve: of a layer that is affine in each bottom and weight by itself, as products are; of one that only
chooses and averages elements; and of one that has a formula, an Expression or a layer of which
`layers/expression/formulas.py` gives it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from layerkit.blob import Array, Blob
from layerkit.errors import UsageError
from layerkit.layer import Bottoms, Layer, Tops
from layerkit.layers.expression.formulas import formula_of
from layerkit.tangents import affine, lent_weights

CHOOSING = frozenset({"Eltwise", "Pooling", "SPP"})
"""Types that may be linear as long as they choose the same elements, as a maximum does; see `chooses`."""

Parts = tuple[list[Array | None], dict[str, Array]]
"""What comes to the bottoms (None: nothing), and to the weights."""


def curvature(
    layer: Layer, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], down: Sequence[bool]
) -> Parts:
    """The tangents of the diffs of bottoms and weights, where these move and the tops' diffs stay.

    The weights' tangents are in `layer.weight_tangents`. Raises UsageError for a layer that has no rule.
    """
    if type(layer).jvp is affine:
        return _of_affine(layer, bottom, top, bottom_tangent, down)
    if chooses(layer):
        return [None] * len(bottom), {}
    formula = formula_of(layer, bottom, top)
    if formula is None:
        raise UsageError("there is no second derivative of this type, and something moves that it reads")
    bottoms, weights = formula.curvature(
        [blob.diff for blob in top], bottom_tangent, layer.weight_tangents, bottom[0].dtype
    )
    return [each if goes else None for each, goes in zip(bottoms, down, strict=True)], weights


def chooses(layer: Layer) -> bool:
    """Whether a layer only chooses and averages elements, so that its backward pass does not change near by.

    All pooling does but the stochastic in tests, which weighs each element by its size; of Eltwise the MAX does.
    """
    name = type(layer).__name__
    if name == "Eltwise":
        return bool(layer.params.operation == "MAX")
    return name in CHOOSING and (layer.params.pool != "STOCHASTIC" or layer.phase == "train")


def _of_affine(
    layer: Layer, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], down: Sequence[bool]
) -> Parts:
    """The diffs of all others are affine in each bottom and weight too: moving it by t, they change by d(t) - d(0)."""
    layer.asked = frozenset(name for name in layer.weights.names)
    bottoms = [np.zeros(blob.shape, blob.dtype) if goes else None for blob, goes in zip(bottom, down, strict=True)]
    weights = {name: np.zeros(blob.shape, blob.dtype) for name, blob in layer.weights.items()}

    def add(moved: Mapping[int | str, Array], sign: int) -> None:
        below = [Blob.of(moved.get(i, blob.data)) for i, blob in enumerate(bottom)]
        own = {name: Blob.of(np.asarray(moved.get(name, blob.values))) for name, blob in layer.weights.items()}
        above = [Blob.of(blob.data, blob.diff.copy()) for blob in top]
        with lent_weights(layer, own):
            layer.backward(above, down, below)
        for total, blob in zip(bottoms, below, strict=True):
            if total is not None:
                total += sign * blob.diff
        for name, blob in own.items():
            weights[name] += sign * blob.diff

    tangents: dict[int | str, Array] = {i: t for i, t in enumerate(bottom_tangent) if t is not None}
    tangents.update(layer.weight_tangents.items())
    for argument, tangent in tangents.items():
        add({argument: tangent}, 1)
        add({argument: np.zeros_like(tangent)}, -1)
    return bottoms, weights
