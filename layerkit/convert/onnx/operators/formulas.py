"""What formulas stand for: functions and comparisons that no other layer is, as layers of type Expression."""

from __future__ import annotations

import math
from collections.abc import Mapping

from layerkit.blob import Array
from layerkit.convert.onnx.building import Known
from layerkit.convert.onnx.folding import axes_of
from layerkit.convert.onnx.operators import At, reads
from layerkit.convert.onnx.operators.elementwise import short

OF_ONE = {
    "Cos": "cos(x)",
    "Sign": "sign(x)",
    "Sin": "sin(x)",
    "Softsign": "x / (1 + abs(x))",
    "Tan": "tan(x)",
}
COMPARISONS = {
    "And": "a and b",
    "Equal": "a == b",
    "Greater": "a > b",
    "GreaterOrEqual": "a >= b",
    "Less": "a < b",
    "LessOrEqual": "a <= b",
    "Not": "not a",
    "Or": "a or b",
}
"""Their results are truth values."""
REDUCTIONS = {"ReduceL2": "sqrt(sum(square(x){}))", "ReduceMax": "max(x{})", "ReduceMin": "min(x{})"}


def formula(at: At, expr: str, given: Mapping[str, Known | Array], step: str = "") -> Known:
    """A layer of a formula over blobs and constants by their names; at least one is a blob.

    A constant of one number is a constant of the formula, and another is a blob of its own.
    """
    rank = max(value.rank for value in given.values() if isinstance(value, Known))
    blobs: dict[str, Known] = {}
    numbers: dict[str, float] = {}
    for name, value in given.items():
        if isinstance(value, Known):
            blobs[name] = value
        elif value.size == 1 and value.ndim <= rank:
            numbers[name] = short(value.item())
        else:
            blobs[name] = at.net.constant(at.name, value)
    return at.add("Expression", *blobs.values(), step=step, expr=expr, names=list(blobs), constants=numbers)


def _given(at: At, i: int, *, whole: bool = False) -> Known | Array:
    """Input i as it is: a constant, or a blob."""
    value = at.node.inputs[i]
    return at.blob(i, whole=whole) if value is None or isinstance(value, Known) else value


@reads(*OF_ONE)
def _of_one(at: At) -> Known:
    return formula(at, OF_ONE[at.node.kind], {"x": at.blob(0)})


@reads("Erf")
def _erf(at: At) -> Known:
    """By GELU, which is v (1 + erf(v / sqrt(2))) / 2."""
    v = at.add("Power", at.blob(0), step="scaled", scale=math.sqrt(2))
    gelu = at.add("GELU", v, step="gelu")
    return formula(at, "2 * where(v == 0, 0.5, gelu / where(v == 0, 1, v)) - 1", {"v": v, "gelu": gelu})


@reads(*COMPARISONS)
def _comparison(at: At) -> Known:
    names = "ab"[: len(at.node.inputs)]
    given = {name: _given(at, i, whole=True) for i, name in enumerate(names)}
    return formula(at, COMPARISONS[at.node.kind], given)._replace(whole=True)


@reads("Where")
def _where(at: At) -> Known:
    return formula(at, "where(c, a, b)", {"c": _given(at, 0, whole=True), "a": _given(at, 1), "b": _given(at, 2)})


@reads("Min")
def _min(at: At) -> Known:
    given = {f"x{i}": _given(at, i) for i in range(len(at.node.inputs))}
    return at.blob(0) if len(given) == 1 else formula(at, f"min({', '.join(given)})", given)


@reads("Pow")
def _pow(at: At) -> Known:
    base, exponent = _given(at, 0), _given(at, 1)
    if isinstance(base, Known) and not isinstance(exponent, Known) and exponent.size == 1:
        return at.add("Power", base, power=short(exponent.item()))
    return formula(at, "a ** b", {"a": base, "b": exponent})


@reads(*REDUCTIONS)
def _reduce(at: At) -> Known:
    axes = axes_of([None, at.node.array(1)], at.node.attribute)
    if not axes and at.node.attribute("noop_with_empty_axes", 0):
        return at.blob(0)
    settings = f", axis=({', '.join(map(str, axes))},)" if axes else ""
    settings += ", keepdims=True" if at.node.attribute("keepdims", 1) else ""
    return formula(at, REDUCTIONS[at.node.kind].format(settings), {"x": at.blob(0)})
