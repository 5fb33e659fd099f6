"""Rules of matrix products."""

from __future__ import annotations

import math

from layerkit.convert.onnx.here import Here
from layerkit.convert.onnx.rules import rule
from layerkit.convert.onnx.values import Value


@rule("InnerProduct")
def _inner_product(here: Here, x: Value) -> Value:
    p, (dims,), (top,) = here.params, here.bottoms, here.tops
    axis = p.axis % len(dims)
    weight, bias = here.weight("weight"), here.weight("bias") if p.bias_term else None
    inputs = math.prod(here.shape(0, axis)[axis:])
    if axis < 2:  # one row a sample, which is what Gemm takes
        x = here.op("Flatten", x, axis=axis) if len(dims) != 2 or axis != 1 else x
        y = here.op("Gemm", x, weight, bias, transB=0 if p.transpose else 1)
        return y if axis == 1 else here.reshape(y, (1, p.num_output), top)
    x = here.reshape(x, dims, (*dims[:axis], inputs))
    y = here.op("MatMul", x, weight if p.transpose else here.op("Transpose", weight, perm=[1, 0]))
    return y if bias is None else y + bias


@rule("Embed")
def _embed(here: Here, x: Value) -> Value:
    rows = here.op("Gather", here.weight("weight"), here.integers(x))
    return rows + here.weight("bias") if here.params.bias_term else rows


@rule("MatMul")
def _mat_mul(here: Here, a: Value, b: Value) -> Value:
    p, (first, second) = here.params, here.bottoms
    a = turned(here, a, len(first)) if p.transpose_a else a
    b = turned(here, b, len(second)) if p.transpose_b else b
    return here.op("MatMul", a, b)


def turned(here: Here, x: Value, rank: int) -> Value:
    """x with its last two axes in each other's place."""
    return here.op("Transpose", x, perm=[*range(rank - 2), rank - 1, rank - 2])
