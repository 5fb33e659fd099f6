"""One table: for each operator of ONNX that is read, how layers stand for it. Files by family, as with the layers."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from layerkit.blob import Array
from layerkit.convert.onnx.building import Builder, Known, plain_name
from layerkit.convert.onnx.node import NotReadableError, OnnxNode

FIXED = {"lr_mult": 0, "decay_mult": 0}
"""How a weight that is a constant of the model's formula is trained: not at all."""


class At:
    """A node and the net that grows: what a reader works with."""

    def __init__(self, node: OnnxNode, net: Builder):
        self.node, self.net = node, net
        self.name = plain_name(node.outputs[0] if node.outputs else node.label)
        self._constants: dict[int, Known] = {}

    def blob(self, i: int, *, whole: bool = False) -> Known:
        """Input i as a blob; a constant becomes one. `whole`: it may have been made of whole numbers."""
        value = self.node.inputs[i] if i < len(self.node.inputs) else None
        if value is None:
            self.node.fail(f"its input {i} is missing")
        if not isinstance(value, Known):
            if i not in self._constants:
                self._constants[i] = self.net.constant(self.name, value)
            return self._constants[i]
        if value.whole and not whole:
            self.node.fail("its input was made whole numbers or truth values, and blobs hold floating-point numbers")
        return value

    def add(
        self,
        kind: str,
        *bottoms: Known,
        step: str = "",
        weights: Mapping[str, Array] | None = None,
        param: Sequence[Mapping[str, Any]] = (),
        **params: Any,
    ) -> Known:
        """Add a layer with one top; `step` names one that is not the node's last."""
        name = f"{self.name}/{step}" if step else self.name
        return self.net.layer(kind, name, *bottoms, weights=weights, param=param, **params)[0]


Reader = Callable[[At], "Known | list[Known]"]
AnyReader = TypeVar("AnyReader", bound=Reader)

_readers: dict[str, Reader] = {}


def reads(*kinds: str) -> Callable[[AnyReader], AnyReader]:
    """Decorator: make a function the reader of these operators."""

    def register(function: AnyReader) -> AnyReader:
        _readers.update(dict.fromkeys(kinds, function))
        return function

    return register


@cache
def table() -> dict[str, Reader]:
    """All readers by operator."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)
    return _readers


def read(node: OnnxNode, net: Builder) -> Sequence[Known]:
    """Let layers stand for a node; returns what stands for its outputs. Raises NotReadableError with the reason."""
    reader = table().get(node.kind) if node.domain in ("", "ai.onnx") else None
    if reader is None:
        raise NotReadableError("layerkit has no layer that does this")
    found = reader(At(node, net))
    return found if isinstance(found, list) else [found]
