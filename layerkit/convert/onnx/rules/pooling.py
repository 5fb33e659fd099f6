"""Rules of the poolings. Windows are written out with their padding, as ONNX's runtimes round in different ways."""

from __future__ import annotations

import math

import numpy as np

from layerkit.convert.onnx.here import Here
from layerkit.convert.onnx.rules import rule
from layerkit.convert.onnx.values import Value
from layerkit.layers.vision.psroi_pooling import LEAST
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


@rule("PSROIPooling")
def _psroi_pooling(here: Here, x: Value, regions: Value) -> Value:
    """Which rows and which columns lie in each bin, as matrices of 0 and 1 that features are multiplied with."""
    p, dims = here.params, here.bottoms
    height, width = here.shape(0, 2)[2:]
    depth, side, count = p.output_dim, p.group_size, dims[1][0]
    image, *corners = here.ops(5, "Split", here.reshape(regions, dims[1], (count, 5)), None, axis=1, num_outputs=5)
    maps = here.reshape(x, dims[0], (dims[0][0], depth, side, side, height, width))
    own = here.op("Gather", maps, here.op("Squeeze", here.integers(image), [1]))  # (R, D, G, G, H, W)
    left, up, right, down = (
        here.op("Mul", here.op("Sign", each), here.op("Floor", here.op("Abs", each) + 0.5)) for each in corners
    )
    rows = _in_bins(here, up, down, height)  # (R, G, H)
    columns = _in_bins(here, left, right, width)  # (R, G, W)
    summed = here.op("MatMul", here.op("Unsqueeze", rows, [1, 3, 4]), own)  # (R, D, G, G, 1, W)
    summed = here.op("MatMul", summed, here.op("Unsqueeze", columns, [1, 2, 5]))  # (R, D, G, G, 1, 1)
    high, wide = (here.op("ReduceSum", each, [2], keepdims=0) for each in (rows, columns))  # (R, G)
    area = here.op("Mul", here.op("Unsqueeze", high, [2]), here.op("Unsqueeze", wide, [1]))  # (R, G, G)
    return here.op("Squeeze", summed, [4, 5]) / here.op("Unsqueeze", here.op("Max", area, 1.0), [1])


def _in_bins(here: Here, first: Value, last: Value, size: int) -> Value:
    """1 where an element of an axis lies in a bin, else 0, (R, G, size), from the ends of regions (R, 1)."""
    p = here.params
    begin = first * p.spatial_scale
    length = here.op("Max", (last + 1.0) * p.spatial_scale - begin, LEAST) / p.group_size
    bins, places = np.arange(p.group_size + 1, dtype=np.float32), np.arange(size, dtype=np.float32)
    edges = here.op("Mul", length, here.constant(bins)) + begin  # (R, G + 1)
    starts = here.op("Floor", here.op("Slice", edges, [0], [-1], [1]))
    ends = here.op("Ceil", here.op("Slice", edges, [1], [p.group_size + 1], [1]))
    behind = here.op("GreaterOrEqual", here.constant(places), here.op("Unsqueeze", starts, [2]))
    before = here.op("Less", here.constant(places), here.op("Unsqueeze", ends, [2]))
    return here.numbers(here.op("And", behind, before))


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
