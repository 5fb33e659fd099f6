"""Scan, Loop and If: the graphs inside these nodes become the bodies of Recurrent, Repeat and Cond."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from layerkit.blob import Array
from layerkit.convert.onnx.building import Builder, Known
from layerkit.convert.onnx.node import OnnxNode
from layerkit.convert.onnx.operators import At

LONGEST = 10_000
"""Runs of a Loop up to which it can be a Repeat, which has memory for the states of all of them."""


class Reader(Protocol):
    """What reads the nodes of a graph."""

    def outside(self, *graphs: Any) -> dict[str, Known]:
        """The blobs that graphs read and that stand outside of them, by the model's names."""

    def reads(self, graph: Any, name: str) -> bool:
        """Whether a node of the graph reads the value, or it is an output."""

    def constant(self, name: str) -> Array | None:
        """The value of that name, if it is a constant."""

    def inside(self, graph: Any, given: Mapping[str, Known | Array]) -> tuple[Builder, list[Known | Array | None]]:
        """Read a graph with a builder of its own, from what its values are inside; returns that and the outputs."""


class _Body:
    """A graph on its way into a body: the bottoms of its layer, and what they are called inside."""

    def __init__(self, at: At, reader: Reader, graph: Any):
        self.at, self.reader, self.graph = at, reader, graph
        self.formals = [each.name for each in graph.input]
        self.given: dict[str, Known | Array] = {}
        self.bottoms: list[Known] = []
        self.names: list[str] = []
        self.weights: dict[str, Array] = {}
        self.states: dict[str, dict[str, Any]] = {}

    def name(self, name: str) -> str:
        """A name that nothing inside has yet."""
        taken = {value.name for value in self.given.values() if isinstance(value, Known)} | set(self.names)
        found, i = name, 1
        while found in taken:
            i += 1
            found = f"{name}_{i}"
        return found

    def bottom(self, formal: str, outside: Known, inside: str, *, step: bool = False) -> None:
        """Let a blob be what the graph reads under this name; or with `step` a part of it."""
        own = self.name(inside)
        self.bottoms.append(outside)
        self.names.append(own)
        self.given[formal] = outside._replace(name=own, shape=outside.shape[1:] if step else outside.shape)

    def static(self) -> list[str]:
        """Let the blobs that the graph reads from outside be bottoms; returns their names inside."""
        first = len(self.names)
        for name, blob in self.reader.outside(self.graph).items():
            self.bottom(name, blob, blob.name.rpartition("/")[2])
        return self.names[first:]

    def state(self, i: int, formal: str) -> None:
        """Let input i of the node be what a state starts as, which is a bottom, or the same in every row."""
        value = self.at.node.inputs[i]
        if value is None:
            self.at.node.fail(f"its input {i} is missing")
        if not value.shape:
            self.at.node.fail(f"its state {formal!r} is a single number, and layerkit's have one row a sample")
        own = self.name(f"state{len(self.states)}")
        self.given[formal] = Known(own, tuple(value.shape))
        start: dict[str, Any] = {}
        if not isinstance(value, Known) and np.all(value == value[:1]):
            start = {"shape": list(value.shape[1:])}
            if np.any(value):
                start["start"], self.weights[f"{own}_start"] = "learned", value[0]
        else:
            start["start"] = self.name(f"{own}_start")
            self.bottoms.append(self.at.blob(i))
            self.names.append(start["start"])
        self.states[own] = start

    def read(self) -> tuple[Builder, list[Known | Array]] | None:
        """Read the graph, whose weights are then the layer's; None where it cannot be read, which is told already."""
        net, outputs = self.reader.inside(self.graph, self.given)
        found = [each for each in outputs if each is not None]
        if len(found) < len(outputs):
            return None
        return net, found

    def finish(self, net: Builder, outputs: Sequence[Known | Array], kept: Sequence[int]) -> list[str]:
        """The names of the blobs that the outputs are inside, of which those `kept` are states' next values."""
        names = []
        for i, value in enumerate(outputs):
            blob = value if isinstance(value, Known) else net.constant(f"out{i}", value)
            names.append(blob.name if net.makes(blob) else net.layer("Split", f"out{i}", blob)[0].name)
        for state, i in zip(self.states.values(), kept, strict=True):
            state["next"] = names[i]
        self.weights |= {f"body/{key}": array for key, array in net.weights.items()}
        return names


