"""From what a tape recorded to the layers of a net in YAML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from layerkit.eager.call import Call, Step
from layerkit.eager.variable import Variable
from layerkit.errors import UsageError
from layerkit.graph import Node
from layerkit.layer import Body

Names = Mapping[str, str]
"""What `param` is to call weights that are shared, by their names in the layer that has them."""


def whole_net(steps: Sequence[Step | Variable]) -> list[dict[str, Any]]:
    """The layers, in the order in which they ran. Weights that several calls used have a name, as `param` gives it.

    Raises UsageError where several calls share a weight inside a body that cannot be given a name there.
    """
    uses = Counter(key for step in steps if isinstance(step, Step) for key in step.call.keys)
    shared = {key for key, number in uses.items() if number > 1}
    return [_input(step) if isinstance(step, Variable) else _layer(step.call, shared) for step in steps]


def _input(variable: Variable) -> dict[str, Any]:
    return {"name": variable.name, "type": "Input", "shape": list(variable.shape)}


def _layer(call: Call, shared: set[str]) -> dict[str, Any]:
    layer = dict(call.tree)
    for field in ("bottom", "top"):
        if len(layer.get(field, ())) == 1:
            layer[field] = layer[field][0]
    if layer["top"] == layer["name"] or not layer["top"]:
        del layer["top"]  # as it is left out
    keys = zip(call.node.plan.weights, call.keys, strict=True)
    try:
        return _named(layer, call.node, {weight.name: key for weight, key in keys if key in shared})
    except _NoPlaceError as error:
        what = f"layer {call.node.name!r} ({call.node.spec.type}) shares a weight inside its body with another call"
        raise UsageError(f"{what}, which a net in YAML cannot say: {error}") from None


class _NoPlaceError(Exception):
    """There is no single place where a body's weight can be given a name."""


def _named(layer: Mapping[str, Any], node: Node, names: Names) -> dict[str, Any]:
    """A layer's mapping in which its weights, and those of its bodies, have these names."""
    if not names:
        return dict(layer)
    inside = {body.name: _within(f"{body.name}/", names) for body in node.plan.bodies}
    own = {name: key for name, key in names.items() if name.partition("/")[0] not in inside}
    fields: dict[str, Any] = {"param": _params(layer, node, own)} if own else {}
    for body in node.plan.bodies:
        if inside[body.name]:
            fields[body.name] = _body(layer, node, body, inside[body.name])
    return {**layer, **fields}


def _params(layer: Mapping[str, Any], node: Node, names: Names) -> list[dict[str, Any]]:
    """The field `param` with names; it may have been written as the one mapping of the first weight."""
    written = layer.get("param", [])
    params = [dict(each) for each in ([written] if isinstance(written, Mapping) else written)]
    order = [weight.name for weight in node.plan.weights]
    params += [{} for _ in range(1 + max(map(order.index, names)) - len(params))]
    for name, key in names.items():
        params[order.index(name)]["name"] = key
    return params


def _body(layer: Mapping[str, Any], node: Node, body: Body, names: Names) -> list[Any]:
    """A body's layers in which weights have names. Raises _NoPlaceError."""
    written = layer.get(body.name)
    if not isinstance(written, list) or any(each.layers is body.layers for each in node.plan.bodies if each != body):
        raise _NoPlaceError(f"{body.name!r} is not written out as a list of layers of its own")
    nodes = {inner.name: inner for inner in node.bodies[body.name].nodes}
    layers = [dict(each) for each in written]
    for name in dict.fromkeys(weight.partition(".")[0] for weight in names):
        places = [i for i, each in enumerate(layers) if each.get("name") == name and "type" in each]
        if len(places) != 1:
            raise _NoPlaceError(f"layer {name!r} of {body.name!r} comes from a block")
        layers[places[0]] = _named(layers[places[0]], nodes[name], _within(f"{name}.", names))
    return layers


def _within(prefix: str, names: Names) -> dict[str, str]:
    return {name.removeprefix(prefix): key for name, key in names.items() if name.startswith(prefix)}
