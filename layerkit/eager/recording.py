"""From what a tape recorded to the layers of a net in YAML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from layerkit.eager.call import Call, Step
from layerkit.eager.variable import Variable
from layerkit.errors import UsageError


def whole_net(steps: Sequence[Step | Variable]) -> list[dict[str, Any]]:
    """The layers, in the order in which they ran. Weights that several calls used have a name, as `param` gives it.

    Raises UsageError for weights inside a layer's body that several calls share.
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
    params = [{} | (layer["param"][i] if i < len(layer.get("param", ())) else {}) for i in range(len(call.keys))]
    for i, key in enumerate(call.keys):
        if key in shared:
            _expect_no_body(call, i)
            params[i]["name"] = key
    while params and not params[-1]:
        params.pop()
    if params:
        layer["param"] = params
    return layer


def _expect_no_body(call: Call, index: int) -> None:
    name = call.node.plan.weights[index].name
    if any(name.startswith(f"{body.name}/") for body in call.node.plan.bodies):
        what = f"layer {call.node.name!r} ({call.node.spec.type}) shares {name!r}, a weight inside its body"
        raise UsageError(f"{what}, with another call; a net in YAML cannot say so unless the body names it by 'param'")
