"""Patterns of nodes that are one layer: GELU, which most exporters write as 0.5 x (1 + erf(x / sqrt(2)))."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from layerkit.convert.onnx.package import onnx


def with_gelus(nodes: Iterable[Any], numbers: Mapping[str, float], outputs: Iterable[str]) -> list[Any]:
    """The nodes with a Gelu for each of its patterns; `numbers` are the constants of one number by name.

    A pattern is left alone where another node, or an output of the model, reads a value inside it.
    """
    found = list(nodes)
    search = _Search(found, numbers, outputs)
    for erf in [node for node in found if node.op_type == "Erf"]:
        match = search.gelu(erf)
        if match is None:
            continue
        x, inside = match
        last = inside[-1]
        at = next(i for i, node in enumerate(found) if node is last)
        found[at] = onnx().helper.make_node("Gelu", [x], list(last.output), name=last.name)
        found = [node for node in found if not any(node is each for each in inside)]
    return found


class _Search:
    def __init__(self, nodes: list[Any], numbers: Mapping[str, float], outputs: Iterable[str]):
        self._numbers = numbers
        self._maker = {name: node for node in nodes for name in node.output}
        self._readers: dict[str, list[Any]] = {}
        for node in nodes:
            for name in set(node.input):
                self._readers.setdefault(name, []).append(node)
        self._uses = Counter(outputs)

    def gelu(self, erf: Any) -> tuple[str, list[Any]] | None:
        """x and the nodes of the pattern around an Erf, the last behind the others; None where it is no GELU."""
        scaled = self._maker.get(erf.input[0])
        x = None if scaled is None or not self._alone(erf.input[0]) else self._scaled(scaled)
        plus = self._reader(erf.output[0], "Add")
        if x is None or plus is None or not self._is(self._other(plus, erf.output[0]), 1):
            return None
        inside = [scaled, erf, plus]
        value, by_x, by_half = plus.output[0], False, False
        while not (by_x and by_half):
            node = self._reader(value, "Mul")
            if node is None:
                return None
            factor = self._other(node, value)
            half = self._maker.get(factor)
            if factor == x and not by_x:
                by_x = True
            elif self._is(factor, 0.5) and not by_half:
                by_half = True
            elif half is not None and self._alone(factor) and self._halved(half, x) and not (by_x or by_half):
                by_x = by_half = True
                inside.append(half)
            else:
                return None
            inside.append(node)
            value = node.output[0]
        return x, inside

    def _scaled(self, node: Any) -> str | None:
        """Of x / sqrt(2), written one way or the other, x."""
        names = [str(name) for name in node.input]
        if node.op_type == "Div" and self._is(names[1], math.sqrt(2)):
            return names[0]
        if node.op_type == "Mul":
            return next((self._other(node, name) for name in names if self._is(name, math.sqrt(0.5))), None)
        return None

    def _halved(self, node: Any, x: str) -> bool:
        return node.op_type == "Mul" and x in node.input and self._is(self._other(node, x), 0.5)

    def _is(self, name: str, number: float) -> bool:
        return math.isclose(self._numbers.get(name, math.nan), number, rel_tol=1e-4)

    def _alone(self, name: str) -> bool:
        """Whether just one node reads a value, and it is no output."""
        return len(self._readers.get(name, [])) == 1 and not self._uses[name]

    def _reader(self, name: str, kind: str) -> Any:
        """The one node that reads a value, if it is of this kind and reads it once."""
        readers = self._readers.get(name, [])
        alone = self._alone(name) and readers[0].op_type == kind and list(readers[0].input).count(name) == 1
        return readers[0] if alone else None

    def _other(self, node: Any, name: str) -> str:
        """The input beside the one of this name."""
        return str(node.input[1] if node.input[0] == name else node.input[0])
