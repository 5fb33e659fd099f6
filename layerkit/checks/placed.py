"""The layers of a net as lone layers: with their parameters and shapes in the net, at random points."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from layerkit.blob import Array, Blob, Shape, Weights
from layerkit.checks.case import Case, CheckFailed, Prepared, Request, lend_bodies
from layerkit.checks.probing import Probe, gradient_probes, jvp_probe
from layerkit.errors import LayerkitError
from layerkit.graph import Graph, Node, Ref
from layerkit.graph.effort import of_node
from layerkit.layer import Generators, Layer, SourceLayer
from layerkit.layers.control.cond import Cond
from layerkit.layers.recurrent.recurrent import Recurrent

SAMPLES = 3
"""Length of axis 0 of the samples that a net is checked with: its batch, or the steps of a sequence."""
POINTS = ((-2.0, 2.0), (0.1, 0.9), (-0.5, 0.5))
"""Where the bottoms' values lie. Those after the first are for layers that are not finite there, such as a logarithm,
or have no slope there, such as a hinge."""
HUGE = 1e9
"""A derivative that is this large, or not finite, is one outside of where a layer is meant to work."""
_SPEND = 100_000_000
"""Multiply-adds that each array of a layer is worth, beyond what it takes at least."""
_PASSES = 30
"""Multiply-adds that take as long as reading and writing an element of a blob, roughly."""


def smaller(graph: Graph) -> Graph:
    """The graph with short batches; as it is where a layer needs the length that it has."""
    given = {
        ref: (min(SAMPLES, shape[0]), *shape[1:])
        for node in graph.nodes
        for ref, shape in zip(node.tops, node.plan.tops, strict=True)
        if not node.bottoms and not node.plan.weights and shape
    }
    try:
        return graph.with_shapes(given)
    except LayerkitError:
        return graph


def unchecked(node: Node) -> str | None:
    """Why a layer has no gradient to check, or none that can be checked alone; None where it has."""
    if isinstance(node.layer, SourceLayer):
        return "reads samples"
    if node.layer.uses_files:
        return "reads or writes files"
    if any(body.loop is None for body in node.plan.bodies):
        return "has a net inside; check its layers in a file of their own"
    cut_off = _cut_off(node)
    if cut_off is not None:
        return f"{cut_off} stops its gradient on purpose; check it without"
    learned = any(weight.learned for weight in node.plan.weights)
    if not node.bottoms and not learned:
        return "has neither bottoms nor weights that learn"
    if not learned and node.plan.gradients is not None and not any(node.plan.gradients):
        return "a metric" if node.layer.metric else "can have no gradient"
    return None if type(node.layer).backward is not Layer.backward else "has no backward pass"


def probes(graph: Graph, node: Node) -> list[Probe]:
    """The worst derivative of each array of a layer, and that of its forward mode if it has one.

    Raises CheckFailed where the layer cannot run at any point that is tried.
    """
    shapes = [graph.shapes[ref] for ref in node.bottoms]
    requests = _requests(graph, node)
    elements = sum(map(math.prod, [*shapes, *node.plan.tops])) + _inside(node)
    spend = _SPEND // (1 + of_node(node) + _PASSES * elements)
    found: list[Probe] = []
    failed: CheckFailed | None = None
    for seed, span in enumerate(POINTS):
        with place(node, shapes, requests, span, seed) as lone:
            try:
                again = gradient_probes(lone, requests, spend)
                ahead = jvp_probe(lone, requests)
            except CheckFailed as error:  # labels or values that the layer refuses
                failed = failed or error
                continue
        before = found if isinstance(node.layer, Cond) and seed == 1 else []  # of the body that the first point chose
        found = [*before, *again, *([] if ahead is None else [ahead])]
        both = seed > 0 or not isinstance(node.layer, Cond)
        if both and any(probe.numeric and abs(probe.analytic) < HUGE for probe in found):
            return found
    if failed is not None and not found:
        raise failed
    return found


def _inside(node: Node) -> int:
    """Elements of all blobs in a layer's bodies, each time that these run."""
    total = 0
    for body in node.plan.bodies:
        graph = node.bodies[body.name]
        once = sum(map(math.prod, graph.shapes.values())) + sum(map(_inside, graph.nodes))
        total += once * (body.loop.runs if body.loop is not None else 1)
    return total


