"""Cases of SPP, Interp, Upsample, Unpooling and ROIPooling: each element by the definition."""

import itertools
import math
from fractions import Fraction

import numpy as np

from cases.vision import per_axis
from layerkit.checks import Case


def pyramid(bottoms, weights, params, phase="train"):
    """Each level's windows, cut to the bottom (MAX and STOCHASTIC), or with their share of the padding (AVE)."""
    (x,) = bottoms
    size, rng = x.shape[2:], np.random.default_rng(np.random.SeedSequence(0))
    levels = []
    for level in range(params.pyramid_height):
        kernel = [math.ceil(n / 2**level) for n in size]
        pad = [(k * 2**level - n + 1) // 2 for k, n in zip(kernel, size, strict=True)]
        spans = [
            [(j * k - p, min(j * k - p + k, n + p)) for j in range(math.ceil((n + 2 * p) / k)) if j * k - p < n]
            for n, k, p in zip(size, kernel, pad, strict=True)
        ]
        pooled = np.zeros((*x.shape[:2], *map(len, spans)))
        draws = rng.random(pooled.shape) if params.pool == "STOCHASTIC" and phase == "train" else pooled
        for place in np.ndindex(*pooled.shape):
            window = [span[j] for span, j in zip(spans, place[2:], strict=True)]
            seen = x[(*place[:2], *(slice(max(a, 0), min(b, n)) for (a, b), n in zip(window, size, strict=True)))]
            if params.pool == "MAX":
                pooled[place] = seen.max()
            elif params.pool == "AVE":
                pooled[place] = seen.sum() / math.prod(b - a for a, b in window)
            elif phase == "train":
                pooled[place] = seen.flat[np.argmax(np.cumsum(seen) >= (1 - draws[place]) * seen.sum())]
            else:
                pooled[place] = (seen**2).sum() / seen.sum()
        levels.append(pooled)
    return levels if len(levels) == 1 else [np.concatenate([each.reshape(len(x), -1) for each in levels], axis=1)]


def expected_pyramid(bottoms, weights, params):
    return pyramid(bottoms, weights, params, phase="test")


def interpolated(bottoms, weights, params):
    """Each element of the top is a mean of the corners around its place in the cropped bottom."""
    x = bottoms[0][(..., *(slice(-params.pad_beg, n + params.pad_end) for n in bottoms[0].shape[2:]))]
    size = x.shape[2:]
    if len(bottoms) == 2:
        to = bottoms[1].shape[2:]
    elif params.height:
        to = (params.height, params.width)
    else:
        to = [(n - 1) // (params.shrink_factor or 1) * (params.zoom_factor or 1) + 1 for n in size]
    y = np.zeros((*x.shape[:2], *to))
    for place in np.ndindex(*to):
        at = [Fraction(i * (n - 1), max(m - 1, 1)) for i, n, m in zip(place, size, to, strict=True)]
        for corner in itertools.product((0, 1), repeat=len(size)):
            shares = [r - math.floor(r) if far else 1 - r + math.floor(r) for r, far in zip(at, corner, strict=True)]
            if share := math.prod(shares):
                seen = tuple(math.floor(r) + far for r, far in zip(at, corner, strict=True))
                y[(..., *place)] += float(share) * x[(..., *seen)]
    return [y]


def placed(x, mask, size):
    """Each element at its place; the last of several."""
    y = np.zeros((*x.shape[:2], math.prod(size)))
    for place in np.ndindex(*x.shape):
        y[place[0], place[1], int(mask[place])] = x[place]
    return [y.reshape(*x.shape[:2], *size)]


def upsampled(bottoms, weights, params):
    x = bottoms[0]
    scale = per_axis(params, "scale", x.ndim - 2, 2)
    if len(bottoms) == 1:
        return [x[(..., *np.ix_(*(np.arange(n * s) // s for n, s in zip(x.shape[2:], scale, strict=True))))]]
    less = [params.pad_out_h, params.pad_out_w] if x.ndim == 4 else [0] * (x.ndim - 2)
    size = [n * s - one for n, s, one in zip(x.shape[2:], scale, less, strict=True)]
    return placed(*bottoms, (params.upsample_h, params.upsample_w) if params.upsample_h else size)


def unpooled(bottoms, weights, params):
    x = bottoms[0]
    count = x.shape[2:]
    kernel, stride, pad = (
        per_axis(params, name, len(count), d) for name, d in (("kernel_size", 1), ("stride", 1), ("pad", 0))
    )
    size = [(n - 1) * s + k - 2 * p for n, s, k, p in zip(count, stride, kernel, pad, strict=True)]
    if params.unpool_size or params.unpool_h:
        size = per_axis(params, "unpool_size", len(count))
    if len(bottoms) == 2:
        return placed(*bottoms, size)
    y = np.zeros((*x.shape[:2], *size))
    for place in np.ndindex(*count):
        spans = [
            (j * s - p, min(j * s - p + (1 if params.unpool == "MAX" else k), n + p))
            for j, s, p, k, n in zip(place, stride, pad, kernel, size, strict=True)
        ]
        share = x[(..., *place)] / (math.prod(b - a for a, b in spans) if params.unpool == "AVE" else 1)
        for seen in itertools.product(*(range(max(a, 0), min(b, n)) for (a, b), n in zip(spans, size, strict=True))):
            y[(..., *seen)] += share
    return [y]


def regions_pooled(bottoms, weights, params):
    x, regions = bottoms
    y = np.zeros((len(regions), x.shape[1], params.pooled_h, params.pooled_w))
    for r, (n, *corners) in enumerate(regions.reshape(-1, 5)):
        x1, y1, x2, y2 = (
            math.floor(abs(v) + 0.5) * (1 if v > 0 else -1) for v in np.array(corners) * params.spatial_scale
        )
        high, wide = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
        for c, i, j in np.ndindex(*y.shape[1:]):
            seen = [
                x[int(n), c, h, w]
                for h in range(y1 + i * high // params.pooled_h, y1 - (-(i + 1) * high // params.pooled_h))
                for w in range(x1 + j * wide // params.pooled_w, x1 - (-(j + 1) * wide // params.pooled_w))
                if 0 <= h < x.shape[2] and 0 <= w < x.shape[3]
            ]
            y[r, c, i, j] = max(seen, default=0)
    return [y]


def regions_averaged(bottoms, weights, params):
    x, regions = bottoms
    side, scale = params.group_size, params.spatial_scale
    y = np.zeros((len(regions), params.output_dim, side, side))
    for r, (n, *corners) in enumerate(regions.reshape(-1, 5)):
        x1, y1, x2, y2 = (math.floor(abs(v) + 0.5) * (1 if v > 0 else -1) for v in corners)
        high, wide = max((y2 + 1 - y1) * scale, 0.1), max((x2 + 1 - x1) * scale, 0.1)
        for d, i, j in np.ndindex(*y.shape[1:]):
            seen = [
                x[int(n), (d * side + i) * side + j, h, w]
                for h in range(x.shape[2])
                for w in range(x.shape[3])
                if math.floor(y1 * scale + i * high / side) <= h < math.ceil(y1 * scale + (i + 1) * high / side)
                and math.floor(x1 * scale + j * wide / side) <= w < math.ceil(x1 * scale + (j + 1) * wide / side)
            ]
            y[r, d, i, j] = np.mean(seen) if seen else 0
    return [y]


def spp(name, shape, *, phase="train", **params):
    positive = params.get("pool") == "STOCHASTIC"
    formula = pyramid if phase == "train" else expected_pyramid
    span = (0.1, 2.0) if positive else (-2.0, 2.0)
    return Case("SPP", name, [shape], params, phase=phase, formula=formula, span=span)


def interp(name, *shapes, **params):
    return Case("Interp", name, shapes, params, formula=interpolated)


def up(name, *bottoms, **params):
    return Case("Upsample", name, bottoms, params, formula=upsampled)


def unpool(name, *bottoms, **params):
    return Case("Unpooling", name, bottoms, params, formula=unpooled)


def roi(name, shape, regions, **params):
    return Case("ROIPooling", name, [shape, np.array(regions, float)], params, formula=regions_pooled)


def psroi(name, shape, regions, **params):
    return Case("PSROIPooling", name, [shape, np.array(regions, float)], params, formula=regions_averaged)


def mask(shape, size, repeats=False):
    """Random places in a plane of `size` for an array of this shape: of each plane all different, unless `repeats`."""

    def draw(rng):
        count = math.prod(shape[2:])
        planes = [rng.choice(math.prod(size), count, replace=repeats) for _ in range(math.prod(shape[:2]))]
        return np.array(planes, float).reshape(shape)

    return draw


IMAGES = (2, 3, 5, 7)
SMALL = (2, 3, 4, 5)
REGIONS = [[0, 0, 0, 6, 4], [1, 1, 2, 5, 3], [1, 3, 1, 3, 1], [0, -2, -3, 2, 9], [0, 5, 3, 2, 1], [1, 20, 20, 30, 30]]

CASES = [
    spp("one level", IMAGES, pyramid_height=1),
    spp("two levels", IMAGES, pyramid_height=2),
    spp("three levels", (2, 3, 9, 11), pyramid_height=3),
    spp("fewer windows than planned", (2, 3, 6, 7), pyramid_height=3),
    spp("ave", (2, 3, 9, 11), pyramid_height=3, pool="AVE"),
    spp("ave, one level", IMAGES, pyramid_height=1, pool="ave"),
    spp("stochastic", (2, 3, 4, 8), pyramid_height=3, pool="STOCHASTIC"),
    spp("stochastic, test", (2, 3, 4, 8), pyramid_height=2, pool="STOCHASTIC", phase="test"),
    spp("1d", (2, 3, 11), pyramid_height=2),
    spp("3d", (2, 3, 4, 6, 5), pyramid_height=2, pool="AVE"),
    interp("height and width", SMALL, height=7, width=11),
    interp("smaller", IMAGES, height=3, width=4),
    interp("the same size", SMALL, height=4, width=5),
    interp("to one element", SMALL, height=1, width=1),
    interp("from one element", (2, 3, 1, 5), height=4, width=3),
    interp("zoom_factor", SMALL, zoom_factor=3),
    interp("shrink_factor", (2, 3, 6, 9), shrink_factor=2),
    interp("shrink and zoom", (2, 3, 6, 9), shrink_factor=2, zoom_factor=3),
    interp("cropped", (2, 3, 6, 9), height=7, width=5, pad_beg=-1, pad_end=-2),
    interp("cropped, zoom", (2, 3, 6, 9), zoom_factor=2, pad_beg=-2),
    interp("like a second bottom", SMALL, (1, 1, 6, 3)),
    interp("1d", (2, 3, 4), zoom_factor=2),
    interp("3d", (2, 3, 4, 5, 6), zoom_factor=2, pad_end=-1),
    interp("3d, like a second bottom", (2, 3, 4, 2, 5), (2, 1, 3, 6, 7)),
    up("nearest", SMALL),
    up("nearest, scale 3", SMALL, scale=3),
    up("nearest, scale 1", SMALL, scale=1),
    up("nearest, h and w", SMALL, scale_h=3, scale_w=2),
    up("nearest, one element", (2, 3, 1, 1), scale=[2, 3]),
    up("nearest, 1d", (2, 3, 4), scale=3),
    up("nearest, 3d", (2, 3, 4, 2, 5), scale=[1, 2, 3]),
    up("mask", SMALL, mask(SMALL, (8, 10))),
    up("mask, scale 3", SMALL, mask(SMALL, (12, 15)), scale=3),
    up("mask, h and w", SMALL, mask(SMALL, (12, 10)), scale_h=3, scale_w=2),
    up("mask, pad_out", SMALL, mask(SMALL, (7, 9)), pad_out_h=True, pad_out_w=True),
    up("mask, upsample_h and upsample_w", SMALL, mask(SMALL, (9, 7)), scale=2, upsample_h=9, upsample_w=7),
    up("mask, places repeat", SMALL, mask(SMALL, (3, 2), repeats=True), upsample_h=3, upsample_w=2),
    up("mask, 1d", (2, 3, 4), mask((2, 3, 4), (8,))),
    up("mask, 3d", (2, 3, 4, 2, 5), mask((2, 3, 4, 2, 5), (4, 4, 15)), scale=[1, 2, 3]),
    unpool("mask", SMALL, mask(SMALL, (8, 10)), kernel_size=2, stride=2),
    unpool("mask, unpool_size", SMALL, mask(SMALL, (11, 11)), kernel_size=2, stride=2, unpool_size=11),
    unpool("mask, places repeat", SMALL, mask(SMALL, (9, 11), repeats=True), kernel_size=3, stride=2),
    unpool("mask, pad", SMALL, mask(SMALL, (7, 9)), kernel_size=3, stride=2, pad=1),
    unpool("max", SMALL, kernel_size=2, stride=3),
    unpool("max, unpool_h and unpool_w", SMALL, kernel_size=2, stride=2, unpool_h=7, unpool_w=11),
    unpool("ave", SMALL, unpool="AVE", kernel_size=2, stride=2),
    unpool("ave, overlapping, pad", SMALL, unpool="AVE", kernel_size=3, stride=2, pad=1),
    unpool("ave, smaller top", SMALL, unpool="AVE", kernel_size=3, stride=2, unpool_size=[8, 9]),
    unpool("ave, one window", (2, 3, 1, 1), unpool="AVE", kernel_size=[3, 4], pad=1),
    unpool("ave, 1d", (2, 3, 5), unpool="AVE", kernel_size=4, stride=3, pad=2),
    unpool("tile", SMALL, unpool="TILE", kernel_size=2, stride=2),
    unpool("tile, overlapping", SMALL, unpool="tile", kernel_size=[2, 3], stride=[1, 2]),
    unpool(
        "tile, h and w",
        SMALL,
        unpool="TILE",
        kernel_h=3,
        kernel_w=2,
        stride_h=2,
        stride_w=1,
        pad_h=1,
        pad_w=0,
        unpool_h=9,
        unpool_w=6,
    ),
    unpool("tile, 3d", (2, 3, 4, 2, 5), unpool="TILE", kernel_size=[2, 1, 3], stride=[1, 2, 3]),
    psroi("plain", (2, 12, 5, 7), REGIONS, output_dim=3, group_size=2, spatial_scale=1),
    psroi("one bin", (2, 3, 5, 7), REGIONS, output_dim=3, group_size=1, spatial_scale=0.5),
    psroi("many bins", (2, 9, 4, 6), REGIONS, output_dim=1, group_size=3, spatial_scale=0.25),
    psroi(
        "scale, rounded",
        (2, 18, 5, 7),
        [[0, 1.5, 0.4, 12.5, 7.6], [1, -2.5, 3, 9, 8]],
        output_dim=2,
        group_size=3,
        spatial_scale=0.5,
    ),
    psroi("axes behind", (2, 8, 5, 7), np.reshape(REGIONS, (6, 5, 1, 1)), output_dim=2, group_size=2, spatial_scale=1),
    roi("2 by 3", IMAGES, REGIONS, pooled_h=2, pooled_w=3),
    roi("more bins than elements", IMAGES, REGIONS, pooled_h=6, pooled_w=4),
    roi("spatial_scale", IMAGES, np.array(REGIONS) * [1, 8, 8, 8, 8] + 0, pooled_h=3, pooled_w=2, spatial_scale=0.125),
    roi("halves", IMAGES, [[0, 1, 3, 5, 7], [1, -1, -3, 9, 5]], pooled_h=2, pooled_w=2, spatial_scale=0.5),
    roi("four axes", IMAGES, np.reshape(REGIONS, (6, 5, 1, 1)), pooled_h=2, pooled_w=1),
]
