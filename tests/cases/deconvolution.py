"""Cases of Deconvolution, DepthwiseConvolution and Im2col. The formulas follow the definitions, place by place."""

import itertools

import numpy as np

from cases.vision import convolve, per_axis
from layerkit.checks import Case


def deconvolve(bottoms, weights, params):
    """Each element of a bottom adds its multiples of the kernel, and what falls into the padding is cut off."""
    weight = weights[0]  # (C, M/G, kernel...)
    axis = params.axis % bottoms[0].ndim
    axes = bottoms[0].ndim - axis - 1
    stride, pad, dilation = (
        per_axis(params, name, axes, d) for name, d in (("stride", 1), ("pad", 0), ("dilation", 1))
    )
    outputs, inputs = params.num_output // params.group, len(weight) // params.group
    tops = []
    for bottom in bottoms:
        images = bottom.reshape(-1, *bottom.shape[axis:])
        whole = [
            (n - 1) * s + (k - 1) * d + 1
            for n, s, k, d in zip(images.shape[2:], stride, weight.shape[2:], dilation, strict=True)
        ]
        top = np.zeros((len(images), params.num_output, *whole))
        for n, c, m in itertools.product(range(len(images)), range(len(weight)), range(outputs)):
            for place, k in itertools.product(np.ndindex(*images.shape[2:]), np.ndindex(*weight.shape[2:])):
                to = tuple(j * s + i * d for j, s, i, d in zip(place, stride, k, dilation, strict=True))
                top[(n, c // inputs * outputs + m, *to)] += images[(n, c, *place)] * weight[(c, m, *k)]
        if len(weights) > 1:
            top += weights[1].reshape(-1, *[1] * axes)
        top = top[(..., *(slice(p, n - p) for p, n in zip(pad, whole, strict=True)))]
        tops.append(top.reshape(*bottom.shape[:axis], *top.shape[1:]))
    return tops


def depthwise(bottoms, weights, params):
    """Channel by channel."""
    axis = params.axis % bottoms[0].ndim
    one = params.model_copy(update={"group": 1})
    tops = []
    for bottom in bottoms:
        parts = [
            convolve([np.take(bottom, [c], axis)], [weight[c : c + 1] for weight in weights], one)[0]
            for c in range(bottom.shape[axis])
        ]
        tops.append(np.concatenate(parts, axis))
    return tops


def columns(bottoms, weights, params):
    """The channels of each window in turn, and in each channel its elements row by row."""
    (x,) = bottoms
    axis = params.axis % x.ndim
    axes = x.ndim - axis - 1
    kernel, stride, pad, dilation = (
        per_axis(params, name, axes, d) for name, d in (("kernel_size", 0), ("stride", 1), ("pad", 0), ("dilation", 1))
    )
    padded = np.pad(x, [(0, 0)] * (axis + 1) + [(p, p) for p in pad])
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    starts = [range(0, n - e + 1, s) for n, e, s in zip(padded.shape[axis + 1 :], extent, stride, strict=True)]
    top = np.zeros((*x.shape[:axis], x.shape[axis] * int(np.prod(kernel)), *map(len, starts)))
    for channel, (c, *k) in enumerate(itertools.product(range(x.shape[axis]), *map(range, kernel))):
        for place in np.ndindex(*map(len, starts)):
            seen = tuple(s[j] + i * d for s, j, i, d in zip(starts, place, k, dilation, strict=True))
            before = (slice(None),) * axis
            top[(*before, channel, *place)] = padded[(*before, c, *seen)]
    return [top]


def deconv(name, *shapes, **params):
    return Case("Deconvolution", name, shapes, params, num_tops=len(shapes), formula=deconvolve)


def dw(name, *shapes, **params):
    return Case("DepthwiseConvolution", name, shapes, params, num_tops=len(shapes), formula=depthwise)


def cols(name, shape, **params):
    return Case("Im2col", name, [shape], params, formula=columns)


IMAGES = (2, 3, 5, 7)
AXIS0 = "axis 0 holds the channels"
ALONE = {"kernel_size": 1, "axis": 0}

CASES = [
    deconv("2d", IMAGES, num_output=4, kernel_size=3),
    deconv("one by one, no bias", IMAGES, num_output=4, kernel_size=1, bias_term=False),
    deconv("one by one, stride", IMAGES, num_output=4, kernel_size=1, stride=2),
    deconv("one by one, group", (2, 6, 5, 7), num_output=4, kernel_size=1, group=2),
    deconv("stride, pad", IMAGES, num_output=5, kernel_size=3, stride=2, pad=1),
    deconv("stride larger than the kernel", IMAGES, num_output=2, kernel_size=2, stride=3),
    deconv("one value per axis", IMAGES, num_output=4, kernel_size=[2, 3], stride=[3, 2], pad=[2, 1], dilation=[1, 2]),
    deconv("h and w", IMAGES, num_output=4, kernel_h=3, kernel_w=2, stride_h=1, stride_w=3, pad_h=2, pad_w=1),
    deconv("pad_w alone", IMAGES, num_output=4, kernel_size=2, pad_w=3),
    deconv("a pad larger than the kernel", IMAGES, num_output=4, kernel_size=2, pad=4, stride=3),
    deconv("a bottom of one element", (2, 3, 1, 1), num_output=4, kernel_size=[5, 7], stride=2, pad=[1, 2]),
    deconv("dilation", IMAGES, num_output=4, kernel_size=2, dilation=3),
    deconv("dilation, pad, stride", IMAGES, num_output=4, kernel_size=3, dilation=2, pad=2, stride=3),
    deconv("group", (2, 6, 5, 7), num_output=4, kernel_size=3, group=2, pad=1),
    deconv("group, stride, no bias", (2, 4, 3, 5), num_output=6, kernel_size=4, group=2, stride=2, bias_term=False),
    deconv(
        "depthwise, bilinear",
        IMAGES,
        num_output=3,
        group=3,
        kernel_size=4,
        stride=2,
        pad=1,
        bias_term=False,
        weight_filler="bilinear",
    ),
    deconv("depthwise, bias", IMAGES, num_output=6, kernel_size=2, group=3),
    deconv("1d", (2, 3, 11), num_output=4, kernel_size=3, stride=2, pad=1, dilation=2),
    deconv("1d, group", (2, 6, 7), num_output=4, kernel_size=3, group=2),
    deconv("3d", (2, 3, 4, 5, 6), num_output=7, kernel_size=[2, 3, 1], stride=[1, 2, 3], pad=[1, 0, 0]),
    deconv("3d, group, dilation", (2, 4, 2, 3, 5), num_output=6, kernel_size=2, dilation=[1, 2, 3], group=2),
    deconv("4d", (1, 2, 2, 3, 4, 5), num_output=3, kernel_size=2, stride=2),
    deconv("no spatial axes", (2, 3), num_output=4, kernel_size=1),
    Case("Deconvolution", "channels alone", [(3,)], {**ALONE, "num_output": 4}, formula=deconvolve, no_zero_rows=AXIS0),
    deconv("axis 2", (2, 3, 4, 5, 7), num_output=6, kernel_size=2, axis=2, pad=1),
    deconv("axis from behind", (2, 3, 4, 5), num_output=6, kernel_size=2, axis=-2),
    Case(
        "Deconvolution",
        "axis 0",
        [(3, 5, 7)],
        {"num_output": 4, "kernel_size": 2, "axis": 0},
        formula=deconvolve,
        no_zero_rows=AXIS0,
    ),
    deconv("several bottoms", IMAGES, IMAGES, IMAGES, num_output=4, kernel_size=2, stride=2),
    deconv("force_nd_im2col", IMAGES, num_output=4, kernel_size=3, force_nd_im2col=True),
    deconv("bias_filler", IMAGES, num_output=4, kernel_size=3, bias_filler={"type": "constant", "value": 1}),
    dw("2d", IMAGES, num_output=3, kernel_size=3),
    dw("group given, no bias", IMAGES, num_output=3, kernel_size=3, group=3, bias_term=False),
    dw("stride, pad, dilation", IMAGES, num_output=3, kernel_size=2, stride=2, pad=1, dilation=3),
    dw("h and w", IMAGES, num_output=3, kernel_h=3, kernel_w=2, stride_h=1, stride_w=3, pad_h=2, pad_w=1),
    dw("1d", (2, 3, 11), num_output=3, kernel_size=3),
    dw("3d", (2, 3, 4, 5, 6), num_output=3, kernel_size=[2, 3, 1], stride=[1, 2, 3], pad=[1, 0, 1]),
    dw("axis 2", (2, 3, 4, 5, 7), num_output=4, kernel_size=2, axis=2),
    dw("several bottoms", IMAGES, IMAGES, num_output=3, kernel_size=2),
    dw("force_nd_im2col", IMAGES, num_output=3, kernel_size=3, force_nd_im2col=True),
    dw("fillers", IMAGES, num_output=3, kernel_size=3, weight_filler="msra", bias_filler={"value": 1}),
    cols("2d", IMAGES, kernel_size=3),
    cols("stride, pad", IMAGES, kernel_size=3, stride=2, pad=1),
    cols("dilation", IMAGES, kernel_size=2, dilation=3),
    cols("one value per axis", IMAGES, kernel_size=[2, 3], stride=[3, 2], pad=[2, 1], dilation=[1, 2]),
    cols("h and w", IMAGES, kernel_h=3, kernel_w=2, stride_h=1, stride_w=3, pad_h=2, pad_w=1),
    cols("one by one", IMAGES, kernel_size=1),
    cols("1d", (2, 3, 11), kernel_size=3, stride=2, pad=1),
    cols("3d", (2, 3, 4, 5, 6), kernel_size=[2, 3, 1], stride=[1, 2, 3], pad=[1, 0, 1]),
    cols("axis 2", (2, 3, 4, 5, 7), kernel_size=2, axis=2),
    cols("axis 3", (2, 3, 4, 5, 7), kernel_size=2, axis=3),
    cols("axis from behind", IMAGES, kernel_size=2, axis=-2),
    cols("force_nd_im2col", IMAGES, kernel_size=2, force_nd_im2col=True),
    Case("Im2col", "one image", [(3, 7)], {"kernel_size": 2, "axis": 0}, formula=columns, no_zero_rows=AXIS0),
    Case(
        "Im2col",
        "axis 0",
        [(3, 5, 7)],
        {"kernel_size": 2, "axis": 0},
        formula=columns,
        no_zero_rows=AXIS0,
    ),
]