def _cut_off(node: Node) -> str | None:
    """What keeps a gradient back in a layer's bodies that differences would see."""
    for body in node.plan.bodies:
        truncate = getattr(node.layer.params, "truncate", None)
        if truncate is not None and body.loop is not None and body.loop.runs > truncate:
            return "truncate"
        for inner in node.bodies[body.name].nodes:
            able = inner.plan.gradients or [True] * len(inner.bottoms)
            if any(can and not goes for can, goes in zip(able, inner.spec.propagate_down or able, strict=True)):
                return f"propagate_down of {inner.name!r} in its body"
            found = _cut_off(inner)
            if found is not None:
                return found
    return None


def place(
    node: Node, shapes: Sequence[Shape], requests: Sequence[Request], span: tuple[float, float], seed: int
) -> Prepared:
    """The layer of a node in float64, with values in all that it reads. The layer is no longer part of its graph.

    Bottoms that no gradient goes to, such as labels, hold zeros and ones, or ones alone where `seed` is odd. Learned
    weights are small enough that sums over many inputs stay of the size of one.
    """
    rng, layer = np.random.default_rng(seed), node.layer
    layer.generator = Generators.of(0, node.name, 2)
    bottom = [
        _blob(_apart(shape, rng, span) if i in requests else np.ones(shape) if seed % 2 else _classes(shape, rng))
        for i, shape in enumerate(shapes)
    ]
    if isinstance(layer, Recurrent) and layer.params.lengths is not None:
        (way, *_) = layer.ways(shapes)
        if way.roles.lengths is not None:  # else ones and zeros, with which no state would go on
            bottom[way.roles.lengths].data[...] = way.steps - np.arange(way.rows) % way.steps
    blobs = {}
    for weight in node.plan.weights:
        half = 0.5 / math.sqrt(max(1, math.prod(weight.shape[1:])))
        values = rng.uniform(-half, half, weight.shape) if weight.learned else rng.uniform(0.5, 1.5, weight.shape)
        blobs[weight.name] = _blob(values)
    layer.weights = Weights(blobs)
    for scratch in node.plan.scratch:
        setattr(layer.scratch, scratch.name, np.zeros(scratch.shape, scratch.dtype or np.float64))
    for state in node.plan.state:
        setattr(layer.state, state.name, np.zeros(state.shape, state.dtype or np.float64))
    lend_bodies(layer, node.plan, node.bodies, 0, np.float64)
    top = [Blob(shape, np.float64) for shape in node.plan.tops]
    for blob in top:
        blob.diff[...] = rng.normal(size=blob.shape)
    case = Case(type(layer), node.name, no_formula="it stands in a net")
    return Prepared(case, layer, node.plan, bottom, top)


def _requests(graph: Graph, node: Node) -> list[Request]:
    """Every diff that can be asked for.

    A class written for pycaffe cannot say that its labels have none: what a source has beside its samples is left out.
    """
    able = node.plan.gradients or [True] * len(node.bottoms)
    sources = {ref for each in graph.nodes if not each.bottoms and not each.plan.weights for ref in each.tops[1:]}
    besides: set[Ref] = sources if node.spec.type == "Python" else set()
    bottoms = [i for i, ref in enumerate(node.bottoms) if able[i] and ref not in besides]
    return [*bottoms, *(weight.name for weight in node.plan.weights if weight.learned)]


def _apart(shape: Shape, rng: np.random.Generator, span: tuple[float, float]) -> Array:
    """Random values in a span, no two alike and none near 0, where maxima and rectifiers have kinks."""
    size, (low, high) = math.prod(shape), span
    grid = low + (high - low) * (rng.permutation(size) + rng.uniform(0.25, 0.75, size)) / max(1, size)
    grid += np.where(abs(grid) < 1e-3, np.where(grid < 0, -2e-3, 2e-3), 0)
    return grid.reshape(shape)


def _classes(shape: Shape, rng: np.random.Generator) -> Array:
    """Zeros and ones, as many of each."""
    return rng.permutation(np.arange(math.prod(shape)) % 2).reshape(shape)


def _blob(values: Array) -> Blob:
    blob = Blob(values.shape, np.float64)
    blob.data[...] = values
    return blob
