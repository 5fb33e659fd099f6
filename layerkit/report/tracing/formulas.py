"""How the primitives of a formula are called and written down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from layerkit.layers.expression.nodes import Node

_BETWEEN = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**", "matmul": "@", "greater": ">",
    "greater_equal": ">=", "less": "<", "less_equal": "<=", "equal": "==", "not_equal": "!=", "both": "and",
    "either": "or",
}  # fmt: skip
_BEFORE = {"negative": "-", "opposite": "not "}
_CALLED = {"maximum": "max", "minimum": "min"}


def written(node: Node, names: Sequence[str]) -> str:
    """A primitive as a formula has it: `x + y`, `sum(x, axis=0)`; `names` are what its arguments are called."""
    if node.kind in _BETWEEN:
        return f" {_BETWEEN[node.kind]} ".join(names)
    if node.kind in _BEFORE:
        return f"{_BEFORE[node.kind]}{names[0]}"
    settings = [f"{name}={_setting(value)}" for name, value in node.settings.items()]
    return f"{_CALLED.get(node.kind, node.kind)}({', '.join([*names, *settings])})"


def _setting(value: Any) -> str:
    return str(value[0]) if isinstance(value, tuple) and len(value) == 1 else str(value)
