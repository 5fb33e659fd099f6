"""Cases of the vision family. The formulas visit one window at a time, as the definition does."""

import itertools
import math

import numpy as np

from layerkit.checks import Case


def per_axis(params, name, axes, default=None):
    base = name.removesuffix("_size")
    pair = [getattr(params, f"{base}_{side}", None) for side in "hw"]
    values = getattr(params, name) or ([each or 0 for each in pair] if any(pair) else [default])
    return values * axes if len(values) == 1 else values


def convolve(bottoms, weights, params):
    weight, bias = weights[0], weights[1] if len(weights) > 1 else np.zeros(len(weights[0]))
    axis = params.axis % bottoms[0].ndim
    axes = bottoms[0].ndim - axis - 1
    stride, pad, dilation = (
        per_axis(params, name, axes, d) for name, d in (("stride", 1), ("pad", 0), ("dilation", 1))
    )
    tops = []
    for bottom in bottoms:
        images = bottom.reshape(-1, *bottom.shape[axis:])
        padded = np.pad(images, [(0, 0), (0, 0), *((p, p) for p in pad)])
        extent = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]
        starts = [range(0, n - e + 1, s) for n, e, s in zip(padded.shape[2:], extent, stride, strict=True)]
        top = np.zeros((len(images), len(weight), *map(len, starts)))
        outputs, inputs = len(weight) // params.group, weight.shape[1]
        for n, m in itertools.product(range(len(images)), range(len(weight))):
            first = m // outputs * inputs
            for place in np.ndindex(*map(len, starts)):
                window = tuple(
                    slice(s[j], s[j] + e, d) for s, j, e, d in zip(starts, place, extent, dilation, strict=True)
                )
                seen = padded[(n, slice(first, first + inputs), *window)]
                top[(n, m, *place)] = bias[m] + (weight[m] * seen).sum()
        tops.append(top.reshape(*bottom.shape[:axis], *top.shape[1:]))
    return tops


def window_ranges(params, size):
    """For each axis the (start, end) of every window, padding included; it ends before what lies beyond the padding."""
    axes = len(size)
    kernel = list(size) if params.global_pooling else per_axis(params, "kernel_size", axes)
    found = []
    for n, k, s, p in zip(
        size, kernel, per_axis(params, "stride", axes, 1), per_axis(params, "pad", axes, 0), strict=True
    ):
        ranges, start = [], -p
        while start < n and (
            start + k <= n + p if params.round_mode == "FLOOR" else start == -p or start - s + k < n + p
        ):
            ranges.append((start, min(start + k, n + p)))
            start += s
        found.append(ranges)
    return found


def pool(bottoms, weights, params, phase="train"):
    (x,) = bottoms
    size = x.shape[2:]
    ranges = window_ranges(params, size)
    top, mask = np.zeros((2, *x.shape[:2], *map(len, ranges)))
    draws = np.random.default_rng(np.random.SeedSequence(0)).random(top.shape)
    for place in np.ndindex(*top.shape):
        windows = [r[j] for r, j in zip(ranges, place[2:], strict=True)]
        inside = itertools.product(*(range(max(a, 0), min(b, n)) for (a, b), n in zip(windows, size, strict=True)))
        seen = {spot: x[place[:2] + spot] for spot in inside}
        values = np.array(list(seen.values()))
        if params.pool == "MAX":
            best = max(seen, key=seen.get)  # the first of the largest
            top[place], mask[place] = seen[best], np.ravel_multi_index(best, size)
        elif params.pool == "AVE":
            top[place] = values.sum() / math.prod(b - a for a, b in windows)
        elif phase == "train":
            level = (1 - draws[place]) * values.sum()
            top[place] = values[np.argmax(np.cumsum(values) >= level)]
        else:
            top[place] = (values**2).sum() / values.sum()
    return [top, mask]


def pool_max(bottoms, weights, params):
    return pool(bottoms, weights, params)[:1]


def pool_expected(bottoms, weights, params):
    return pool(bottoms, weights, params, phase="test")[:1]