def read_scan(node: OnnxNode, net: Builder, reader: Reader) -> list[Known | None]:
    """A Recurrent of which each state and each input of the steps is one of the Scan's. Raises NotReadableError."""
    at = At(node, net)
    count, graph = int(node.attribute("num_scan_inputs", 0)), node.attribute("body", None)
    if node.version < 9:
        node.fail("before version 9 it has an axis of batches of its own")
    steps = len(node.inputs) - count
    choice = _choice(graph) if not steps else None
    if choice is not None and not reader.outside(graph):
        return _by_sample(at, reader, graph, choice)
    back = _one_way(node, count, len(node.outputs) - steps)
    body = _Body(at, reader, graph)
    for i, formal in enumerate(body.formals[steps:], steps):
        blob = at.blob(i, whole=True)
        if blob.rank < 2:
            node.fail(f"its input {i} has no axis of sequences behind that of the steps")
        body.bottom(formal, blob, f"x{i - steps}", step=True)
    static = body.static()
    kept = [i for i in range(steps) if reader.reads(graph, body.formals[i])]
    for i in kept:
        body.state(i, body.formals[i])
    found = body.read()
    if found is None:
        return []
    inner, values = found
    blobs = body.finish(inner, values, kept)
    wanted = [i for i, name in enumerate(node.outputs) if net.used(name)]
    outputs = [{"blob": blobs[i], "take": "last"} if i < steps else blobs[i] for i in wanted]
    tops = net.layer(
        "Recurrent", at.name, *body.bottoms, weights=body.weights, tops=len(wanted), inputs=body.names, static=static,
        states=body.states, outputs=outputs, reverse=back, body=inner.layers,
    )  # fmt: skip
    return _in_place(len(node.outputs), wanted, tops)


def _one_way(node: OnnxNode, inputs: int, outputs: int) -> bool:
    """Whether a Scan goes from the last step to the first."""
    directions = [*node.attribute("scan_input_directions", [0] * inputs)]
    directions += node.attribute("scan_output_directions", [0] * outputs)
    if len(set(directions)) > 1:
        node.fail("it goes through some of its inputs and outputs forward and through others back")
    for name in ("scan_input_axes", "scan_output_axes"):
        if any(node.attribute(name, [])):
            node.fail(f"{name} are {node.attribute(name, [])}, and layerkit's steps lie along axis 0")
    return bool(directions and directions[0])


def read_loop(node: OnnxNode, net: Builder, reader: Reader) -> list[Known | None]:
    """A Repeat, so often or until a condition that is computed ends it. Raises NotReadableError."""
    at, graph = At(node, net), node.attribute("body", None)
    times, first = node.array(0), node.array(1)
    if times is None or not 1 <= times.item() <= LONGEST:
        node.fail(f"it has no limit from 1 to {LONGEST} of how often it runs")
    if first is not None and not first.item():
        node.fail("it never runs")
    body = _Body(at, reader, graph)
    run, goes_on, *states = body.formals
    if reader.reads(graph, run):
        node.fail("its body reads the number of the run; let a state count")
    if len(node.outputs) > len(states):
        node.fail("it stacks what each run gives, and layerkit has a layer only for what the last one gives")
    body.given[goes_on] = np.array(True)
    body.static()
    kept = [i for i, formal in enumerate(states) if reader.reads(graph, formal)]
    for i in kept:
        body.state(2 + i, states[i])
    if not body.bottoms:
        node.fail("it reads no blob")
    found = body.read()
    if found is None:
        return []
    inner, (end, *values) = found
    often: dict[str, Any] = {"times": int(times.item())}
    if isinstance(end, Known):  # whether it goes on
        done = At(node, inner).add("Expression", end, step="done", expr="reshape(not x, 1)", names=["x"])
        often = {"until": done.name, "max_times": often["times"]}
    elif not end.item():
        often["times"] = 1
    blobs = body.finish(inner, values, kept)
    wanted = [i for i, name in enumerate(node.outputs) if net.used(name)]
    tops = net.layer(
        "Repeat", at.name, *body.bottoms, weights=body.weights, tops=len(wanted), inputs=body.names, **often,
        states=body.states, outputs=[blobs[i] for i in wanted], body=inner.layers,
    )  # fmt: skip
    return _in_place(len(node.outputs), wanted, tops)


