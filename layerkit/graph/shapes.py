"""Infers shapes by planning every layer, and says what its weights are and which are shared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from layerkit.blob import Shape, shape_text
from layerkit.errors import DataError, LayerkitError, Problems, ShapeError, UnknownNameError
from layerkit.graph.order import Ref, Wired
from layerkit.layer import Layer, Plan, Weight
from layerkit.spec import LayerSpec, ParamSpec


@dataclass(frozen=True)
class Node:
    """A layer in its place: what it reads and writes, and what it planned for the shapes there."""

    spec: LayerSpec
    bottoms: tuple[Ref, ...]
    tops: tuple[Ref, ...]
    layer: Layer
    plan: Plan

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.spec.name

    @property
    def loss_weights(self) -> tuple[float, ...]:
        """Weight of each top in the loss: as written, else 1 for a loss's first top."""
        given = self.spec.loss_weight or ([1.0] if self.spec.cls.loss else [])
        return (*given, *(0.0 for _ in self.tops[len(given) :]))

    def param(self, index: int) -> ParamSpec:
        """How weight `index` is trained and shared."""
        return self.spec.param[index] if index < len(self.spec.param) else ParamSpec()

    def learns(self, index: int) -> bool:
        """Whether weight `index` is trained."""
        return self.plan.weights[index].learned and self.param(index).lr_mult != 0

    def propagates(self, index: int) -> bool:
        """Whether a gradient can go to bottom `index`."""
        allowed = self.spec.propagate_down
        able = self.plan.gradients is None or self.plan.gradients[index]
        return able and (allowed is None or allowed[index])


def plan_nodes(
    wired: Sequence[Wired], phase: str, unnamed: frozenset[str], problems: Problems
) -> tuple[list[Node], dict[Ref, Shape]]:
    """Plan every layer in order. A layer below one that could not be planned is passed over without a word."""
    nodes: list[Node] = []
    shapes: dict[Ref, Shape] = {}
    for spec, bottoms, tops in wired:
        fault = _arity(spec, len(bottoms), len(tops))
        if fault is not None:
            problems.found.append(spec.problem(*fault))
        if fault is not None or any(ref not in shapes for ref in bottoms):
            continue
        layer = spec.cls(spec.params, phase, len(tops))
        layer.name = spec.name
        try:
            plan = checked_plan(layer, [shapes[ref] for ref in bottoms])
        except LayerkitError as error:
            field = getattr(error, "field", None)
            problems.found.append(spec.problem(str(error), *([field] if field else [])))
            continue
        node = Node(spec, bottoms, tops, layer, plan)
        nodes.append(node)
        _check_settings(node, spec.name in unnamed, problems)
        shapes.update(zip(tops, map(tuple, plan.tops), strict=True))
    _check_sharing(nodes, problems)
    return nodes, shapes


def replan(
    nodes: Sequence[Node], shapes: Mapping[Ref, Shape], given: Mapping[Ref, Shape]
) -> tuple[list[Node], dict[Ref, Shape]]:
    """Plan again with the shapes in `given` forced on some tops.

    Raises ShapeError, naming the layer, where they do not fit.
    """
    planned: list[Node] = []
    new: dict[Ref, Shape] = {}
    for node in nodes:
        before = [shapes[ref] for ref in node.bottoms]
        after = [new[ref] for ref in node.bottoms]
        plan = node.plan
        if before != after:
            try:
                plan = checked_plan(node.layer, after)
            except LayerkitError as error:
                raise ShapeError(f"layer {node.name!r} ({node.spec.type}): {error}") from None
            if [w.shape for w in plan.weights] != [w.shape for w in node.plan.weights]:
                raise ShapeError(_weights_would_change(node, plan, before, after))
        planned.append(replace(node, plan=plan))
        for ref, shape in zip(node.tops, plan.tops, strict=True):
            new[ref] = given.get(ref, tuple(shape))
    return planned, new


