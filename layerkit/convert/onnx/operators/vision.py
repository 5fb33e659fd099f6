"""Convolutions, poolings and larger images."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from layerkit.blob import Array
from layerkit.convert.onnx.building import Known
from layerkit.convert.onnx.operators import FIXED, At, reads
from layerkit.errors import ShapeError
from layerkit.fillers import FLOAT32_MAX


class _Sides(NamedTuple):
    """How a kernel slides, one number a spatial axis."""

    kernel: list[int]
    stride: list[int]
    dilation: list[int]
    before: list[int]
    behind: list[int]


def _sides(at: At, size: tuple[int, ...], kernel: list[int]) -> _Sides:
    axes = len(size)
    stride = [int(each) for each in at.node.attribute("strides", None) or [1] * axes]
    dilation = [int(each) for each in at.node.attribute("dilations", None) or [1] * axes]
    pads = [int(each) for each in at.node.attribute("pads", None) or [0] * 2 * axes]
    automatic = at.node.attribute("auto_pad", "NOTSET")
    if automatic.startswith("SAME"):  # as many windows as strides fit in, the padding even or with one more on a side
        extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        total = [max(0, (-(-n // s) - 1) * s + e - n) for n, s, e in zip(size, stride, extents, strict=True)]
        less, more = [each // 2 for each in total], [-(-each // 2) for each in total]
        pads = less + more if automatic == "SAME_UPPER" else more + less
    elif automatic == "VALID":
        pads = [0] * 2 * axes
    if len(pads) != 2 * axes or min(pads, default=0) < 0:
        at.node.fail(f"its pads {pads} are not two for each of {axes} axes, from 0 on")
    return _Sides(kernel, stride, dilation, pads[:axes], pads[axes:])


def _one(values: list[int]) -> list[int]:
    """One value where all axes have the same."""
    return values[:1] if len(set(values)) == 1 else values


def _given(values: list[int], default: int) -> list[int] | None:
    return None if set(values) <= {default} else _one(values)


def _bordered(at: At, x: Known, sides: _Sides, value: float = 0.0) -> Known:
    """x with its padding made of elements."""
    pad = [list(pair) for pair in zip(sides.before, sides.behind, strict=True)]
    return at.add("Pad", x, step="pad", pad=pad, value=value)


@reads("Conv")
def _conv(at: At) -> Known:
    x, weight = at.blob(0), at.node.needed(1)
    sides = _sides(at, x.shape[2:], list(weight.shape[2:]))
    pad = _given(sides.before, 0)
    if sides.before != sides.behind:
        x, pad = _bordered(at, x, sides), None
    return _slid(at, x, sides, pad, "Convolution", len(weight))


@reads("ConvTranspose")
def _conv_transpose(at: At) -> Known:
    x, weight, group = at.blob(0), at.node.needed(1), at.node.attribute("group", 1)
    sides = _sides(at, x.shape[2:], list(weight.shape[2:]))
    if any(at.node.attribute("output_padding", None) or []) or at.node.attribute("output_shape", None):
        at.node.fail("it pads its output, which no layer does")
    if sides.before != sides.behind or at.node.attribute("auto_pad", "NOTSET") != "NOTSET":
        at.node.fail("its padding is not the same on both sides")
    return _slid(at, x, sides, _given(sides.before, 0), "Deconvolution", weight.shape[1] * group)


def _slid(at: At, x: Known, sides: _Sides, pad: list[int] | None, kind: str, outputs: int) -> Known:
    weights = {"weight": at.node.needed(1)}
    bias, group = at.node.array(2), at.node.attribute("group", 1)
    if bias is not None:
        weights["bias"] = bias
    depthwise = kind == "Convolution" and group == outputs == x.shape[1] > 1
    return at.add(
        "DepthwiseConvolution" if depthwise else kind,
        x,
        num_output=outputs,
        kernel_size=_one(sides.kernel),
        stride=_given(sides.stride, 1),
        pad=pad,
        dilation=_given(sides.dilation, 1),
        group=None if depthwise else group,
        bias_term=bias is not None,
        weights=weights,
    )


@reads("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(at: At) -> Known:
    return at.add("Pooling", at.blob(0), pool="AVE" if "Average" in at.node.kind else "MAX", global_pooling=True)


@reads("MaxPool", "AveragePool")
def _pool(at: At) -> Known:
    x, maximum = at.blob(0), at.node.kind == "MaxPool"
    sides = _sides(at, x.shape[2:], [int(each) for each in at.node.attribute("kernel_shape", [])])
    if any(each != 1 for each in sides.dilation) or at.node.attribute("storage_order", 0):
        at.node.fail("its windows have gaps, and those of layerkit's pooling have none")
    if len([name for name in at.node.outputs if name]) > 1:
        at.node.fail("it also says where its maxima are, counted over the whole batch")
    pool, count = "MAX" if maximum else "AVE", _count(at, x, sides)
    whole = maximum or bool(at.node.attribute("count_include_pad", 0)) or not any(sides.before + sides.behind)
    if maximum or sides.before == sides.behind:  # then windows that lie alike give the same
        for mode in ("CEIL", "FLOOR"):
            top = _try_pooling(at, x, sides, pool, mode, count, last=whole)
            if top is not None:
                return top if whole else _without_padding(at, top, x, sides)
    if not whole:
        at.node.fail("its padding, which does not count, is not the same on both sides")
    border = _bordered(at, x, sides, -FLOAT32_MAX if maximum else 0.0)
    bare = sides._replace(before=[0] * len(count), behind=[0] * len(count))
    top = _try_pooling(at, border, bare, pool, "FLOOR", count, last=True)
    if top is None:
        at.node.fail("its windows lie where those of layerkit's pooling do not")
    return top


def _count(at: At, x: Known, sides: _Sides) -> tuple[int, ...]:
    """How many windows there are on each axis."""
    up = bool(at.node.attribute("ceil_mode", 0))
    found = []
    for n, k, s, before, behind in zip(
        x.shape[2:], sides.kernel, sides.stride, sides.before, sides.behind, strict=True
    ):
        room = n + before + behind - k
        count = (-(-room // s) if up else room // s) + 1
        found.append(count - 1 if up and (count - 1) * s >= n + before else count)  # a window of padding alone
    return tuple(found)


def _try_pooling(
    at: At, x: Known, sides: _Sides, pool: str, mode: str, count: tuple[int, ...], *, last: bool
) -> Known | None:
    """A Pooling with the windows of `sides`, if it has as many."""
    params: dict[str, Any] = {"pool": pool, "kernel_size": _one(sides.kernel), "stride": _given(sides.stride, 1)}
    params |= {"pad": _given(sides.before, 0), "round_mode": mode}
    try:
        if at.net.planned("Pooling", x, **params) != (*x.shape[:2], *count):
            return None
    except ShapeError:
        return None
    return at.add("Pooling", x, step="" if last else "sum", **params)


def _without_padding(at: At, top: Known, x: Known, sides: _Sides) -> Known:
    """Means over windows with their padding, as means over what lies inside: times a constant for each place."""
    shares = []
    for n, count, k, s, pad in zip(x.shape[2:], top.shape[2:], sides.kernel, sides.stride, sides.before, strict=True):
        start = np.arange(count) * s - pad
        inside = np.minimum(start + k, n) - np.maximum(start, 0)
        shares.append((np.minimum(start + k, n + pad) - start) / inside)
    factors: Array = functools.reduce(np.multiply.outer, shares)
    return at.add("Scale", top, axis=2, num_axes=len(shares), weights={"scale": factors}, param=[FIXED])
