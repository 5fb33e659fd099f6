"""Forward mode for whole families of layers: rules that a layer takes over by a line, `jvp = affine`.

Each follows from what the layer computes anyway. None of them is quick; a training step uses none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from layerkit.blob import Array, Blob, Weights
from layerkit.layer import Bottoms, Layer, Tops

Tangents = Sequence[Array | None]


def affine(layer: Layer, bottom: Bottoms, top: Tops, bottom_tangent: Tangents, top_tangent: Sequence[Array]) -> None:
    """Of a layer that is affine in each bottom and weight by itself, as products and sums are.

    Moving x alone by t, f changes by f(t) - f(0), exactly; what the bottoms and weights add to the tangents is summed.
    """
    for out in top_tangent:
        out[...] = 0
    for i, tangent in enumerate(bottom_tangent):
        if tangent is not None:
            for value, sign in ((tangent, 1), (np.zeros_like(tangent), -1)):
                moved = [Blob.of(value) if i == j else blob for j, blob in enumerate(bottom)]
                _add_forward(layer, moved, top, sign, top_tangent)
    affine_weights(layer, bottom, top, top_tangent)


def affine_weights(layer: Layer, bottom: Bottoms, top: Tops, top_tangent: Sequence[Array]) -> None:
    """Add what the weights' tangents do, of a layer that is affine in each weight by itself."""
    for name, tangent in layer.weight_tangents.items():
        for value, sign in ((tangent, 1), (np.zeros_like(tangent), -1)):
            with lent_weights(layer, {name: Blob.of(value)}):
                _add_forward(layer, bottom, top, sign, top_tangent)


def symmetric(layer: Layer, bottom: Bottoms, top: Tops, bottom_tangent: Tangents, top_tangent: Sequence[Array]) -> None:
    """Of a layer of one bottom whose Jacobian is its own transpose: what backward makes of the tangent.

    Those of layers that work element by element are, as they are diagonal; a softmax's is. In its weights the layer is
    affine.
    """
    (out,), (tangent,) = top_tangent, bottom_tangent
    out[...] = 0
    if tangent is not None:
        before, layer.asked = layer.asked, frozenset()
        layer.backward([Blob.of(top[0].data, tangent)], [True], [Blob.of(bottom[0].data, out)])
        layer.asked = before
    affine_weights(layer, bottom, top, top_tangent)


def scalar(layer: Layer, bottom: Bottoms, top: Tops, bottom_tangent: Tangents, top_tangent: Sequence[Array]) -> None:
    """Of a layer whose top 0 is one number, as a loss: its gradients, times the tangents. Other tops are left alone."""
    moving = [tangent is not None for tangent in bottom_tangent]
    bottoms = [Blob.of(blob.data) for blob in bottom]
    tops = [Blob.of(blob.data, np.full(blob.shape, i == 0, blob.dtype)) for i, blob in enumerate(top)]
    before, layer.asked = layer.asked, frozenset(layer.weight_tangents)
    with lent_weights(layer, {name: Blob.of(layer.weights[name].values) for name in layer.asked}):
        layer.backward(tops, moving, bottoms)
        gradients = [blob.diff for blob in bottoms] + [layer.weights[name].diff for name in layer.weight_tangents]
    layer.asked = before
    tangents = [*bottom_tangent, *layer.weight_tangents.values()]
    pairs = zip(gradients, tangents, strict=True)
    top_tangent[0][...] = sum(np.vdot(gradient, tangent) for gradient, tangent in pairs if tangent is not None)


@contextmanager
def lent_weights(layer: Layer, blobs: Mapping[str, Blob]) -> Iterator[None]:
    """Let a layer work with these blobs in the place of its weights of the same names."""
    own = layer.weights
    layer.weights = Weights({name: blobs.get(name, blob) for name, blob in own.items()})
    try:
        yield
    finally:
        layer.weights = own


def _add_forward(layer: Layer, bottom: Bottoms, top: Tops, sign: int, out: Sequence[Array]) -> None:
    tops = [Blob(blob.shape, blob.dtype) for blob in top]
    layer.forward(bottom, tops)
    for total, blob in zip(out, tops, strict=True):
        total += sign * blob.data
