"""What a picture says of one layer: a line in its box, and everything else where one points at it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from layerkit.blob import shape_text
from layerkit.graph import Graph, Node, as_tree
from layerkit.graph.table import Row
from layerkit.layer import Body
from layerkit.registry import family
from layerkit.report.catalogue import written
from layerkit.report.drawing.lettering import shorten
from layerkit.words import counted, plural

_OWN = ("name", "type", "bottom", "top", "include", "exclude", "param", "loss_weight", "propagate_down")
_LONGEST = 60


@dataclass(frozen=True)
class Part:
    """One layer."""

    name: str
    type: str
    family: str
    gist: str
    """What matters most of its parameters, in a few characters; may be empty."""
    details: tuple[tuple[str, str], ...]
    """Shapes, number of weights and parameters, each with its title."""
    weights: int
    """How many of its own can learn: shared ones count with the first layer that has them."""
    size: int
    """Elements of all its weights."""

    @property
    def tooltip(self) -> str:
        """Everything, in lines."""
        return "\n".join([f"{self.name} ({self.type})", *(f"{title}: {value}" for title, value in self.details)])


def part(node: Node, graph: Graph, row: Row) -> Part:
    """What there is to say of a node; `row` is its row in the net's table."""
    given = as_tree(node.spec)
    details = [("out", f"{ref.name} {shape_text(graph.shapes[ref])}") for ref in node.tops]
    details = [("in", f"{ref.name} {shape_text(graph.shapes[ref])}") for ref in node.bottoms] + details
    for weight in node.plan.weights:
        details.append((weight.name, shape_text(weight.shape)))
    if row.weights:
        details.append(("weights", f"{row.weights:,}"))
    if row.statistics:
        details.append(("statistics", f"{row.statistics:,}"))
    shared = [spec.name for spec in node.params if spec.name]
    if shared:
        details.append(("shares", ", ".join(shared)))
    inside = {body.name: _inside(node, body) for body in node.plan.bodies}
    details += [(name, _value(value)) for name, value in given.items() if name not in (*_OWN, *inside)]
    for name, nodes in inside.items():
        details += [(name, f"{each.name} ({each.spec.type}) {_gist(each)}".rstrip()) for each in nodes]
    kind = node.spec.type
    size = sum(math.prod(weight.shape) for weight in node.plan.weights)
    return Part(node.name, kind, family(kind), _gist(node), tuple(details), row.weights, size)


def _value(value: Any) -> str:
    """A parameter's value on one line, cut where it is long."""
    if isinstance(value, Mapping):
        text = "{" + ", ".join(f"{key}: {_value(each)}" for key, each in value.items()) + "}"
    elif isinstance(value, list) and len(value) == 1:
        text = _value(value[0])
    elif isinstance(value, list):
        text = f"[{', '.join(map(_value, value))}]"
    else:
        text = " ".join(written(value).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _inside(node: Node, body: Body) -> list[Node]:
    """The layers of a body, without what they are given."""
    return [
        each for each in node.bodies[body.name].nodes if not (each.spec.type == "Input" and each.name in body.inputs)
    ]


def _of_bodies(node: Node) -> str:
    """`32 x 5 layers` for a loop of 32 steps, `1 or 2 layers` where one of two bodies runs."""
    counts = [len(_inside(node, body)) for body in node.plan.bodies]
    loops = [body.loop for body in node.plan.bodies if body.loop is not None]
    text = f"{' or '.join(map(str, counts))} {plural(counts[-1], 'layer')}"
    if any(loop.instead for loop in loops) or not loops:
        return text
    return f"{'2 x ' * (len(loops) > 1)}{loops[0].runs} x {counted(counts[0], 'layer')}"


def _gist(node: Node) -> str:
    """`3x3, 64` for a convolution of 64 filters, `MAX 3x3 / 2` for a pooling of stride 2."""
    params = node.layer.params
    if node.plan.bodies:
        return _of_bodies(node)
    words = [_window(params), getattr(params, "num_output", None)]
    words.append(_count(params, "num_heads", "heads") or _count(params, "top_k", "best", beside=1))
    text = ", ".join(str(word) for word in words if word)
    formula = getattr(params, "expr", None)
    if isinstance(formula, str):
        return shorten(formula)
    for name in ("pool", "operation", "dataset", "dropout_ratio"):
        value = getattr(params, name, None)
        value = getattr(value, "type", value)
        if value and isinstance(value, (str, float)):
            text = f"{written(value)} {text}".strip()
    return text


def _window(params: Any) -> str:
    """The kernel with its stride, or nothing for a layer that slides no window."""
    if getattr(params, "global_pooling", False):
        return "global"
    kernel, stride = _axes(params, "kernel_size", "kernel"), _axes(params, "stride", "stride")
    if not kernel:
        return ""
    step = shape_text(stride[:1] if len(set(stride)) == 1 else stride)
    return f"{shape_text(kernel)} / {step}" if set(stride) - {1} else shape_text(kernel)


def _axes(params: Any, name: str, short: str) -> list[int]:
    """A window's size along each axis, in two dimensions where one number stands for all."""
    values = getattr(params, name, None)
    if not isinstance(values, list):
        return []
    sides = [getattr(params, f"{short}_{axis}", None) for axis in "hw"]
    if all(sides):
        return [side for side in sides if side is not None]
    return values * 2 if len(values) == 1 else values


def _count(params: Any, name: str, what: str, beside: int = 0) -> str:
    value = getattr(params, name, None)
    return f"{value} {what}" if isinstance(value, int) and value > beside else ""
