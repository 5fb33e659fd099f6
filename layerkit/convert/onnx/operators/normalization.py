"""Normalizations."""

from __future__ import annotations

import numpy as np

from layerkit.blob import Array
from layerkit.convert.onnx.building import Known
from layerkit.convert.onnx.operators import At, reads
from layerkit.convert.onnx.operators.elementwise import short


@reads("BatchNormalization")
def _batch_normalization(at: At) -> Known:
    node = at.node
    node.need("training_mode", 0, 0)
    node.need("spatial", 1, 1)
    scale, bias, mean, variance = (node.needed(i) for i in range(1, 5))
    weights = {"mean": mean, "variance": variance, "scale_factor": np.ones(1), "scale": scale, "bias": bias}
    plain = bool(np.all(scale == 1) and np.all(bias == 0))
    eps = short(node.attribute("epsilon", 1e-5))
    return at.add("BatchNorm", at.blob(0), eps=eps, scale_bias=not plain, weights=weights)


@reads("InstanceNormalization")
def _instance_normalization(at: At) -> Known:
    weights = {"scale": at.node.needed(1), "bias": at.node.needed(2)}
    eps = short(at.node.attribute("epsilon", 1e-5))
    return at.add("GroupNorm", at.blob(0), num_groups=len(weights["scale"]), eps=eps, weights=weights)


@reads("GroupNormalization")
def _group_normalization(at: At) -> Known:
    node, x = at.node, at.blob(0)
    weights = {"scale": node.needed(1), "bias": node.needed(2)}
    groups = node.attribute("num_groups", 1)
    if len(weights["scale"]) != x.shape[1]:  # version 18 had one for each group
        weights = {name: np.repeat(each, x.shape[1] // groups) for name, each in weights.items()}
    return at.add("GroupNorm", x, num_groups=groups, eps=short(node.attribute("epsilon", 1e-5)), weights=weights)


@reads("LayerNormalization")
def _layer_normalization(at: At) -> Known:
    node, x = at.node, at.blob(0)
    axis = node.attribute("axis", -1)
    shape = x.shape[axis % x.rank :]
    bias = node.array(2)
    weights: dict[str, Array] = {"scale": np.broadcast_to(node.needed(1), shape)}
    weights["bias"] = np.broadcast_to(np.zeros(1) if bias is None else bias, shape)
    return at.add("LayerNorm", x, axis=axis, eps=short(node.attribute("epsilon", 1e-5)), weights=weights)


@reads("RMSNormalization")
def _rms_normalization(at: At) -> Known:
    node, x = at.node, at.blob(0)
    axis = node.attribute("axis", -1)
    weights = {"scale": np.broadcast_to(node.needed(1), x.shape[axis % x.rank :])}
    return at.add("RMSNorm", x, axis=axis, eps=short(node.attribute("epsilon", 1e-5)), weights=weights)


@reads("LRN")
def _lrn(at: At) -> Known:
    node = at.node
    alpha, beta, k = (short(node.attribute(*each)) for each in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)))
    return at.add("LRN", at.blob(0), local_size=node.attribute("size", 5), alpha=alpha, beta=beta, k=k)
