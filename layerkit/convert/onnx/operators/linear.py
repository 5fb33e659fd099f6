"""Matrix products."""

from __future__ import annotations

import numpy as np

from layerkit.convert.onnx.building import Known
from layerkit.convert.onnx.operators import At, reads


@reads("Gemm")
def _gemm(at: At) -> Known:
    node, x = at.node, at.blob(0)
    node.need("transA", 0, 0)
    alpha, beta = node.attribute("alpha", 1.0), node.attribute("beta", 1.0)
    weight = node.needed(1) * np.float32(alpha)
    weight = weight if node.attribute("transB", 0) else weight.T
    bias = node.array(2)
    if bias is None:
        return at.add("InnerProduct", x, num_output=len(weight), bias_term=False, weights={"weight": weight})
    bias = np.broadcast_to(np.squeeze(bias) if bias.size > 1 else bias.ravel(), (len(weight),)) * np.float32(beta)
    return at.add("InnerProduct", x, num_output=len(weight), weights={"weight": weight, "bias": bias})


@reads("MatMul")
def _mat_mul(at: At) -> Known:
    a, b = at.blob(0), at.node.inputs[1]
    if isinstance(b, Known) or b is None or b.ndim != 2 or a.rank < 2:
        return at.add("MatMul", a, at.blob(1))
    weights = {"weight": b.T}
    return at.add("InnerProduct", a, num_output=b.shape[1], bias_term=False, axis=a.rank - 1, weights=weights)