def checked_plan(layer: Layer, bottoms: Sequence[Shape]) -> Plan:
    """A layer's plan, held against its own promises."""
    plan = layer.plan(*bottoms)
    if len(plan.tops) != layer.num_tops:
        raise ShapeError(f"planned {len(plan.tops)} tops, but has {layer.num_tops}", "top")
    return plan


def _arity(spec: LayerSpec, bottoms: int, tops: int) -> tuple[str, str] | None:
    """What is wrong with the number of bottoms or tops, and the field to look at."""
    cls = spec.cls
    for field, count, (least, most) in (("bottom", bottoms, cls.bottoms), ("top", tops, cls.tops)):
        if count < least or (most is not None and count > most):
            wanted = f"{least}" if least == most else f"at least {least}" if most is None else f"{least} to {most}"
            plural = "" if wanted == "1" else "s"
            listed = ", ".join((spec.bottom if field == "bottom" else spec.top) or []) or "none"
            return f"needs {wanted} {field}{plural}, not {count} ({listed})", field
    if cls.same_number and bottoms != tops:
        return f"needs as many tops as bottoms, not {tops} for {bottoms}", "top"
    return None


def _check_settings(node: Node, unnamed: bool, problems: Problems) -> None:
    spec, names = node.spec, [weight.name for weight in node.plan.weights]
    if names and unnamed:
        problems.found.append(spec.problem("has weights and so needs a 'name'"))
    if len(spec.param) > len(names):
        listed = f" ({', '.join(names)})" if names else ""
        problems.found.append(
            spec.problem(f"param has {len(spec.param)} entries for {len(names)} weights{listed}", "param")
        )
    if spec.loss_weight is not None and len(spec.loss_weight) > len(node.tops):
        problems.found.append(
            spec.problem(f"loss_weight has {len(spec.loss_weight)} entries for {len(node.tops)} tops", "loss_weight")
        )
    if spec.propagate_down is not None and len(spec.propagate_down) != len(node.bottoms):
        message = f"propagate_down has {len(spec.propagate_down)} entries for {len(node.bottoms)} bottoms"
        problems.found.append(spec.problem(message, "propagate_down"))
    elif spec.propagate_down is not None and node.plan.gradients is not None:
        for i, (wanted, able) in enumerate(zip(spec.propagate_down, node.plan.gradients, strict=True)):
            if wanted and not able:
                problems.found.append(
                    spec.problem(
                        f"bottom {i} ({spec.bottom and spec.bottom[i]}) can have no gradient", "propagate_down"
                    )
                )


def _check_sharing(nodes: Sequence[Node], problems: Problems) -> None:
    """Weights of one name must have one shape (STRICT) or as many elements (PERMISSIVE)."""
    owners: dict[str, tuple[Node, Weight]] = {}
    for node in nodes:
        for i, weight in enumerate(node.plan.weights):
            param = node.param(i)
            if not param.name:
                continue
            owner, first = owners.setdefault(param.name, (node, weight))
            fits = first.shape == weight.shape
            if param.share_mode == "PERMISSIVE":
                fits = math.prod(first.shape) == math.prod(weight.shape)
            if not fits:
                message = (
                    f"the shared weight {param.name!r} is {shape_text(weight.shape)} here "
                    f"and {shape_text(first.shape)} in layer {owner.name!r}"
                )
                problems.found.append(node.spec.problem(message, "param", i))


def _weights_would_change(node: Node, plan: Plan, before: Sequence[Shape], after: Sequence[Shape]) -> str:
    changed = next(
        (old, new) for old, new in zip(node.plan.weights, plan.weights, strict=False) if old.shape != new.shape
    )
    return (
        f"layer {node.name!r} ({node.spec.type}): a bottom of {', '.join(map(shape_text, after))} instead of "
        f"{', '.join(map(shape_text, before))} would need a {changed[0].name} of {shape_text(changed[1].shape)}, "
        f"but it is {shape_text(changed[0].shape)}"
    )


__all__ = ["DataError", "Node", "UnknownNameError", "checked_plan", "plan_nodes", "replan"]
