"""The net that grows while a model is read: layers, planned one by one, and their weights."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.errors import ShapeError
from layerkit.graph import plan_alone
from layerkit.registry import layer_class

BATCH = 9973
"""The size of a batch that nets are planned for while they are read: a prime that no length has by chance, so that it
shows where a length comes from the batch. Planning takes no memory."""


class Known(NamedTuple):
    """A blob and its shape; `whole` where the model has made its numbers whole ones, which only some layers read."""

    name: str
    shape: Shape
    whole: bool = False

    @property
    def rank(self) -> int:
        """How many axes it has."""
        return len(self.shape)


class Builder:
    """Layers and weights. `uses` says how often each value of the model is read."""

    def __init__(self, uses: Mapping[str, int]):
        self._uses = uses
        self._layers: list[dict[str, Any]] = []
        self._names: set[str] = set()
        self._given: set[str] = set()
        self.weights: dict[str, Array] = {}

    def input(self, name: str, shape: Shape) -> Known:
        """An input of the net."""
        own = self._fresh(plain_name(name))
        written = [1 if length == BATCH else length for length in shape]
        self._layers.append({"name": own, "type": "Input", "shape": written})
        return Known(own, shape)

    def given(self, blob: Known) -> None:
        """Take it that a blob is there, as an input of the net that this one is the body of."""
        self._names.add(blob.name)
        self._given.add(blob.name)

    def makes(self, blob: Known) -> bool:
        """Whether a layer makes a blob."""
        return blob.name not in self._given

    @property
    def layers(self) -> list[dict[str, Any]]:
        """The layers, each with its bottoms."""
        return self._layers

    def layer(
        self,
        kind: str,
        name: str,
        *bottoms: Known,
        weights: Mapping[str, Array] | None = None,
        tops: int = 1,
        param: Sequence[Mapping[str, Any]] = (),
        **params: Any,
    ) -> list[Known]:
        """Add a layer; parameters that are the type's defaults are left out. Returns its tops.

        Raises ShapeError where the bottoms or the weights do not fit it.
        """
        cls = layer_class(kind)
        fields = cls.Params.model_fields
        given = {
            key: value
            for key, value in params.items()
            if value is not None and value != fields[key].get_default(call_default_factory=True)
        }
        layer = cls(cls.Params.model_validate(given), "predict", tops)
        plan, _ = plan_alone(layer, *(bottom.shape for bottom in bottoms))
        own = self._fresh(name)
        found = weights or {}
        for weight in plan.weights:
            array = np.ascontiguousarray(found[weight.name], np.float32)
            if array.size != math.prod(weight.shape):
                raise ShapeError(
                    f"its weight {weight.name} has the shape {list(array.shape)}, not {list(weight.shape)}"
                )
            self.weights[f"{own}.{weight.name}"] = array.reshape(weight.shape)
        given = {key: _plain_value(key, value) for key, value in given.items()}
        names = [own] if tops == 1 else [self._fresh(f"{own}_{i}") for i in range(tops)]
        written: dict[str, Any] = {"name": own, "type": kind, "bottom": [bottom.name for bottom in bottoms]}
        if tops != 1:
            written["top"] = names
        if param:
            written["param"] = [dict(each) for each in param]
        self._layers.append({**written, **given})
        return [Known(top, tuple(shape)) for top, shape in zip(names, plan.tops, strict=True)]

    def constant(self, name: str, array: Array) -> Known:
        """A constant as a blob: a weight that is not trained."""
        fixed = [{"lr_mult": 0, "decay_mult": 0}]
        (top,) = self.layer(
            "Parameter", f"{name}/constant", shape=list(array.shape), weights={"weight": array}, param=fixed
        )
        return top

    def reshape(self, name: str, x: Known, target: Sequence[int]) -> Known:
        """x in another shape, written so that it holds for every batch."""
        target = tuple(int(length) for length in target)
        if target == x.shape:
            return x
        if x.rank > 1 and target == (x.shape[0], math.prod(x.shape[1:])):
            return self.layer("Flatten", name, x)[0]
        shape: list[int] = []
        for i, length in enumerate(target):
            of_batch = length % BATCH == 0 and length > 0
            copied = i < x.rank and x.shape[i] == length and (of_batch or i == 0)
            shape.append(0 if copied else -1 if of_batch and -1 not in shape else length)
        return self.layer("Reshape", name, x, shape=shape)[0]

    def used(self, name: str) -> bool:
        """Whether any node reads a value of the model, or it is an output."""
        return self._uses.get(name, 0) > 0

    def used_once(self, name: str) -> bool:
        """Whether just one node reads a value of the model."""
        return self._uses.get(name, 0) == 1

    def planned(self, kind: str, bottom: Known, **params: Any) -> Shape:
        """The shape of the top that a layer would have. Raises ShapeError."""
        cls = layer_class(kind)
        given = {key: value for key, value in params.items() if value is not None}
        return tuple(cls(cls.Params.model_validate(given), "predict").plan(bottom.shape).tops[0])

    def without_bias(self, blob: Known) -> str:
        """The type of the layer that makes a blob, if it could have a bias and has none; else nothing."""
        layer = next((layer for layer in self._layers if layer["name"] == blob.name), {})
        return str(layer["type"]) if layer.get("bias_term") is False else ""

    def give_bias(self, blob: Known, bias: Array) -> Known:
        """Give the layer that makes a blob a bias; returns the blob."""
        layer = next(layer for layer in self._layers if layer["name"] == blob.name)
        del layer["bias_term"]
        self.weights[f"{blob.name}.bias"] = np.ascontiguousarray(bias, np.float32).ravel()
        return blob

    def output(self, name: str, blob: Known) -> None:
        """See to it that the net has an output of that name."""
        own = plain_name(name)
        if own == blob.name and not any(blob.name in layer.get("bottom", ()) for layer in self._layers):
            return
        if own in self._names:
            blob = self._rename(own, blob)
        self.layer("Split", own, blob)

    def silence(self, outputs: Sequence[str]) -> None:
        """Let go of every blob that nobody reads and that is none of these outputs."""
        read = {name for layer in self._layers for name in layer.get("bottom", ())} | set(map(plain_name, outputs))
        made = [name for layer in self._layers for name in layer.get("top", [layer["name"]])]
        rest = [Known(name, ()) for name in made if name not in read]
        if rest:
            self.layer("Silence", "unread", *rest, tops=0)

    def _rename(self, name: str, blob: Known) -> Known:
        """Let whatever has this name go by another one; returns the blob, which may have been it."""
        other = self._fresh(f"{name}/before")
        for layer in self._layers:
            for field in ("bottom", "top"):
                if field in layer:
                    layer[field] = [other if each == name else each for each in layer[field]]
            if layer["name"] == name:
                layer["name"] = other
        moved = {key: key.removeprefix(f"{name}.") for key in self.weights if key.startswith(f"{name}.")}
        for key, weight in moved.items():
            self.weights[f"{other}.{weight}"] = self.weights.pop(key)
        self._names.remove(name)
        return blob._replace(name=other) if blob.name == name else blob

    def tree(self, name: str) -> dict[str, Any]:
        """The tree of the net's YAML file, without what its defaults say."""
        layers = []
        before = None
        for layer in self._layers:
            written = dict(layer)
            bottoms = written.get("bottom", [])
            if not bottoms or bottoms == [before]:
                written.pop("bottom", None)
            elif len(bottoms) == 1:
                written["bottom"] = bottoms[0]
            layers.append(written)
            before = layer["top"][0] if layer.get("top") else layer["name"]
        return {"name": plain_name(name) or "net", "layers": layers}

    def _fresh(self, name: str) -> str:
        """The name, or one like it that nothing has yet."""
        found, i = name, 1
        while found in self._names:
            i += 1
            found = f"{name}_{i}"
        self._names.add(found)
        return found


def _plain_value(key: str, value: Any) -> Any:
    """A parameter as one writes it: a list of one number as the number, but for shapes."""
    single = isinstance(value, list) and len(value) == 1 and not isinstance(value[0], list | dict) and key != "shape"
    return value[0] if single else value


_OUTPUT = re.compile(r"_output_0$")
_ODD = re.compile(r"[^\w/-]+")


def plain_name(name: str) -> str:
    """A name that layers and blobs can have, made of one of the model's."""
    parts = [_ODD.sub("_", part) for part in _OUTPUT.sub("", name).split("/")]
    return "/".join(part for part in parts if part)[:200] or "value"
