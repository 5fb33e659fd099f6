"""Clipping: keeps gradients from growing too great, by value, by each layer's norm, and by the norm of all."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from layerkit.blob import Array
from layerkit.spec import SolverSpec
from layerkit.weights import WeightStore


def clip(spec: SolverSpec, stores: Sequence[WeightStore]) -> None:
    """Clip the gradients in the stores' `diff`, sums over iter_size batches, in this order as far as asked for:

    clip_value        each number to [-clip_value, clip_value]
    clip_layer_norm   all gradients of one layer's weights scaled so that their joint L2 norm is at most this
    clip_gradients    all gradients scaled so that their joint L2 norm is at most this

    The last is Caffe's, which bounds the sum over iter_size; the others bound the mean. Weight decay comes after.
    A weight that several layers share counts as the first one's.
    """
    for flat in stores:
        if spec.clip_value is not None:
            limit = spec.clip_value * spec.iter_size
            np.clip(flat.diff, -limit, limit, out=flat.diff)
        if spec.clip_layer_norm is not None:
            for _, slots in itertools.groupby(flat.trained, key=lambda slot: slot.layer):
                spans = [slot.span for slot in slots]  # one after the other in the flat array
                _shorten([flat.diff[spans[0].start : spans[-1].stop]], spec.clip_layer_norm * spec.iter_size)
    if spec.clip_gradients is not None:
        _shorten([flat.diff for flat in stores], spec.clip_gradients)


def _shorten(gradients: Sequence[Array], limit: float) -> None:
    """Scale gradients in place so that their joint L2 norm is at most `limit`."""
    norm = math.sqrt(sum(float(np.dot(each, each)) for each in gradients))
    if norm > limit:
        for each in gradients:
            np.multiply(each, limit / norm, out=each)
