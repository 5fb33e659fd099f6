"""What a model computes from constants and shapes alone, computed while it is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from layerkit.blob import Array

MOST = 1 << 24
"""Elements that a constant may be made to have; a file of a few bytes could ask for any number."""
MOST_IN_ALL = 1 << 26
"""Elements that all of a model's computed constants may have."""


class TooLargeError(ValueError):
    """A constant that a model wants to be absurdly large."""


def fold(kind: str, inputs: Sequence[Array | None], attribute: Callable[..., Any]) -> list[Array] | None:
    """The outputs of an operator of constants; None for one that is not known here.

    `attribute(name, default)` gives an attribute's value. Raises ValueError, IndexError or TypeError where they do not
    fit.
    """
    function = _FOLDED.get(kind)
    given = [each for each in inputs if each is not None]
    if function is None or len(given) < 1:
        return None
    result = function(inputs, attribute)
    return [np.asarray(each) for each in (result if isinstance(result, list) else [result])]


def axes_of(inputs: Sequence[Array | None], attribute: Callable[..., Any], at: int = 1) -> list[int] | None:
    """The axes that a node names, as newer versions do by an input and older ones by an attribute."""
    given = inputs[at] if len(inputs) > at else None
    named = attribute("axes", None) if given is None else np.ravel(given).tolist()
    return None if named is None else [int(axis) for axis in named]


def reshaped(shape: Sequence[int], wanted: Sequence[int], *, allowzero: bool) -> tuple[int, ...]:
    """The shape that Reshape makes of `shape`: 0 copies a length, -1 is worked out. Raises ValueError."""
    lengths = [int(shape[i]) if length == 0 and not allowzero else int(length) for i, length in enumerate(wanted)]
    if lengths.count(-1) > 1 or min(lengths, default=0) < -1:
        raise ValueError(f"{list(wanted)} is no shape")
    rest = math.prod(length for length in lengths if length != -1)
    total = math.prod(shape)
    if -1 in lengths and rest and total % rest == 0:
        lengths[lengths.index(-1)] = total // rest
    if math.prod(lengths) != total:
        raise ValueError(f"{list(shape)} does not become {list(wanted)}")
    return tuple(lengths)


def _bounded(count: float) -> None:
    if count > MOST:
        raise TooLargeError(f"a constant of {count:.0f} elements is more than a shape needs")


def _unsqueeze(inputs: Sequence[Any], attribute: Callable[..., Any]) -> Any:
    axes = axes_of(inputs, attribute) or []
    return np.expand_dims(inputs[0], tuple(axes))


def _squeeze(inputs: Sequence[Any], attribute: Callable[..., Any]) -> Any:
    axes = axes_of(inputs, attribute)
    return np.squeeze(inputs[0], None if axes is None else tuple(axes))


def _slice(inputs: Sequence[Any], attribute: Callable[..., Any]) -> Any:
    x, *rest = inputs
    starts, ends, axes, steps = (None if each is None else np.ravel(each).tolist() for each in [*rest, *[None] * 4][:4])
    starts, ends, axes = (
        attribute(name, None) if each is None else each
        for name, each in (("starts", starts), ("ends", ends), ("axes", axes))
    )
    parts = [slice(None)] * x.ndim
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        parts[axes[i] if axes else i] = slice(start, end if end > -(2**62) else None, steps[i] if steps else 1)
    return x[tuple(parts)]


def _constant_of_shape(inputs: Sequence[Any], attribute: Callable[..., Any]) -> Any:
    shape = [int(length) for length in np.ravel(inputs[0])]
    _bounded(math.prod(shape))
    value = attribute("value", None)
    return np.full(shape, np.float32(0) if value is None else np.ravel(value)[0])


def _expand(inputs: Sequence[Any], attribute: Callable[..., Any]) -> Any:
    shape = np.broadcast_shapes(inputs[0].shape, tuple(int(length) for length in inputs[1]))
    _bounded(math.prod(shape))
    return np.broadcast_to(inputs[0], shape)


def _range(inputs: Sequence[Any], attribute: Callable[..., Any]) -> Any:
    start, limit, step = (each.item() for each in inputs)
    _bounded(abs((limit - start) / step) if step else math.inf)
    return np.arange(start, limit, step).astype(inputs[0].dtype)


def _cast(inputs: Sequence[Any], attribute: Callable[..., Any]) -> Any:
    kinds = {1: "float32", 6: "int32", 7: "int64", 9: "bool", 10: "float32", 11: "float32", 16: "float32"}
    kind = kinds.get(attribute("to", 0))
    if kind is None:
        raise ValueError("a cast to a type that is not read")
    return inputs[0].astype(kind)


def _divide(inputs: Sequence[Any], attribute: Callable[..., Any]) -> Any:
    whole = inputs[0].dtype.kind in "iu"
    if whole and not np.all(inputs[1]):
        raise ValueError("a division by 0")
    return np.trunc(inputs[0] / inputs[1]).astype(inputs[0].dtype) if whole else np.divide(inputs[0], inputs[1])


def _gather(inputs: Sequence[Any], attribute: Callable[..., Any]) -> Any:
    axis = attribute("axis", 0)
    _bounded(inputs[0].size / max(1, inputs[0].shape[axis]) * inputs[1].size)
    return np.take(inputs[0], inputs[1].astype(np.int64), axis)


def _concat(inputs: Sequence[Any], attribute: Callable[..., Any]) -> Any:
    _bounded(sum(each.size for each in inputs))
    return np.concatenate(inputs, attribute("axis", 0))


def _where(inputs: Sequence[Any], attribute: Callable[..., Any]) -> Any:
    _bounded(math.prod(np.broadcast_shapes(*(each.shape for each in inputs))))
    return np.where(*inputs)


def _pair(function: np.ufunc) -> Callable[..., Any]:
    def folded(inputs: Sequence[Any], attribute: Callable[..., Any]) -> Any:
        _bounded(math.prod(np.broadcast_shapes(inputs[0].shape, inputs[1].shape)))
        return function(inputs[0], inputs[1])

    return folded


_FOLDED: dict[str, Callable[..., Any]] = {
    "Add": _pair(np.add),
    "Cast": _cast,
    "Ceil": lambda inputs, attribute: np.ceil(inputs[0]),
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Div": _divide,
    "Equal": _pair(np.equal),
    "Expand": _expand,
    "Floor": lambda inputs, attribute: np.floor(inputs[0]),
    "Gather": _gather,
    "Identity": lambda inputs, attribute: inputs[0],
    "Mul": _pair(np.multiply),
    "Neg": lambda inputs, attribute: np.negative(inputs[0]),
    "Range": _range,
    "Reshape": lambda inputs, attribute: inputs[0].reshape(
        reshaped(inputs[0].shape, np.ravel(inputs[1]).tolist(), allowzero=bool(attribute("allowzero", 0)))
    ),
    "Slice": _slice,
    "Sqrt": lambda inputs, attribute: np.sqrt(inputs[0]),
    "Squeeze": _squeeze,
    "Sub": _pair(np.subtract),
    "Transpose": lambda inputs, attribute: np.transpose(inputs[0], attribute("perm", None)),
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}
