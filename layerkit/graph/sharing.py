"""Weights of one name are one weight: their shapes must fit, and their multipliers are settled for all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from layerkit.blob import shape_text
from layerkit.errors import Problems
from layerkit.graph.node import Node

Use = tuple[Node, int]
"""A layer and the number of the weight among its own."""


def settle(nodes: Sequence[Node], problems: Problems) -> list[Node]:
    """The nodes with the multipliers that hold for every use of a shared weight.

    As in Caffe, lr_mult and decay_mult may be written at any use and hold for all. Problems: shapes that differ (or,
    under PERMISSIVE, numbers of elements), multipliers that are written differently at two uses.
    """
    uses: dict[str, list[Use]] = {}
    for node in nodes:
        for i, param in enumerate(node.params):
            if param.name:
                uses.setdefault(param.name, []).append((node, i))
    settled = {name: _settle_one(name, group, problems) for name, group in uses.items()}
    return [
        replace(node, params=tuple(param.model_copy(update=settled.get(param.name or "")) for param in node.params))
        for node in nodes
    ]


def _settle_one(name: str, uses: Sequence[Use], problems: Problems) -> dict[str, Any]:
    """What was written of a shared weight's multipliers."""
    owner, first = uses[0][0], uses[0][0].plan.weights[uses[0][1]]
    written: dict[str, tuple[Node, float]] = {}
    for node, i in uses:
        weight, param = node.plan.weights[i], node.params[i]
        fits = first.shape == weight.shape
        if param.share_mode == "PERMISSIVE":
            fits = math.prod(first.shape) == math.prod(weight.shape)
        if not fits:
            here, there = shape_text(weight.shape), shape_text(first.shape)
            message = f"the shared weight {name!r} is {here} here and {there} in layer {owner.name!r}"
            problems.found.append(node.spec.problem(message, "param", i))
        for field in {"lr_mult", "decay_mult"} & param.model_fields_set:
            value = getattr(param, field)
            other, before = written.setdefault(field, (node, value))
            if value != before:
                message = (
                    f"{field} of the shared weight {name!r} is {value:g} here and {before:g} in layer {other.name!r}"
                )
                problems.found.append(node.spec.problem(message, "param", i, field))
    return {field: value for field, (_, value) in written.items()}
