"""Infers shapes by planning every layer, and says what its weights are and which are shared."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from layerkit.blob import Shape, shape_text
from layerkit.errors import ConfigError, LayerkitError, Problems, ShapeError, did_you_mean
from layerkit.graph.node import Node, make_layer
from layerkit.graph.order import Ref, Wired
from layerkit.graph.sharing import settle
from layerkit.layer import Body, Layer, Plan, Weight
from layerkit.spec import LayerSpec, NetState, ParamSpec
from layerkit.spec.layer import describe
from layerkit.words import counted

if TYPE_CHECKING:
    from layerkit.graph import Graph

BuildBody = Callable[[Body], "Graph"]
"""Builds the graph of a body; given by the package, so that bodies can hold bodies."""


MAX_ELEMENTS = 2**40
"""Most elements of one array, and of all the weights together."""


def plan_nodes(
    wired: Sequence[Wired], state: NetState, unnamed: frozenset[str], build_body: BuildBody, problems: Problems
) -> tuple[list[Node], dict[Ref, Shape]]:
    """Plan every layer in order. A layer below one that could not be planned is passed over without a word."""
    nodes: list[Node] = []
    shapes: dict[Ref, Shape] = {}
    room = MAX_ELEMENTS  # for further weights
    for spec, bottoms, tops in wired:
        fault = _arity(spec, len(bottoms), len(tops))
        if fault is not None:
            problems.found.append(spec.problem(*fault))
        if fault is not None or any(ref not in shapes for ref in bottoms):
            continue
        layer = make_layer(spec, state)
        try:
            planned = plan_layer(layer, spec.param, [shapes[ref] for ref in bottoms], build_body)
            if len(planned[0].tops) != layer.num_tops:
                raise ShapeError(f"planned {counted(len(planned[0].tops), 'top')}, but has {layer.num_tops}", "top")
        except ConfigError as error:  # in one of the layer's bodies
            where = describe(spec.name, spec.type)
            problems.found += [replace(p, where=f"{where}: {p.where}", uses=p.uses + spec.uses) for p in error.problems]
            continue
        except LayerkitError as error:
            problems.found.append(spec.problem(str(error), *error.path).into(getattr(error, "offset", None)))
            continue
        node = Node(spec, bottoms, tops, layer, *planned)
        before, room = room, room - sum(_elements(weight.shape) for weight in node.plan.weights)
        large = _too_large(node)
        if large is None and room < 0 <= before:
            large = f"the weights up to here have {MAX_ELEMENTS - room} elements in all, which is too many"
        if large is not None:
            problems.found.append(spec.problem(large))
            continue
        nodes.append(node)
        _check_settings(node, spec.name in unnamed, problems)
        shapes.update(zip(tops, map(tuple, node.plan.tops), strict=True))
    return settle(nodes, problems), shapes


def replan(
    nodes: Sequence[Node], shapes: Mapping[Ref, Shape], given: Mapping[Ref, Shape], build_body: BuildBody
) -> tuple[list[Node], dict[Ref, Shape]]:
    """Plan again with the shapes in `given` forced on some tops.

    Raises ShapeError, naming the layer, where they do not fit.
    """
    planned: list[Node] = []
    new: dict[Ref, Shape] = {}
    for node in nodes:
        before = [shapes[ref] for ref in node.bottoms]
        after = [new[ref] for ref in node.bottoms]
        again = node
        if before != after:
            try:
                plan, _, bodies = plan_layer(node.layer, node.spec.param, after, build_body)
            except LayerkitError as error:
                raise ShapeError(f"{describe(node.name, node.spec.type)}: {error}") from None
            if [w.shape for w in plan.weights] != [w.shape for w in node.plan.weights]:
                raise ShapeError(_weights_would_change(node, plan, before, after))
            again = replace(node, plan=plan, bodies=bodies)
        planned.append(again)
        for ref, shape in zip(node.tops, again.plan.tops, strict=True):
            new[ref] = given.get(ref, tuple(shape)) if before == after else tuple(shape)
    return planned, new


def plan_layer(
    layer: Layer, given: Sequence[ParamSpec], bottoms: Sequence[Shape], build_body: BuildBody
) -> tuple[Plan, tuple[ParamSpec, ...], dict[str, Graph]]:
    """A layer's plan with its bodies' weights added to its own, how each weight is trained, and the bodies' graphs."""
    bodies: dict[str, Graph] = {}

    def body_shapes(body: Body) -> dict[str, Shape]:
        shapes = {name: tuple(shape) for name, shape in body.inputs.items()}
        if body.name not in bodies or shapes != {name: bodies[body.name].shapes[Ref(name)] for name in shapes}:
            bodies[body.name] = build_body(body)
            if body.loop is not None:
                _expect_repeatable(bodies[body.name].nodes, body.inputs)
        graph = bodies[body.name]
        for name in body.outputs:
            if name not in graph.last:
                raise ShapeError(f"the body {body.name!r} has no blob {name!r}{did_you_mean(name, graph.last)}")
        return {name: graph.shapes[graph.last[name]] for name in body.outputs}

    layer.body_shapes = body_shapes
    plan = layer.plan(*bottoms)
    for weight in plan.weights:
        try:
            weight.filler.check(weight.shape)
        except ShapeError as error:
            raise ShapeError(str(error), _parameter(layer, weight.filler)) from None
    weights = list(plan.weights)
    params = [given[i] if i < len(given) else ParamSpec() for i in range(len(weights))]
    for body in plan.bodies:
        if body.name not in bodies:
            body_shapes(body)
        for weight, param in _inner_weights(bodies[body.name]):
            weights.append(replace(weight, name=f"{body.name}/{weight.name}"))
            params.append(param)
    return replace(plan, weights=weights), tuple(params), bodies


