"""One table: for each layer type a rule that writes it with ONNX's operators, or the reason why there is none."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar

from layerkit.convert.onnx.here import Here, NotExpressibleError
from layerkit.convert.onnx.values import Value

Rule = Callable[..., "Value | Sequence[Value]"]
"""Called with the layer's `Here` and the values of its bottoms; returns the value of its top, or of its tops."""
AnyRule = TypeVar("AnyRule", bound=Rule)

_rules: dict[str, Rule] = {}

REASONS = {
    "HDF5Output": "it writes a file, and a model only computes",
    "MultiBoxLoss": "its matching, one pair of box and prior after the other until none is left, has no operator",
    "Python": "it runs code of its user's, which no file holds",
}
"""Why types have no rule, as what follows on "ONNX cannot express it:"."""


def rule(*types: str) -> Callable[[AnyRule], AnyRule]:
    """Decorator: make a function the rule of these layer types."""

    def register(function: AnyRule) -> AnyRule:
        _rules.update(dict.fromkeys(types, function))
        return function

    return register


@cache
def table() -> dict[str, Rule]:
    """All rules by layer type."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)
    return _rules


def write(kind: str, here: Here, bottoms: Sequence[Value]) -> list[Value]:
    """Write a layer of this type; returns its tops. Raises NotExpressibleError with the reason."""
    found = table().get(kind)
    if found is None:
        raise NotExpressibleError(REASONS.get(kind, "it is of a type that layerkit has no ONNX rule for"))
    written = found(here, *bottoms)
    return [written] if isinstance(written, Value) else list(written)
