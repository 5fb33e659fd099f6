"""Rules of the poolings. Windows are written out with their padding, as ONNX's runtimes round in different ways."""

from __future__ import annotations

import math

import numpy as np

from layerkit.convert.onnx.here import Here
from layerkit.convert.onnx.rules import rule
from layerkit.convert.onnx.values import Value
from layerkit.layers.vision.window import Windows


@rule("Pooling")
def _pooling(here: Here, x: Value) -> Value | list[Value]:
    windows: Windows = here.layer.windows(here.shape(0, 2))  # type: ignore[attr-defined]
    if here.layer.num_tops == 1:
        return _pooled(here, x, windows, here.params.pool)
    top, places = here.ops(2, "MaxPool", x, **_sides(windows))  # places in the whole array, row by row
    inside = here.op("Mod", places, here.constant(math.prod(windows.size), "int64"))
    return [top, here.numbers(inside)]


@rule("SPP")
def _spp(here: Here, x: Value) -> Value:
    levels, shape = here.params.pyramid_height, here.shape(0, 2)
    parts = []
    for level in range(levels):
        pooling = here.layer._pooling(level, shape)  # type: ignore[attr-defined]
        part = _pooled(here, x, pooling.windows(shape), here.params.pool)
        parts.append(part if levels == 1 else here.op("Flatten", part, axis=1))
    return parts[0] if levels == 1 else here.op("Concat", *parts, axis=1)


@rule("ROIPooling")
def _roi_pooling(here: Here, x: Value, regions: Value) -> Value:
    p, dims = here.params, here.bottoms[1]
    here.opset = 21  # the last in which runtimes have MaxRoiPool
    grid = {"pooled_shape": [p.pooled_h, p.pooled_w], "spatial_scale": float(p.spatial_scale)}
    return here.op("MaxRoiPool", x, here.reshape(regions, dims, (dims[0], 5)), **grid)


def _pooled(here: Here, x: Value, windows: Windows, pool: str) -> Value:
    """One number of each window; STOCHASTIC is what it is outside of training."""
    if len(windows.size) > 3:
        here.impossible(f"its pooling has three spatial axes at the most, not {len(windows.size)}")
    if pool == "MAX":
        return here.op("MaxPool", x, **_sides(windows))
    if pool == "AVE":
        mean = here.op("AveragePool", x, count_include_pad=1, **_sides(windows))
        share = math.prod(windows.kernel) / windows.areas  # what lies beyond the padding does not count
        return mean if np.all(share == 1) else mean * share.astype(np.float32)
    squares = here.op("AveragePool", here.op("Mul", x, x), count_include_pad=1, **_sides(windows))
    mean = here.op("AveragePool", x, count_include_pad=1, **_sides(windows))
    return here.op("Where", here.op("Equal", mean, 0.0), 0.0, here.op("Div", squares, mean))


def _sides(windows: Windows) -> dict[str, list[int]]:
    """Kernel, strides and padding: before as given, and behind what the last window needs."""
    behind = [
        max(0, (count - 1) * stride + kernel - size - pad)
        for size, count, kernel, stride, pad in zip(
            windows.size, windows.count, windows.kernel, windows.stride, windows.pad, strict=True
        )
    ]
    kernel, stride = list(windows.kernel), list(windows.stride)
    return {"kernel_shape": kernel, "strides": stride, "pads": [*windows.pad, *behind]}
