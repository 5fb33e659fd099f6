"""How a layer of a graph is written: the model's own layers, and those of the bodies that layers may have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from layerkit.convert.onnx import rules
from layerkit.convert.onnx.batches import Batches
from layerkit.convert.onnx.here import Dims, Here, NotExpressibleError
from layerkit.convert.onnx.values import Constants, Nodes, Value
from layerkit.errors import ShapeError
from layerkit.graph import Node, Ref
from layerkit.weights import WeightStore

Names = Mapping[tuple[str, str], str]
"""What the weights are called among the model's constants, by layer and name."""


def name_weights(store: WeightStore, constants: Constants, names: Mapping[str, str] | None = None) -> Names:
    """Put every weight among the constants, once, unless `names` says under which name it is there already."""
    called = {}
    for slot in store.slots.values():
        name = "" if names is None else names[slot.key]
        if not name:
            values = np.asarray(slot.blob.values, np.float32)
            name = constants.add(np.ascontiguousarray(values).reshape(values.shape), slot.key)
        for use in slot.uses:
            same = use.blob.shape == slot.shape
            called[use.layer, use.weight] = name if same else constants.add(use.blob.data.copy(), use.key)
    return called


def place(node: Node, batches: Batches, weights: Names, nodes: Nodes) -> Here:
    """The layer of a node as its rule sees it."""
    bottoms, tops = ([batches.dims(ref) for ref in refs] for refs in (node.bottoms, node.tops))
    here = Here(node.layer, nodes, bottoms, tops, [batches.graph.shapes[ref] for ref in node.bottoms])
    here.weights = {weight.name: weights[node.name, weight.name] for weight in node.plan.weights}
    here.bodies = {body.name: _body(node, body.name, batches, here) for body in node.plan.bodies}
    return here


def _body(node: Node, name: str, batches: Batches, here: Here) -> Body:
    inside = f"{name}/"
    given = {key.removeprefix(inside): each for key, each in here.weights.items() if key.startswith(inside)}
    weights = name_weights(node.layer.bodies[name].store, here.nodes.constants, given)
    return Body(name, batches.inside(node, name), weights, here, [(batches, ref) for ref in node.bottoms])


@dataclass(frozen=True)
class Body:
    """A layer's body, which its rule lets write its layers where they shall stand."""

    name: str
    _batches: Batches
    _weights: Names
    _here: Here
    _outside: Sequence[tuple[Batches, Ref]] = field(repr=False)

    def dims(self, name: str) -> Dims:
        """The dimensions of a blob of the body."""
        return self._batches.dims(self._batches.graph.last[name])

    def write(self, nodes: Nodes, given: Mapping[str, Value]) -> dict[str, Value]:
        """Write the layers behind these nodes, from the values of the inputs; returns those of all blobs, by name.

        Raises NotExpressibleError for a layer that ONNX cannot express.
        """
        values = {Ref(name): value for name, value in given.items()}
        for node in self._batches.graph.nodes:
            if not values.keys() >= {*node.tops}:  # the inputs are there
                made = self._write(node, nodes, [values[ref] for ref in node.bottoms])
                values.update(zip(node.tops, made, strict=True))
        return {name: values[ref] for name, ref in self._batches.graph.last.items()}

    def _write(self, node: Node, nodes: Nodes, bottoms: Sequence[Value]) -> list[Value]:
        own = Nodes(nodes.constants, f"{nodes.prefix}{node.name}.", nodes)
        here = place(node, self._batches, self._weights, own)
        try:
            values = rules.write(node.spec.type, here, [own.value(each.name) for each in bottoms])
        except NotExpressibleError as error:
            raise NotExpressibleError(f"of the layer {node.name!r} in {self.name}, {error}") from None
        nodes.protos += own.protos
        self._here.notes += [f"layer {node.name!r} in {self.name}: {note}" for note in here.notes]
        self._here.opset = min(self._here.opset, here.opset)
        return values

    def expect_steady(self) -> None:
        """Raise NotExpressibleError where a layer remembers something from one run to the next by itself."""
        for name, node in self._here.layer.bodies[self.name].nodes():
            if node.plan.state:
                raise NotExpressibleError(
                    f"its layer {name.partition('/')[2]!r} has a state of its own, which goes on from run to run; "
                    f"let it be a state of this layer"
                )

    def for_rows_of(self, bottom: int) -> Body | None:
        """The body for as many rows as a bottom of its layer has, if each row of what it makes then stays as it is."""
        try:
            batches = self._batches.of_all_rows(*self._outside[bottom])
        except ShapeError:
            return None
        rows = batches.graph.shapes[Ref(batches.graph.inputs[0])][:1]
        apart = all(
            (node.plan.by_rows or node.spec.type == "Input")
            and all(batches.graph.shapes[ref][:1] == rows for ref in node.tops)
            for node in batches.graph.nodes
        )
        return replace(self, _batches=batches) if apart else None
