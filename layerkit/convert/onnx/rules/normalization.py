"""Rules of the normalizations."""

from __future__ import annotations

import math

import numpy as np

from layerkit.convert.onnx.here import Here
from layerkit.convert.onnx.rules import rule
from layerkit.convert.onnx.values import Value


@rule("BatchNorm")
def _batch_norm(here: Here, x: Value) -> Value:
    p, rank = here.params, len(here.bottoms[0])
    channels = here.array("mean").shape[0]
    scale = here.weight("scale") if p.scale_bias else here.constant(np.ones(channels))
    bias = here.weight("bias") if p.scale_bias else here.constant(np.zeros(channels))
    if not here.layer.global_statistics:  # type: ignore[attr-defined]
        here.notes.append("it measures each batch, and its stored statistics stay as they are")
        n = _standardized(here, x, [axis for axis in range(rank) if axis != 1], p.eps)
        axes = 1 if rank > 1 else 0
        scale, bias = (here.stretched(each, 1, axes, rank) for each in (scale, bias))
        return n * scale + bias if p.scale_bias else n
    mean, variance = np.empty((2, channels), np.float32)
    here.layer.read_statistics(mean, variance)  # type: ignore[attr-defined]
    stored = [here.constant(mean), here.constant(variance)]
    if rank == 1:  # one channel, which ONNX's operator wants to be an axis
        column = here.op("Unsqueeze", x, [1])
        y = here.op("BatchNormalization", column, scale, bias, *stored, epsilon=float(p.eps))
        return here.op("Squeeze", y, [1])
    return here.op("BatchNormalization", x, scale, bias, *stored, epsilon=float(p.eps))


@rule("Bias")
def _bias(here: Here, x: Value, *others: Value) -> Value:
    return x + _small(here, "bias", others)


@rule("Scale")
def _scale(here: Here, x: Value, *others: Value) -> Value:
    y = x * _small(here, "scale", others)
    return y + _small(here, "bias", ()) if here.params.bias_term else y


def _small(here: Here, name: str, others: tuple[Value, ...]) -> Value:
    """The smaller array, a weight or bottom 1, so that it lies along x."""
    small = others[0] if others else here.weight(name)
    axes = len(here.bottoms[1]) if others else here.array(name).ndim
    return here.stretched(small, axes, here.params.axis, len(here.bottoms[0]))


@rule("GroupNorm")
def _group_norm(here: Here, x: Value) -> Value:
    p, dims, channels = here.params, here.bottoms[0], here.length(here.bottoms[0][1])
    grouped = (dims[0], p.num_groups, channels // p.num_groups, *dims[2:])
    n = _standardized(here, here.reshape(x, dims, grouped), range(2, len(grouped)), p.eps)
    y = here.reshape(n, grouped, dims)
    if not p.affine:
        return y
    scale, bias = (here.stretched(here.weight(name), 1, 1, len(dims)) for name in ("scale", "bias"))
    return y * scale + bias


@rule("LayerNorm")
def _layer_norm(here: Here, x: Value) -> Value:
    p, rank = here.params, len(here.bottoms[0])
    if not p.affine:
        return _standardized(here, x, range(p.axis % rank, rank), p.eps)
    scale, bias = here.weight("scale"), here.weight("bias")
    return here.op("LayerNormalization", x, scale, bias, axis=p.axis, epsilon=float(p.eps))


@rule("RMSNorm")
def _rms_norm(here: Here, x: Value) -> Value:
    p, rank = here.params, len(here.bottoms[0])
    square = here.op("ReduceMean", here.op("Mul", x, x), list(range(p.axis % rank, rank)))
    n = x / here.op("Sqrt", square + p.eps)
    return n * here.weight("scale") if p.affine else n


@rule("LRN")
def _lrn(here: Here, x: Value) -> Value:
    p, dims, axes = here.params, here.bottoms[0], len(here.bottoms[0]) - 2
    size = p.local_size
    if p.norm_region == "WITHIN_CHANNEL":
        sides = {"kernel_shape": [size] * axes, "pads": [size // 2] * 2 * axes, "count_include_pad": 1}
        mean = here.op("AveragePool", here.op("Mul", x, x), **sides)
        return here.op("Div", x, (mean * p.alpha + 1.0) ** p.beta)
    image = dims if axes == 2 else (*dims[:2], 1, math.prod(here.shape(0, 2)[2:]))  # which runtimes expect
    x = here.reshape(x, dims, image)
    if p.alpha > 0 and p.beta > 0:
        y = here.op("LRN", x, size=size, alpha=float(p.alpha), beta=float(p.beta), bias=float(p.k))
    else:  # which runtimes refuse: the mean over neighbouring channels, as that over places
        turned = here.op("Transpose", here.op("Mul", x, x), perm=[0, 2, 1, 3])
        mean = here.op("AveragePool", turned, kernel_shape=[size, 1], pads=[size // 2, 0] * 2, count_include_pad=1)
        y = here.op("Div", x, (here.op("Transpose", mean, perm=[0, 2, 1, 3]) * p.alpha + p.k) ** p.beta)
    return here.reshape(y, image, dims)


@rule("MVN")
def _mvn(here: Here, x: Value) -> Value:
    p, rank = here.params, len(here.bottoms[0])
    axes = list(range(1 if p.across_channels else 2, rank))
    if not axes:  # each number is its own mean
        return here.op("Sub", x, x)
    centred = here.op("Sub", x, here.op("ReduceMean", x, axes))
    if not p.normalize_variance:
        return centred
    std = here.op("Sqrt", here.op("ReduceMean", here.op("Mul", centred, centred), axes))
    return here.op("Div", centred, std + p.eps)


@rule("Normalize")
def _normalize(here: Here, x: Value) -> Value:
    p, rank = here.params, len(here.bottoms[0])
    axes = list(range(1, rank)) if p.across_spatial else [1]
    norm = here.op("Sqrt", here.op("ReduceSumSquare", x, axes) + p.eps)
    return x / norm * here.stretched(here.weight("scale"), 0 if p.channel_shared else 1, 1, rank)


def _standardized(here: Here, x: Value, axes: range | list[int], eps: float) -> Value:
    """x with mean 0 and variance 1 over these axes."""
    centred = here.op("Sub", x, here.op("ReduceMean", x, list(axes)))
    variance = here.op("ReduceMean", here.op("Mul", centred, centred), list(axes))
    return centred / here.op("Sqrt", variance + eps)
