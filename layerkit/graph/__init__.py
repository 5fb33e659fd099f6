"""From a NetSpec to a Graph: pure passes that need no arrays.

expand blocks and defaults -> read layers for a phase -> select -> name versions and sort -> plan shapes
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import zip_longest
from typing import Any, NamedTuple

from layerkit.blob import Shape, shape_text
from layerkit.errors import Problems, ShapeError, UnknownNameError
from layerkit.graph.blocks import Flat, expand
from layerkit.graph.gradients import Step, loss_seeds, plan_backward
from layerkit.graph.node import Node
from layerkit.graph.order import Ref, wire
from layerkit.graph.phases import absences, as_tree, select
from layerkit.graph.segments import find_segments
from layerkit.graph.shapes import plan_layer, plan_nodes, replan
from layerkit.layer import Body, Layer, Plan, SourceLayer
from layerkit.samples import SampleInfo
from layerkit.spec import PHASES, LayerSpec, NetSpec, NetState, Origin, RunSpec, load_run, read_net
from layerkit.spec.layer import blob_name_fault
from layerkit.text import Map, Seq, from_python

__all__ = [
    "Flat",
    "Graph",
    "Node",
    "Ref",
    "Step",
    "as_tree",
    "build",
    "expand",
    "load",
    "loss_seeds",
    "phases_of",
    "plan_alone",
    "plan_backward",
    "with_samples",
]


@dataclass(frozen=True)
class Graph:
    """A net's layers in the order in which they run, with every blob version's shape."""

    name: str
    state: NetState
    nodes: tuple[Node, ...]
    shapes: Mapping[Ref, Shape]
    force_backward: bool = False
    samples: Mapping[str, SampleInfo] = field(default_factory=dict)
    """What is known of the samples that go into an input blob, by its name."""
    segments: Mapping[int, str] = field(default_factory=dict)
    """The nodes whose tops are computed again for the backward pass, each with the segment that it is part of."""

    @property
    def inputs(self) -> list[str]:
        """Names of the blobs that layers without bottoms make, in order, but for those that are weights."""
        sources = [node for node in self.nodes if not node.bottoms and not node.plan.weights]
        return [ref.name for node in sources for ref in node.tops]

    @property
    def outputs(self) -> list[str]:
        """Names of the blobs whose last version nobody reads, in order."""
        read = {ref for node in self.nodes for ref in node.bottoms}
        return [ref.name for node in self.nodes for ref in node.tops if ref not in read]

    @property
    def last(self) -> dict[str, Ref]:
        """The last version of every blob, by name, in the order in which blobs are made."""
        return {ref.name: ref for ref in sorted(self.shapes, key=lambda ref: ref.version)}

    def index(self, layer: str) -> int:
        """The position of a layer. Raises UnknownNameError."""
        for i, node in enumerate(self.nodes):
            if node.name == layer:
                return i
        raise UnknownNameError("layer", layer, [node.name for node in self.nodes])

    def with_shapes(self, given: Mapping[Ref, Shape]) -> Graph:
        """The same graph planned for other shapes of some tops. Raises ShapeError where they do not fit."""
        nodes, shapes = replan(self.nodes, self.shapes, given, partial(_build_body, self.state))
        return replace(self, nodes=tuple(nodes), shapes=shapes)

    def backward(self, seeds: Iterable[Ref] | None, inputs: bool = False) -> list[Step]:
        """The steps of a backward pass from `seeds`, or from the loss; see `plan_backward`."""
        chosen = loss_seeds(self.nodes) if seeds is None else frozenset(seeds)
        return plan_backward(self.nodes, chosen, inputs or self.force_backward)


def with_samples(graph: Graph, samples: Mapping[str, SampleInfo]) -> Graph:
    """The same graph with what is known of its samples, by input blob."""
    return replace(graph, samples=dict(samples))


def load(
    source: Origin,
    phases: Iterable[str] | None = None,
    overrides: Iterable[str] = (),
    *,
    allow_python: bool = False,
) -> Loaded:
    """Read a run and build its graphs, by default of every phase that it speaks of.

    They go by their phases; those of further test nets go by `test NAME`.

    With `allow_python`, layers of type Python run the code that the source names.

    Raises ConfigError with every fault of the whole source at once.
    """
    problems = Problems()
    run = load_run(source, overrides, problems)
    graphs: dict[str, Graph] = {}
    for phase in phases_of(run) if phases is None else phases:
        if phase == "predict" and graphs and problems.found:
            break  # it is derived from the test net and would only say the same again
        for key, state in run.states(_known(phase)).items():
            graph = _build(run.net, replace(state, allow_python=allow_python), problems)
            if graph is not None:
                graphs[key] = graph
    _check_lent_weights(graphs, problems)
    _check_classes(graphs, problems)
    problems.check()
    return Loaded(run, graphs)


def _check_lent_weights(graphs: Mapping[str, Graph], problems: Problems) -> None:
    """The phases have their weights in common, so those of one name must have one shape."""
    first: dict[str, tuple[str, LayerSpec, Shape]] = {}
    faulty: set[str] = set()  # layers of which it is said already
    for phase, graph in graphs.items():
        for node in graph.nodes:
            for weight in node.plan.weights:
                name = f"{node.name}.{weight.name}"
                other, spec, shape = first.setdefault(name, (phase, node.spec, weight.shape))
                if shape != weight.shape and node.name not in faulty:
                    here, there = shape_text(weight.shape), shape_text(shape)
                    message = f"the weight {name!r} is {here} in phase {phase}, but {there} in phase {other}"
                    problems.found.append(node.spec.problem(message, *_changed(spec, node.spec)))
                    faulty.add(node.name)


def _check_classes(graphs: Mapping[str, Graph], problems: Problems) -> None:
    """A label must mean the same class in all phases, though each may read a file of its own."""
    first: dict[str, tuple[str, Sequence[str]]] = {}
    for phase, graph in graphs.items():
        for node in graph.nodes:
            names = node.layer.class_names() if isinstance(node.layer, SourceLayer) else ()
            if names:
                other, known = first.setdefault(node.tops[0].name, (phase, names))
                both = enumerate(zip_longest(names, known))
                here = next(((i, now, then) for i, (now, then) in both if now != then), None)
                if here is not None:
                    i, now, then = here
                    message = (
                        f"class {i} is {now or 'none'!r} in phase {phase}, but {then or 'none'!r} in phase {other}"
                    )
                    hint = (
                        "; a table or a text that 'parts' names for each phase has the classes of the one to train with"
                    )
                    problems.found.append(node.spec.problem(message + hint, "source"))


def _changed(spec: LayerSpec, other: LayerSpec) -> list[str]:
    """The first parameter in which two layers of one type differ, if any."""
    names = spec.cls.Params.model_fields if spec.type == other.type else {}
    return [name for name in names if getattr(spec.params, name) != getattr(other.params, name)][:1]


class Loaded(NamedTuple):
    """A run and its graphs by phase."""

    run: RunSpec
    graphs: dict[str, Graph]


def build(
    net: NetSpec, phase: str = "train", level: int = 0, stages: Iterable[str] = (), *, allow_python: bool = False
) -> Graph:
    """The graph of a net in one phase; `allow_python` as in `load`.

    Reads no training data. Raises ConfigError with every fault found.
    """
    problems = Problems()
    graph = _build(net, NetState(_known(phase), level, frozenset(stages), allow_python), problems)
    problems.check()
    assert graph is not None  # otherwise problems.check raised
    return graph


def _known(phase: str) -> str:
    if phase not in PHASES:
        raise UnknownNameError("phase", phase, PHASES)
    return phase


def _build(net: NetSpec, state: NetState, problems: Problems) -> Graph | None:
    """The graph, or None with every fault added to `problems`."""
    before = len(problems.found)
    flat = expand(net, problems)
    specs, samples = select(flat, state, problems)
    wired = wire(specs, absences(flat, specs, state.phase), problems)
    unnamed = frozenset(str(each.tree["name"]) for each in flat if not each.named)
    nodes, shapes = plan_nodes(wired, state, unnamed, partial(_build_body, state), problems)
    if len(problems.found) > before:
        return None
    return Graph(net.name, state, tuple(nodes), shapes, net.force_backward, samples, find_segments(nodes, net))


def _build_body(state: NetState, body: Body) -> Graph:
    """The graph of a net inside a layer, fed by Input layers of the shapes that the layer gives."""
    for name in body.inputs:
        wrong = blob_name_fault(name)
        if wrong:
            path = ("states", name) if body.loop is not None and name in body.loop.states else ("inputs",)
            raise ShapeError(f"the body cannot read {name!r}: the name of a blob {wrong}", *path)
    inputs = [
        {"name": name, "type": "Input", "top": name, "shape": [list(shape)]} for name, shape in body.inputs.items()
    ]
    layers = Seq([_tree(layer) for layer in (*inputs, *body.layers)])
    blocks = Map({name: _tree(block) for name, block in body.blocks.items()})
    problems = Problems()
    net = read_net(Map({"name": body.name, "blocks": blocks, "layers": layers}), problems)
    problems.check()
    return build(net, state.phase, state.level, state.stages, allow_python=state.allow_python)


def plan_alone(layer: Layer, *bottoms: Shape) -> tuple[Plan, dict[str, Graph]]:
    """The plan of a layer that is part of no net, its bodies' weights added, and the graphs of these bodies.

    Raises ShapeError, and ConfigError for what is wrong in a body.
    """
    plan, _, bodies = plan_layer(layer, (), bottoms, partial(_build_body, NetState(layer.phase)))
    return plan, bodies


def _tree(given: Any) -> Any:
    """What a file says with its places, or else what Python says, without."""
    return given if isinstance(given, Map) else from_python(given)


def phases_of(run: RunSpec) -> list[str]:
    """The phases that a run speaks of: train, test if it tests or any layer mentions it, and then predict."""
    mentioned = _phases_in(run.net.tree)
    tests = "test" in mentioned or (run.solver is not None and run.solver.test_interval != 0)
    return ["train", *(["test"] if tests else []), *(["predict"] if tests or "predict" in mentioned else [])]


def _phases_in(tree: Any) -> set[str]:
    """Every phase that stands anywhere in a net, as a key or as a value."""
    if isinstance(tree, Mapping):
        return {key for key in tree if key in PHASES}.union(*map(_phases_in, tree.values()))
    if isinstance(tree, list):
        return set().union(*map(_phases_in, tree))
    return {tree} if tree in PHASES else set()
