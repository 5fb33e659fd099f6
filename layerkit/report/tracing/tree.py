"""A trace as a tree of JSON's types."""

from __future__ import annotations

from typing import Any

import numpy as np

from layerkit.blob import Array
from layerkit.report.tracing import numbers
from layerkit.report.tracing.local import Local
from layerkit.report.tracing.passes import Trace


def of(trace: Trace) -> dict[str, Any]:
    """Values and edges. Of an array with many elements there are shape, norm and histogram, else all its numbers."""
    what = "gradient" if trace.reverse else "tangent"
    values = []
    for number, value in enumerate(trace.steps.values):
        step = trace.steps.steps[value.step]
        entry = {"name": value.name, "layer": step.layer, "made": step.written, "value": _array(value.data)}
        if number in trace.totals:
            entry[what] = _array(trace.totals[number])
        values.append(entry)
    edges = [
        {
            "from": trace.steps.values[edge.source].name,
            "to": trace.steps.values[edge.result].name,
            "upstream" if trace.reverse else "tangent": _array(edge.entering),
            "local": _local(edge.local),
            "product": _array(edge.product),
        }
        for edge in trace.edges
    ]
    about = "of" if trace.reverse else "along"
    return {"net": trace.steps.title, "mode": trace.mode, about: trace.about, "values": values, "edges": edges}


def _array(array: Array) -> dict[str, Any]:
    shape = list(array.shape)
    if array.size <= numbers.FEW:
        return {"shape": shape, "numbers": _numbers(array.tolist())}
    found: dict[str, Any] = {"shape": shape, "norm": _finite(float(np.linalg.norm(array)))}
    histogram = numbers.histogram(array)
    if histogram is not None:
        found |= dict(zip(("histogram", "min", "max"), histogram, strict=True))
    return found


def _local(local: Local) -> dict[str, Any]:
    """A derivative by element in the result's shape, or a Jacobian, whose shape is the result's and the argument's."""
    kind: dict[str, Any] = {"by_element": local.by_element}
    if local.array is not None and local.array.size <= numbers.FEW_OF_JACOBIAN:
        return kind | {"shape": list(local.array.shape), "numbers": _numbers(local.array.tolist())}
    if local.array is not None:
        return kind | _array(local.array)
    shape = [*local.result, *local.argument]
    return kind | {"shape": shape, "norm": _finite(local.norm), "estimated": local.estimated}


def _numbers(found: Any) -> Any:
    return [*map(_numbers, found)] if isinstance(found, list) else _finite(found)


def _finite(value: float) -> float | str:
    """A number; JSON has no others than finite ones, so that others are written as texts."""
    return value if np.isfinite(value) else str(value)
