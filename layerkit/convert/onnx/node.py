"""A node of a model that is read: its attributes and inputs, whichever way its version of the operator gives them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from layerkit.blob import Array
from layerkit.convert.onnx import files
from layerkit.convert.onnx.building import Known
from layerkit.convert.onnx.package import onnx
from layerkit.errors import LayerkitError


class NotReadableError(LayerkitError):
    """A node that no layer can stand for; the message is the reason."""


class OnnxNode:
    """A node and what is known of its inputs: a constant's array, a blob, or None where an input is left out."""

    def __init__(
        self, proto: Any, values: Mapping[str, Array | Known | None], path: str | os.PathLike[str], version: int
    ):
        self._proto, self._path = proto, path
        self.kind = str(proto.op_type)
        self.domain = str(proto.domain)
        self.label = str(proto.name or next(iter(proto.output), ""))
        """What the node is called in messages."""
        self.inputs = [values.get(name) for name in proto.input]
        self.lost = any(name and values.get(name) is None for name in proto.input)
        """Whether it reads what could not be read."""
        self.outputs = list(proto.output)
        self.names = list(proto.input)
        """The names of the inputs."""
        self.version = version
        """The version of ONNX's operators that the model uses."""

    def attribute(self, name: str, default: Any) -> Any:
        """The value of an attribute: a number, text, list, array or graph; `default` without it."""
        for each in self._proto.attribute:
            if each.name == name:
                value = onnx().helper.get_attribute_value(each)
                if each.type == onnx().AttributeProto.TENSOR:
                    return files.constant(value, self._path)
                if isinstance(value, bytes):
                    return value.decode("utf-8", "replace")
                return list(value) if each.type in (6, 7, 8) else value
        return default

    def fail(self, reason: str) -> NoReturn:
        """Say that no layer can stand for this node."""
        raise NotReadableError(reason)

    def need(self, name: str, default: Any, only: Any) -> None:
        """Say so unless an attribute has the only value that can be read."""
        value = self.attribute(name, default)
        if value != only:
            self.fail(f"{name} is {value}, and layerkit has a layer only for {only}")

    def array(self, i: int) -> Array | None:
        """Input i, which has to be a constant if it is there."""
        value = self.inputs[i] if i < len(self.inputs) else None
        if isinstance(value, Known):
            self.fail(f"its input {i} is computed, and layerkit has a layer only for a constant")
        return value

    def needed(self, i: int) -> Array:
        """Input i, which has to be a constant and to be there."""
        value = self.array(i)
        if value is None:
            self.fail(f"its input {i} is missing")
        return value

    def number(self, i: int, name: str, default: float | None) -> float | None:
        """A number that newer versions have as input i and older ones as an attribute."""
        given = self.array(i)
        if given is not None:
            return float(given.item())
        value = self.attribute(name, default)
        return None if value is None else float(value)

    def integers(self, i: int, name: str) -> list[int] | None:
        """Integers that newer versions have as input i and older ones as an attribute."""
        given = self.array(i)
        value = self.attribute(name, None) if given is None else np.ravel(given).tolist()
        return None if value is None else [int(each) for each in value]

    def constant_value(self) -> Array:
        """What a Constant holds."""
        for name, kind in (("value_float", np.float32), ("value_int", np.int64)):
            if self.attribute(name, None) is not None:
                return np.asarray(self.attribute(name, None), kind)
            if self.attribute(f"{name}s", None) is not None:
                return np.asarray(self.attribute(f"{name}s", None), kind)
        value = self.attribute("value", None)
        if value is None:
            self.fail("it holds no numbers")
        return np.asarray(value)

    def shape_value(self) -> Array:
        """The shape of input 0, as a constant."""
        given = self.inputs[0]
        if given is None:
            self.fail("its input 0 is missing")
        return np.array(given.shape[self.attribute("start", 0) : self.attribute("end", None)], np.int64)
