"""Functions of each number, and sums and products of blobs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.convert.onnx.building import Known
from layerkit.convert.onnx.operators import FIXED, At, reads
from layerkit.fillers import FLOAT32_MAX

PLAIN = {
    "Abs": "AbsVal",
    "Exp": "Exp",
    "HardSwish": "HardSwish",
    "Log": "Log",
    "Relu": "ReLU",
    "Sigmoid": "Sigmoid",
    "Softplus": "BNLL",
    "Tanh": "TanH",
}
"""Operators that are a layer as it is."""
POWERS: dict[str, dict[str, Any]] = {"Neg": {"scale": -1.0}, "Reciprocal": {"power": -1.0}, "Sqrt": {"power": 0.5}}


@reads(*PLAIN)
def _plain(at: At) -> Known:
    return at.add(PLAIN[at.node.kind], at.blob(0))


@reads(*POWERS)
def _power(at: At) -> Known:
    return at.add("Power", at.blob(0), **POWERS[at.node.kind])


@reads("Identity", "Dropout")
def _identity(at: At) -> Known:
    return at.blob(0, whole=True)


@reads("Cast")
def _cast(at: At) -> Known:
    return at.blob(0, whole=True)._replace(whole=at.node.attribute("to", 1) not in (1, 10, 11, 16))


@reads("LeakyRelu")
def _leaky_relu(at: At) -> Known:
    return at.add("ReLU", at.blob(0), negative_slope=short(at.node.attribute("alpha", 0.01)))


@reads("Elu")
def _elu(at: At) -> Known:
    return at.add("ELU", at.blob(0), alpha=short(at.node.attribute("alpha", 1.0)))


@reads("Gelu")
def _gelu(at: At) -> Known:
    return at.add("GELU", at.blob(0), approximate=at.node.attribute("approximate", "none").upper())


@reads("Swish")
def _swish(at: At) -> Known:
    return at.add("Swish", at.blob(0), beta=short(at.node.attribute("alpha", 1.0)))


@reads("HardSigmoid")
def _hard_sigmoid(at: At) -> Known:
    scale, shift = at.node.attribute("alpha", 0.2), at.node.attribute("beta", 0.5)
    line = at.add("Power", at.blob(0), step="line", scale=short(scale), shift=short(shift))
    return at.add("Clip", line, min=0.0, max=1.0)


@reads("Clip")
def _clip(at: At) -> Known:
    low, high = at.node.number(1, "min", None), at.node.number(2, "max", None)
    if low is None and high is None:
        return at.blob(0)
    if (low, high) == (0, 6):
        return at.add("ReLU6", at.blob(0))
    if low == 0 and high is None:
        return at.add("ReLU", at.blob(0))
    least, most = -FLOAT32_MAX if low is None else low, FLOAT32_MAX if high is None else high
    return at.add("Clip", at.blob(0), min=short(least), max=short(most))


@reads("PRelu")
def _prelu(at: At) -> Known:
    x, slope = at.blob(0), at.node.needed(1)
    place = lies_along(slope.shape, x.shape)
    if slope.size == 1:
        return at.add("PReLU", x, channel_shared=True, weights={"slope": slope})
    if place is None or place != (1, 1):
        at.node.fail(f"its slopes {list(slope.shape)} are not one for each channel of {list(x.shape)}")
    return at.add("PReLU", x, weights={"slope": slope})


@reads("Softmax")
def _softmax(at: At) -> Known:
    return at.add("Softmax", at.blob(0), axis=_softmax_axis(at))


@reads("LogSoftmax")
def _log_softmax(at: At) -> Known:
    return at.add("Log", at.add("Softmax", at.blob(0), step="softmax", axis=_softmax_axis(at)))


def _softmax_axis(at: At) -> int:
    rank = at.blob(0).rank
    axis = int(at.node.attribute("axis", -1 if at.node.version >= 13 else 1)) % max(1, rank)
    if at.node.version < 13 and axis != rank - 1:
        at.node.fail("before version 13 it is taken over all axes from `axis` on together")
    return axis


@reads("Add", "Sub", "Mul", "Div")
def _of_two(at: At) -> Known:
    first, second = at.node.inputs[:2]
    if isinstance(first, Known) and isinstance(second, Known):
        return _combined(at, first, second)
    kind = at.node.kind
    turned = not isinstance(first, Known)
    x = at.blob(1 if turned else 0)
    constant = at.node.needed(0 if turned else 1).astype(np.float32)
    if turned and kind == "Sub":
        x, kind = at.add("Power", x, step="negated", scale=-1.0), "Add"
    elif turned and kind == "Div":
        x, kind = at.add("Power", x, step="inverted", power=-1.0), "Mul"
    elif kind == "Sub":
        constant, kind = -constant, "Add"
    elif kind == "Div":
        with np.errstate(divide="ignore"):
            constant, kind = (1 / constant).astype(np.float32), "Mul"
    return _with_constant(at, kind, x, constant)


@reads("Sum", "Max")
def _of_several(at: At) -> Known:
    xs = [at.blob(i) for i in range(len(at.node.inputs))]
    if len(xs) == 1:
        return xs[0]
    return at.add("Eltwise", *xs, operation="SUM" if at.node.kind == "Sum" else "MAX", broadcast=_differ(xs))


def _combined(at: At, a: Known, b: Known) -> Known:
    """Two blobs, one of which may stretch over the other."""
    kind, broadcast = at.node.kind, _differ([a, b])
    if kind == "Div":
        b = at.add("Power", b, step="inverted", power=-1.0)
    if kind in ("Mul", "Div"):
        return at.add("Eltwise", a, b, operation="PROD", broadcast=broadcast)
    return at.add("Eltwise", a, b, coeff=[1.0, -1.0] if kind == "Sub" else None, broadcast=broadcast)


def _with_constant(at: At, kind: str, x: Known, constant: Array) -> Known:
    """x plus or times a constant: in the layer before, as a Power, Bias or Scale, or with a blob of its own."""
    if constant.size == 1 and constant.ndim <= x.rank:
        if not math.isfinite(constant.item()):
            at.node.fail(f"its constant is {constant.item():g}")
        value = short(constant.item())
        return at.add("Power", x, shift=value) if kind == "Add" else at.add("Power", x, scale=value)
    place = lies_along(constant.shape, x.shape)
    if place is None:
        other = at.net.constant(at.name, constant)
        return at.add("Eltwise", x, other, operation="SUM" if kind == "Add" else "PROD", broadcast=True)
    axis, axes = place
    if kind == "Add" and axes == 1 and _is_bias(at, x, axis):
        return at.net.give_bias(x, constant)
    name = {"Add": ("Bias", "bias"), "Mul": ("Scale", "scale")}[kind]
    return at.add(name[0], x, axis=axis, num_axes=axes, weights={name[1]: constant}, param=[FIXED])


def _is_bias(at: At, x: Known, axis: int) -> bool:
    """Whether what is added along an axis can be the bias of the layer that makes x and is read by this node alone."""
    alone = any(
        isinstance(v, Known) and v == x and at.net.used_once(at.node.names[i]) for i, v in enumerate(at.node.inputs)
    )
    where = {"InnerProduct": x.rank - 1, "Convolution": 1, "DepthwiseConvolution": 1}
    return alone and where.get(at.net.without_bias(x)) == axis


def lies_along(small: Shape, whole: Shape) -> tuple[int, int] | None:
    """The first axis of `whole` along which an array of the shape `small` lies by numpy's rules, and how many axes.

    None where it does not lie along axes that follow each other, or is larger.
    """
    if len(small) > len(whole):
        return None
    padded = (1,) * (len(whole) - len(small)) + small
    long = [axis for axis, length in enumerate(padded) if length != 1]
    if not long:
        return None
    span = range(long[0], long[-1] + 1)
    if any(padded[axis] != whole[axis] for axis in span):
        return None
    return span[0], len(span)


def _differ(blobs: Sequence[Known]) -> bool:
    return any(blob.shape != blobs[0].shape for blob in blobs)


def short(value: float) -> float:
    """A float32, as it stands in the model, in the fewest digits that mean it."""
    return max(-FLOAT32_MAX, min(FLOAT32_MAX, float(str(np.float32(value)))))
