"""Rules of convolutions, and of the layers that bring images to another size."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from layerkit.blob import Array
from layerkit.convert.onnx.here import Here
from layerkit.convert.onnx.rules import rule
from layerkit.convert.onnx.values import Value
from layerkit.layers.vision.window import Windows, per_axis


@rule("Convolution", "DepthwiseConvolution")
def _convolution(here: Here, *xs: Value) -> list[Value]:
    return _slid(here, xs, "Conv")


@rule("Deconvolution")
def _deconvolution(here: Here, *xs: Value) -> list[Value]:
    return _slid(here, xs, "ConvTranspose")


def _slid(here: Here, xs: tuple[Value, ...], kind: str) -> list[Value]:
    """Each bottom under the learned kernels."""
    axis = here.params.axis % len(here.bottoms[0])
    windows: Windows = here.layer.windows(here.shape(0, axis))  # type: ignore[attr-defined]
    group: int = here.layer.group  # type: ignore[attr-defined]
    weight, bias = here.weight("weight"), here.weight("bias") if here.params.bias_term else None
    if not windows.size:
        weight = here.op("Unsqueeze", weight, [2])
    return [
        _on_images(here, i, x, lambda image: here.op(kind, image, weight, bias, group=group, **_sides(windows)))
        for i, x in enumerate(xs)
    ]


def _sides(windows: Windows) -> dict[str, list[int]]:
    """The attributes of a Conv over such windows; without spatial axes over one, of length 1."""
    found = {
        "kernel_shape": list(windows.kernel) or [1],
        "strides": list(windows.stride) or [1],
        "dilations": list(windows.dilation) or [1],
    }
    return {**found, "pads": list(windows.pad) * 2 or [0, 0]}


def _on_images(here: Here, i: int, x: Value, write: Callable[[Value], Value]) -> Value:
    """What `write` makes of bottom i as images (N, C, spatial axes...), which layerkit's layers may have elsewhere."""
    source, target = here.bottoms[i], here.tops[i]
    axis = here.params.axis % len(source)
    if axis == 1 and len(source) > 2:
        return write(x)
    lead: tuple[int | str, ...] = source[:1] if axis == 1 else (math.prod(here.shape(i, len(source))[:axis]),)
    if axis > 1 and not all(isinstance(dim, int) for dim in source[:axis]):
        lead = ("*".join(map(str, source[:axis])),)
    spatial = source[axis + 1 :] or (1,)
    y = write(here.reshape(x, source, (*lead, source[axis], *spatial)))
    return here.reshape(y, (*lead, target[axis], *(target[axis + 1 :] or (1,))), target)


@rule("Im2col")
def _im2col(here: Here, x: Value) -> Value:
    """A convolution whose kernels each pick one element of a window."""
    axis = here.params.axis % len(here.bottoms[0])
    shape = here.shape(0, axis)
    windows: Windows = here.layer._windows(shape)  # type: ignore[attr-defined]
    channels = shape[axis]
    elements = math.prod(windows.kernel)
    kernels = np.tile(
        np.eye(elements).reshape(elements, 1, *windows.kernel), (channels, *[1] * (len(windows.size) + 1))
    )
    weight = here.constant(kernels)
    return _on_images(here, 0, x, lambda image: here.op("Conv", image, weight, group=channels, **_sides(windows)))


@rule("Interp")
def _interp(here: Here, x: Value, *like: Value) -> Value:
    """Each spatial axis by a matrix whose rows hold the two weights of an element."""
    p, shape, top = here.params, here.shape(0, 2), here.tops[0]
    axes = list(range(2, len(shape)))
    if p.pad_beg or p.pad_end:
        ends = [shape[axis] + p.pad_end for axis in axes]
        x = here.op("Slice", x, [-p.pad_beg] * len(axes), ends, axes)
    for axis in axes:
        size, wanted = shape[axis] + p.pad_beg + p.pad_end, here.length(top[axis])
        x = _along(here, x, axis, len(shape), _lines(size, wanted))
    return x


def _lines(size: int, wanted: int) -> Array:
    """The matrix (wanted, size) of an interpolation along straight lines that keeps the corners."""
    places = np.arange(wanted) * (size - 1) / max(1, wanted - 1)
    matrix: Array = np.maximum(0, 1 - np.abs(places[:, np.newaxis] - np.arange(size)))
    return matrix


def _along(here: Here, x: Value, axis: int, rank: int, matrix: Array) -> Value:
    """x with the vectors along an axis multiplied by a matrix (new length, old length)."""
    if axis == rank - 2:
        return here.op("MatMul", here.constant(matrix), x)
    if axis == rank - 1:
        return here.op("MatMul", x, here.constant(matrix.T))
    order = [*range(axis), *range(axis + 1, rank), axis]
    turned = here.op("MatMul", here.op("Transpose", x, perm=order), here.constant(matrix.T))
    return here.op("Transpose", turned, perm=np.argsort(order).tolist())


@rule("Upsample")
def _upsample(here: Here, x: Value, *mask: Value) -> Value:
    if mask:
        return _put(here, x, mask[0])
    scale = per_axis(here.params, "scale", len(here.bottoms[0]) - 2, 2)
    return here.op(
        "Resize",
        x,
        None,
        here.constant([1, 1, *scale]),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


@rule("Unpooling")
def _unpooling(here: Here, x: Value, *mask: Value) -> Value:
    windows: Windows = here.layer._windows(here.shape(0, 2))  # type: ignore[attr-defined]
    kind = here.params.unpool
    if mask:
        return _put(here, x, mask[0])
    rank = len(here.bottoms[0])
    for i, axis in enumerate(range(2, rank)):  # windows are made of intervals, so axis by axis
        x = _along(here, x, axis, rank, _spread(windows, i, kind).T)
    return x


def _spread(windows: Windows, i: int, kind: str) -> Array:
    """What each element of the bottom gives along spatial axis i to the top, (count, size)."""
    size, kernel, pad = windows.size[i], windows.kernel[i], windows.pad[i]
    starts = np.arange(windows.count[i])[:, np.newaxis] * windows.stride[i] - pad
    places = np.arange(size)
    if kind == "MAX":
        first: Array = (places == starts).astype(float)
        return first
    inside = (places >= starts) & (places < starts + kernel)
    shares: Array = inside / (np.minimum(starts + kernel, size + pad) - starts if kind == "AVE" else 1.0)
    return shares


def _put(here: Here, x: Value, mask: Value) -> Value:
    """Each element at the place of its plane that the mask says, 0 elsewhere."""
    dims, top = here.bottoms[0], here.tops[0]
    plane = math.prod(length for length in top[2:] if isinstance(length, int))
    empty = here.op("Expand", 0.0, here.lengths(x, dims, (*dims[:2], plane)))
    flat = (*dims[:2], math.prod(here.shape(0, 2)[2:]))
    places = here.integers(here.reshape(mask, dims, flat))
    y = here.op("ScatterElements", empty, places, here.reshape(x, dims, flat), axis=2)
    return here.reshape(y, (*dims[:2], plane), top)
