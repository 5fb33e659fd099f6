"""Values of a model that is being written. Arithmetic on them writes nodes, so that rules read like formulas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from layerkit.blob import Array
from layerkit.convert.onnx.package import onnx


class Value:
    """One tensor of the model, by name. `x * 2 + y`, `x > 0`, `-x` and `x**2` write the nodes that compute them."""

    def __init__(self, name: str, nodes: Nodes):
        self.name, self._nodes = name, nodes

    def __add__(self, other: Value | float | Array) -> Value:
        return self._nodes.op("Add", self, other)

    def __sub__(self, other: Value | float | Array) -> Value:
        return self._nodes.op("Sub", self, other)

    def __rsub__(self, other: float) -> Value:
        return self._nodes.op("Sub", other, self)

    def __mul__(self, other: Value | float | Array) -> Value:
        return self._nodes.op("Mul", self, other)

    def __truediv__(self, other: Value | float | Array) -> Value:
        return self._nodes.op("Div", self, other)

    def __pow__(self, other: float) -> Value:
        return self._nodes.op("Pow", self, other)

    def __neg__(self) -> Value:
        return self._nodes.op("Neg", self)

    def __gt__(self, other: Value | float) -> Value:
        return self._nodes.op("Greater", self, other)

    def __lt__(self, other: Value | float) -> Value:
        return self._nodes.op("Less", self, other)

    def __ge__(self, other: Value | float) -> Value:
        return self._nodes.op("GreaterOrEqual", self, other)


class Constants:
    """The constants of a model by name; those without a name of their own each once."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self._names: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def add(self, array: Array, name: str = "") -> str:
        """Add a constant and return its name: `name`, or one that stands for these values."""
        if name:
            self.arrays[name] = array
            return name
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._names:
            self._names[key] = f"constant.{len(self._names)}"
            self.arrays[self._names[key]] = array
        return self._names[key]


class Nodes:
    """A list of nodes that grows: those of the model, or of a body inside one (a Scan's), which sees the model's."""

    def __init__(self, constants: Constants, prefix: str = "", inside: Nodes | None = None):
        self.constants, self.prefix = constants, prefix
        self.protos: list[Any] = []
        self._counter: list[int] = inside._counter if inside else [0]

    def op(self, kind: str, *inputs: Any, **attributes: Any) -> Value:
        """Write a node and return its output; see `ops`."""
        return self.ops(1, kind, *inputs, **attributes)[0]

    def ops(self, count: int, kind: str, *inputs: Any, **attributes: Any) -> list[Value]:
        """Write a node with so many outputs and return them.

        `inputs` are values, numbers, arrays, lists of integers, or None for one that is left out.
        """
        names = [self.fresh(kind) for _ in range(count)]
        read = [self._read(each) for each in inputs]
        given = {key: value for key, value in attributes.items() if value is not None}
        self.protos.append(onnx().helper.make_node(kind, read, names, name=f"{names[0]}.node", **given))
        return [Value(name, self) for name in names]

    def constant(self, array: Array, name: str = "") -> Value:
        """A constant, of the array's own type."""
        return Value(self.constants.add(np.ascontiguousarray(array).reshape(array.shape), name), self)

    def value(self, name: str) -> Value:
        """The value of that name."""
        return Value(name, self)

    def rename(self, names: Mapping[str, str]) -> None:
        """Give values that the nodes write other names."""
        for proto in self.protos:
            for part in (proto.input, proto.output):
                part[:] = [names.get(name, name) for name in part]

    def fresh(self, kind: str) -> str:
        """A name that nothing has yet."""
        self._counter[0] += 1
        return f"{self.prefix}{kind.lower()}_{self._counter[0]}"

    def _read(self, given: Any) -> str:
        if given is None:
            return ""
        if isinstance(given, Value):
            return given.name
        if isinstance(given, np.ndarray):
            return self.constant(given).name
        if isinstance(given, list | tuple):
            return self.constant(np.array(given, np.int64)).name
        return self.constant(np.array(given, np.float32)).name