def conv(name, *shapes, **params):
    return Case("Convolution", name, shapes, params, num_tops=len(shapes), formula=convolve)


def pooling(name, shape, *, phase="train", num_tops=1, **params):
    positive = params.get("pool") == "STOCHASTIC"
    formula = pool if num_tops == 2 else pool_expected if phase != "train" else pool_max
    span = (0.1, 2.0) if positive else (-2.0, 2.0)
    return Case("Pooling", name, [shape], params, phase=phase, num_tops=num_tops, formula=formula, span=span)


IMAGES = (2, 3, 5, 7)
AXIS0 = "axis 0 holds the channels"
ALONE = {"kernel_size": 1, "axis": 0}

CASES = [
    conv("2d", IMAGES, num_output=4, kernel_size=3),
    conv("one by one, no bias", IMAGES, num_output=4, kernel_size=1, bias_term=False),
    conv("one by one, as many as elements but elsewhere", IMAGES, num_output=4, kernel_size=1, stride=2, pad=[2, 3]),
    conv("one by one, group", (2, 6, 5, 7), num_output=4, kernel_size=1, group=2),
    conv("stride, pad", IMAGES, num_output=4, kernel_size=3, stride=2, pad=1),
    conv("one value per axis", IMAGES, num_output=4, kernel_size=[2, 3], stride=[3, 2], pad=[2, 1], dilation=[1, 2]),
    conv("h and w", IMAGES, num_output=4, kernel_h=3, kernel_w=2, stride_h=1, stride_w=3, pad_h=2, pad_w=1),
    conv("pad_w alone", IMAGES, num_output=4, kernel_size=2, pad_w=3),
    conv("a pad larger than the kernel", IMAGES, num_output=4, kernel_size=2, pad=4, stride=3),
    conv("a kernel reaching over everything", IMAGES, num_output=4, kernel_size=[5, 7]),
    conv("dilation", IMAGES, num_output=4, kernel_size=2, dilation=3),
    conv("dilation, pad, stride", IMAGES, num_output=4, kernel_size=3, dilation=2, pad=2, stride=3),
    conv("group", (2, 6, 5, 7), num_output=4, kernel_size=3, group=2, pad=1),
    conv("depthwise", (2, 3, 5, 7), num_output=6, kernel_size=2, group=3),
    conv("1d", (2, 3, 11), num_output=4, kernel_size=3, stride=2, pad=1, dilation=2),
    conv("3d", (2, 3, 4, 5, 6), num_output=7, kernel_size=[2, 3, 1], stride=[1, 2, 3], pad=[1, 0, 1]),
    conv("4d", (1, 2, 3, 4, 5, 6), num_output=3, kernel_size=2, stride=2),
    conv("no spatial axes", (2, 3), num_output=4, kernel_size=1),
    Case("Convolution", "channels alone", [(3,)], {**ALONE, "num_output": 4}, formula=convolve, no_zero_rows=AXIS0),
    conv("axis 2", (2, 3, 4, 5, 7), num_output=6, kernel_size=2, axis=2, pad=1),
    conv("axis 3", (2, 3, 4, 5, 7), num_output=6, kernel_size=2, axis=3),
    conv("axis from behind", (2, 3, 4, 5), num_output=6, kernel_size=2, axis=-2),
    Case(
        "Convolution",
        "axis 0",
        [(3, 5, 7)],
        {"num_output": 4, "kernel_size": 2, "axis": 0},
        formula=convolve,
        no_zero_rows=AXIS0,
    ),
    conv("several bottoms", IMAGES, IMAGES, IMAGES, num_output=4, kernel_size=2, stride=2),
    conv("force_nd_im2col", IMAGES, num_output=4, kernel_size=3, force_nd_im2col=True),
    conv(
        "fillers",
        IMAGES,
        num_output=4,
        kernel_size=3,
        weight_filler="msra",
        bias_filler={"type": "constant", "value": 1},
    ),
    conv("more images than are worked on at once", (3, 7, 61, 59), num_output=2, kernel_size=5, stride=[2, 1]),
    pooling("max", IMAGES, kernel_size=2, stride=2),
    pooling("max, ceil", IMAGES, kernel_size=3, stride=2),
    pooling("max, overhang", (2, 3, 4, 8), kernel_size=3, stride=2),
    pooling("max, floor", (2, 3, 4, 8), kernel_size=3, stride=2, round_mode="FLOOR"),
    pooling("max, pad", IMAGES, kernel_size=3, stride=2, pad=1),
    pooling("max, pad, last window clipped", (2, 3, 4, 6), kernel_size=2, stride=2, pad=1),
    pooling("max, pad, mask", IMAGES, kernel_size=3, stride=2, pad=1, num_tops=2),
    pooling("max, overlapping, mask", (2, 3, 4, 8), kernel_size=3, num_tops=2),
    pooling("max, h and w", IMAGES, kernel_h=3, kernel_w=2, stride_h=1, stride_w=3, pad_h=2, pad_w=1),
    pooling("max, one value per axis", IMAGES, kernel_size=[2, 3], stride=[1, 2], pad=[1, 0]),
    pooling("max, kernel larger than the bottom", (2, 3, 4, 5), kernel_size=6, stride=3),
    pooling("max, stride larger than the kernel", (2, 3, 6, 5), kernel_size=1, stride=2, num_tops=2),
    pooling("max, global", IMAGES, global_pooling=True),
    pooling("max, global, mask", IMAGES, global_pooling=True, num_tops=2),
    pooling("max, one padded window", (2, 4, 3, 5), kernel_size=[5, 6], pad=1, stride=3, num_tops=2),
    pooling("max, 1d", (2, 3, 11), kernel_size=3, stride=2, pad=1, num_tops=2),
    pooling("max, 3d", (2, 3, 4, 5, 6), kernel_size=[2, 3, 1], stride=[1, 2, 3], pad=[1, 0, 0], num_tops=2),
    pooling("ave", IMAGES, pool="AVE", kernel_size=3, stride=2),
    pooling("ave, overhang", (2, 3, 4, 8), pool="AVE", kernel_size=3, stride=2),
    pooling("ave, pad", IMAGES, pool="AVE", kernel_size=3, stride=2, pad=1),
    pooling("ave, pad, overhang", (2, 3, 6, 8), pool="AVE", kernel_size=3, stride=2, pad=1),
    pooling("ave, floor", (2, 3, 6, 8), pool="AVE", kernel_size=3, stride=2, pad=1, round_mode="FLOOR"),
    pooling("ave, global", IMAGES, pool="ave", global_pooling=True),
    pooling("ave, one padded window", (2, 4, 3, 5), pool="AVE", kernel_size=[5, 6], pad=1, stride=3),
    pooling("ave, 1d", (2, 3, 11), pool="AVE", kernel_size=4, stride=3, pad=2),
    pooling("ave, 3d", (2, 3, 4, 5, 6), pool="AVE", kernel_size=[2, 3, 4], stride=[1, 2, 3], pad=[1, 0, 2]),
    pooling("stochastic", IMAGES, pool="STOCHASTIC", kernel_size=3, stride=2),
    pooling("stochastic, overhang", (2, 3, 4, 8), pool="STOCHASTIC", kernel_size=3, stride=2),
    pooling("stochastic, global", IMAGES, pool="STOCHASTIC", global_pooling=True),
    pooling("stochastic, 3d", (2, 3, 4, 5, 6), pool="STOCHASTIC", kernel_size=2),
    pooling("stochastic, test", IMAGES, phase="test", pool="STOCHASTIC", kernel_size=3, stride=2),
    pooling("stochastic, predict", (2, 3, 4, 8), phase="predict", pool="STOCHASTIC", kernel_size=3, stride=2),
    pooling("stochastic, test, global", IMAGES, phase="test", pool="STOCHASTIC", global_pooling=True),
    pooling("stochastic, test, 1d", (2, 3, 11), phase="test", pool="STOCHASTIC", kernel_size=2),
]