def _choice(graph: Any) -> Any:
    """The If of a Scan that does nothing but choose a graph for each sample; None where it does more."""
    kinds, inputs = [each.op_type for each in graph.node], [each.name for each in graph.input]
    choices = [each for each in graph.node if each.op_type == "If" and each.input[0] in inputs]
    alone = {*kinds} <= {"If", "Unsqueeze", "Squeeze", "Identity"} and kinds.count("If") == 1
    return choices[0] if alone and choices else None


def _by_sample(at: At, reader: Reader, graph: Any, choice: Any) -> list[Known | None]:
    """A Cond for each sample, of which the graphs get one at a time."""
    rows = {each.name: at.blob(i, whole=True) for i, each in enumerate(graph.input)}
    condition, single = rows.pop(choice.input[0]), {}
    behind = {}
    for each in graph.node:
        axes = reader.constant(each.input[1]) if len(each.input) > 1 else None
        first = axes is not None and axes.ravel().tolist() == [0]
        if each.op_type == "Unsqueeze" and each.input[0] in rows and first:
            single[each.output[0]] = rows[each.input[0]]
        elif each.op_type == "Identity" or (each.op_type == "Squeeze" and first):
            behind[each.output[0]] = each.input[0]
    wanted = []
    for each in graph.output:
        name = each.name
        while name in behind:
            name = behind[name]
        wanted.append(name)
    node = OnnxNode(choice, {}, "", at.node.version)
    if wanted != node.outputs or condition.rank != 1 or len(single) < len(rows):
        at.node.fail("it puts together in another way than layerkit does what a graph makes of each sample")
    given = {name: blob._replace(shape=(1, *blob.shape[1:])) for name, blob in single.items()}
    return _cond(at, node, reader, condition, single, given, "sample")


def read_if(node: OnnxNode, net: Builder, reader: Reader) -> list[Known | None]:
    """A Cond for the whole batch, as its condition is computed. Raises NotReadableError."""
    at = At(node, net)
    condition = at.blob(0, whole=True)
    if math.prod(condition.shape) != 1:
        node.fail(f"which graph runs depends on {list(condition.shape)} numbers, and layerkit has a layer only for one")
    if condition.rank > 1:
        condition = net.reshape(f"{at.name}/condition", condition, (1,))
    outside = reader.outside(*_branches(node).values())
    return _cond(at, node, reader, condition, outside, outside, "batch")


def _branches(node: OnnxNode) -> dict[str, Any]:
    """The graphs of an If, by the names of Cond's bodies."""
    return {"then": node.attribute("then_branch", None), "otherwise": node.attribute("else_branch", None)}


def _cond(
    at: At,
    choice: OnnxNode,
    reader: Reader,
    condition: Known,
    bottoms: Mapping[str, Known],
    inside: Mapping[str, Known],
    by: str,
) -> list[Known | None]:
    """The layer of an If: its graphs read `bottoms`, by the model's names, which are as in `inside` for them."""
    names = {name: f"x{i}" for i, name in enumerate(bottoms)}
    given = {name: blob._replace(name=names[name]) for name, blob in inside.items()}
    outputs = [f"y{i}" for i in range(len(choice.outputs))]
    bodies: dict[str, Any] = {}
    weights: dict[str, Array] = {}
    for branch, graph in _branches(choice).items():
        inner, values = reader.inside(graph, given)
        if any(value is None for value in values):
            return []
        for i, value in enumerate(values):
            blob = value if isinstance(value, Known) else inner.constant(f"constant{i}", np.asarray(value))
            inner.output(outputs[i], blob)
        bodies[branch] = inner.layers
        weights |= {f"{branch}/{key}": array for key, array in inner.weights.items()}
    return [
        *at.net.layer(
            "Cond", at.name, condition, *bottoms.values(), weights=weights, tops=len(outputs), condition="condition",
            by=by, inputs=["condition", *names.values()], outputs=outputs, **bodies,
        )
    ]  # fmt: skip


def _in_place(count: int, wanted: Sequence[int], tops: Sequence[Known]) -> list[Known | None]:
    """The tops where a node has them among its outputs."""
    found: list[Known | None] = [None] * count
    for i, top in zip(wanted, tops, strict=True):
        found[i] = top
    return found
