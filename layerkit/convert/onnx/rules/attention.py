"""Rules of attention, with no operators but the plain ones, which every runtime has."""

from __future__ import annotations

import math

import numpy as np

from layerkit.blob import Array
from layerkit.convert.onnx.here import Here
from layerkit.convert.onnx.rules import rule
from layerkit.convert.onnx.values import Value

UNSEEN = -1e30
"""A score so low that its share is 0, and yet a number, so that a place that sees nothing does not become nan."""


@rule("MultiHeadAttention")
def _multi_head_attention(here: Here, *bottoms: Value) -> Value:
    p = here.params
    masked = len(bottoms) > 1 and len(here.bottoms[-1]) == 2
    parts = bottoms[:-1] if masked else bottoms
    keys = min(1, len(parts) - 1)
    size = here.length(here.bottoms[0][2]) // p.num_heads
    biases = np.split(here.array("in_proj_bias"), 3) if p.bias_term else [None] * 3
    q, k, v = (
        _heads(here, bottoms[i], weight, bias, here.bottoms[i], size)
        for i, weight, bias in zip((0, keys, len(parts) - 1), _weights(here), biases, strict=True)
    )  # (N, H, T or S, D)
    scores = here.op("MatMul", q * (1 / math.sqrt(size)), here.op("Transpose", k, perm=[0, 1, 3, 2]))
    hidden = _hidden(here, bottoms[-1] if masked else None)
    if hidden is None:
        shares = here.op("Softmax", scores, axis=-1)
    else:
        shares = here.op("Softmax", here.op("Where", hidden, UNSEEN, scores), axis=-1)
        shares = here.op("Where", hidden, 0.0, shares)
    context = here.op("Transpose", here.op("MatMul", shares, v), perm=[0, 2, 1, 3])  # (N, T, H, D)
    dims = here.bottoms[0]
    context = here.reshape(context, (*dims[:2], p.num_heads, size), dims)
    y = here.op("MatMul", context, here.op("Transpose", here.weight("out_proj_weight"), perm=[1, 0]))
    return y + here.weight("out_proj_bias") if p.bias_term else y


def _weights(here: Here) -> list[Array]:
    """W_q, W_k and W_v."""
    if here.has("in_proj_weight"):
        return np.split(here.array("in_proj_weight"), 3)
    return [here.array(f"{part}_proj_weight") for part in "qkv"]


def _heads(here: Here, x: Value, weight: Array, bias: Array | None, dims: tuple[int | str, ...], size: int) -> Value:
    """x W^T + b, (N, H, T, D)."""
    y = here.op("MatMul", x, here.constant(weight.T))
    y = y if bias is None else y + here.constant(bias)
    heads = here.reshape(y, (*dims[:2], len(weight)), (*dims[:2], here.params.num_heads, size))
    return here.op("Transpose", heads, perm=[0, 2, 1, 3])


def _hidden(here: Here, mask: Value | None) -> Value | None:
    """Where a place does not see another one, (1 or N, 1, 1 or T, S); None where all see all."""
    found = []
    if mask is not None:
        found.append(here.op("Unsqueeze", here.op("Cast", mask, to=9), [1, 2]))
    if here.params.causal:
        places = here.length(here.bottoms[0][1])
        found.append(here.constant(~np.tri(places, dtype=bool), "bool"))
    return here.op("Or", *found) if len(found) == 2 else found[0] if found else None


@rule("PositionalEmbedding")
def _positional_embedding(here: Here, x: Value) -> Value:
    p, dims = here.params, here.bottoms[0]
    places, channels = dims[-2], here.length(dims[-1])
    if p.kind == "LEARNED":
        end = here.lengths(x, dims, (places,))
        return x + here.op("Slice", here.weight("weight"), [0], end, [0])
    pairs = np.arange(-(-channels // 2))
    rate = here.constant(10000.0 ** (-2 * pairs / channels))
    length = here.op("Squeeze", here.lengths(x, dims, (places,)))
    zero, one = here.constant(0, "int64"), here.constant(1, "int64")
    place = here.numbers(here.op("Range", zero, length, one))
    angles = here.op("Unsqueeze", place, [1]) * rate  # (T, C / 2)
    waves = [here.op("Unsqueeze", here.op(kind, angles), [2]) for kind in ("Sin", "Cos")]
    rows = here.op("Reshape", here.op("Concat", *waves, axis=2), [0, 2 * len(pairs)])
    return x + (rows if channels % 2 == 0 else here.op("Slice", rows, [0], [channels], [1]))