def _expect_repeatable(nodes: Sequence[Node], inputs: Collection[str]) -> None:
    """Raise ConfigError for layers that cannot stand in a body that runs again and again."""
    problems = []
    for node in nodes:
        if any(node.loss_weights):
            problems.append(node.spec.problem("a body has no loss; give it out as an output, and weigh it outside"))
        elif node.plan.dynamic or node.layer.uses_files:
            problems.append(node.spec.problem("cannot stand in a body that runs again and again", "type"))
        elif node.spec.type == "Input" and node.name not in inputs:
            message = "nothing feeds it in a body; make it a bottom of the layer around"
            problems.append(node.spec.problem(message, "type"))
        elif any(body.loop is None for body in node.plan.bodies):
            message = "its body is made to run once, and cannot be part of one that runs again and again"
            problems.append(node.spec.problem(message, "type"))
    if problems:
        raise ConfigError(problems)


def _parameter(layer: Layer, value: object) -> str | None:
    """The name of the layer's parameter that is `value` itself."""
    names = type(layer.params).model_fields
    return next((name for name in names if getattr(layer.params, name) is value), None)


def _elements(shape: Shape) -> int:
    """How many elements an array has; an axis of length 0 counts as 1, as it does where memory is reserved."""
    return math.prod(max(1, length) for length in shape)


def _too_large(node: Node) -> str | None:
    """What a layer plans that is too large, in a sentence, or None."""
    plan = node.plan
    arrays = [(f"top {ref.name!r}", shape) for ref, shape in zip(node.tops, plan.tops, strict=True)]
    arrays += [(f"the weight {weight.name!r}", weight.shape) for weight in plan.weights]
    arrays += [(f"the work array {scratch.name!r}", scratch.shape) for scratch in plan.scratch]
    arrays += [(f"the state {state.name!r}", state.shape) for state in plan.state]
    for what, shape in arrays:
        if _elements(shape) > MAX_ELEMENTS:
            return f"{what} of shape {shape_text(shape)} is too large"
    return None


def _inner_weights(graph: Graph) -> Iterator[tuple[Weight, ParamSpec]]:
    """The weights of a body's layers, each once however many of them share it."""
    seen: set[str] = set()
    for node in graph.nodes:
        for weight, param in zip(node.plan.weights, node.params, strict=True):
            if not param.name or param.name not in seen:
                yield replace(weight, name=f"{node.name}.{weight.name}"), param
            seen.add(param.name or "")


def _arity(spec: LayerSpec, bottoms: int, tops: int) -> tuple[str, str] | None:
    """What is wrong with the number of bottoms or tops, and the field to look at."""
    cls = spec.cls
    for field, count, (least, most) in (("bottom", bottoms, cls.bottoms), ("top", tops, cls.tops)):
        if least <= count and (most is None or count <= most):
            continue
        listed = ", ".join((spec.bottom if field == "bottom" else spec.top) or []) or "none"
        if most == 0:
            return f"takes no {field} ({listed})", field
        wanted = f"at least {counted(least, field)}" if most is None else f"{least} to {counted(most, field)}"
        return f"needs {counted(least, field) if least == most else wanted}, not {count} ({listed})", field
    if cls.same_number and bottoms != tops:
        return f"needs as many tops as bottoms, not {tops} for {bottoms}", "top"
    return None


def _check_settings(node: Node, unnamed: bool, problems: Problems) -> None:
    spec, names = node.spec, [weight.name for weight in node.plan.weights]
    if names and unnamed:
        problems.found.append(spec.problem("has weights and so needs a 'name'"))
    listed = f" ({', '.join(names)})" if names else ""
    for field, entries, most, noun in (
        ("param", spec.param, len(names), "weight"),
        ("loss_weight", spec.loss_weight or [], len(node.tops), "top"),
    ):
        if len(entries) > most:
            message = f"{field} has {counted(len(entries), 'entry', 'entries')} for {counted(most, noun)}"
            problems.found.append(spec.problem(message + (listed if field == "param" else ""), field))
    can = [node.plan.gradients is None or node.plan.gradients[i] for i in range(len(node.bottoms))]
    if any(spec.loss_weight or []) and can and not any(can) and not names:
        problems.found.append(spec.problem("has no gradient, so a loss_weight would train nothing", "loss_weight"))
    if spec.propagate_down is not None and len(spec.propagate_down) != len(node.bottoms):
        given = counted(len(spec.propagate_down), "entry", "entries")
        message = f"propagate_down has {given} for {counted(len(node.bottoms), 'bottom')}"
        problems.found.append(spec.problem(message, "propagate_down"))
    elif spec.propagate_down is not None and node.plan.gradients is not None:
        for i, (wanted, able) in enumerate(zip(spec.propagate_down, node.plan.gradients, strict=True)):
            if wanted and not able:
                problems.found.append(
                    spec.problem(
                        f"bottom {i} ({spec.bottom and spec.bottom[i]}) can have no gradient", "propagate_down"
                    )
                )


def _weights_would_change(node: Node, plan: Plan, before: Sequence[Shape], after: Sequence[Shape]) -> str:
    changed = next(
        (old, new) for old, new in zip(node.plan.weights, plan.weights, strict=False) if old.shape != new.shape
    )
    return (
        f"layer {node.name!r} ({node.spec.type}): a bottom of {', '.join(map(shape_text, after))} instead of "
        f"{', '.join(map(shape_text, before))} would need a {changed[0].name} of {shape_text(changed[1].shape)}, "
        f"but it is {shape_text(changed[0].shape)}"
    )
