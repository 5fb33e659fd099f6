"""layerkit's files to Caffe's: YAML or a snapshot to a prototxt, its solver to another, weights to a caffemodel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from layerkit import arrayfile, graph, snapshot
from layerkit.blob import Array, Shape
from layerkit.convert import caffe_layers, caffemodel, comments, proto_text
from layerkit.convert.caffemodel import SavedLayer
from layerkit.convert.comments import Comments
from layerkit.convert.proto_text import Message, Word
from layerkit.convert.report import Report
from layerkit.convert.schema import table
from layerkit.errors import Problems, UsageError
from layerkit.graph import Graph
from layerkit.net import Net
from layerkit.spec import LayerSpec, Rule, RunSpec, SolverSpec, StateSpec, read_layer
from layerkit.spec.sentences import is_per_phase

_SAID_ANYWAY = ("lr_policy", "display")
"""Settings that Caffe has no default for, or another one."""
_PHASES: tuple[Literal["train", "test"], ...] = ("train", "test")


def convert(source: Path, target: Path | None, trained: Path | None = None, model: Path | None = None) -> Report:
    """Convert a net, a run or a snapshot's predict net to `target`, a .prototxt, and weights to `model`, a .caffemodel.

    The weights are those of the snapshot `trained`, or of the source if it is one. A run's solver goes beside the
    target, as NAME_solver.prototxt. What Caffe does not have is in the report and left out. Raises ConfigError for a
    net that cannot be built, SnapshotError for weights that do not fit, UsageError where there are none to write.
    """
    trained = source if source.suffix == ".safetensors" else trained
    if model is not None and trained is None:
        raise UsageError(f"{str(model)!r} is to hold weights; name a snapshot (.safetensors) behind {str(source)!r}")
    report = Report()
    run, graphs = _load(source)
    if target is not None:
        said = (
            Comments() if source.suffix == ".safetensors" else comments.read(source, graph.expand(run.net, Problems()))
        )
        arrayfile.write_text(target, net_text(run, graphs, report, said))
        report.wrote.append(f"wrote {target}")
        if run.solver is not None:
            path = target.with_name(f"{target.stem}_solver.prototxt")
            arrayfile.write_text(path, solver_text(run, target.name, report, said))
            report.wrote.append(f"wrote {path}")
    if model is not None and trained is not None:
        net = Net.from_graph(next(iter(graphs.values())), engine="numpy", keep=())
        match = net.load_weights(trained)
        caffemodel.write(model, run.net.name, _saved(net))
        report.wrote.append(f"wrote {model} ({match.summary})")
    return report


def _load(source: Path) -> tuple[RunSpec, dict[str, Graph]]:
    """The run and its graphs; of a snapshot those of its predict net."""
    if source.suffix == ".safetensors":
        net = snapshot.load(source, engine="numpy", keep=())
        layers = [graph.as_tree(node.spec) for node in net.graph.nodes]
        for layer in layers:
            layer.pop("include", None)
        loaded = graph.load({"name": net.name, "layers": layers}, ["train"])
    else:
        loaded = graph.load(source)
    return loaded.run, {phase: built for phase, built in loaded.graphs.items() if phase != "predict"}


# -- nets --------------------------------------------------------------------------------------------------------------


def net_text(run: RunSpec, graphs: dict[str, Graph], report: Report, said: Comments) -> str:
    """The net as a prototxt, in an order in which Caffe can read it, with the comments that were `said` of it."""
    shapes: dict[str, list[Shape]] = {}
    for built in graphs.values():
        for node in built.nodes:
            shapes.setdefault(node.name, [built.shapes[ref] for ref in node.bottoms])
    net: Message = [*comments.lines(said.heading), ("name", run.net.name)]
    if run.net.force_backward:
        net.append(("force_backward", True))
    for spec in _specs(run, graphs):
        net += comments.lines(said.layers.pop(spec.name, ()))
        net += [("layer", layer) for layer in caffe_layers.convert(spec, shapes.get(spec.name, []), report)]
    left = [comment for rest in said.layers.values() for comment in rest]  # of layers that Caffe's phases do not have
    return proto_text.dump(net + comments.lines([*left, *said.ending]))


def _specs(run: RunSpec, graphs: dict[str, Graph]) -> Iterator[LayerSpec]:
    """The layers of training and testing; one that differs between them comes once for each phase."""
    problems = Problems()
    place = {name: i for i, name in enumerate(_order(graphs))}
    flats = [flat for flat in graph.expand(run.net, problems) if str(flat.tree["name"]) in place]
    for flat in sorted(flats, key=lambda flat: place[str(flat.tree["name"])]):
        read = {phase: read_layer(flat.tree, phase, flat.uses, problems) for phase in _PHASES}
        found = {phase: spec for phase, spec in read.items() if spec is not None}
        differs = any(is_per_phase(value) for value in flat.tree.values())
        present = {phase: spec for phase, spec in found.items() if _present(spec, phase, graphs)}
        if differs and len(present) == len(_PHASES):
            for phase, spec in present.items():
                yield spec.replace(include=[Rule(phase=phase)], exclude=[])
        else:
            yield next(iter(present.values()))


def _present(spec: LayerSpec, phase: str, graphs: dict[str, Graph]) -> bool:
    built = [graph for name, graph in graphs.items() if name.split()[0] == phase]
    return any(node.name == spec.name for graph in built for node in graph.nodes)


def _order(graphs: dict[str, Graph]) -> list[str]:
    """All layers' names so that each stands behind what it reads, in every phase."""
    order: list[str] = []
    for built in graphs.values():
        at = 0
        for node in built.nodes:
            if node.name in order:
                at = max(at, order.index(node.name) + 1)
            else:
                order.insert(at, node.name)
                at += 1
    return order


# -- solvers -----------------------------------------------------------------------------------------------------------


def solver_text(run: RunSpec, net: str, report: Report, said: Comments) -> str:
    """The run's solver as a prototxt that names the file of its net, with the comments that were `said` of it."""
    solver, known = run.solver, table().messages["SolverParameter"]
    assert solver is not None
    message: Message = [("net", net)]
    for field in type(solver).model_fields:
        if field not in solver.model_fields_set and field not in _SAID_ANYWAY:
            continue
        message += comments.lines(said.settings.pop(field, ()))
        name, value = _in_caffes_words(field, getattr(solver, field), solver)
        if name not in known or not _is_plain(value):
            report.problems.add(f"Caffe's solver has no {name!r} such as this; it is left out", "solver")
            continue
        items = value if isinstance(value, list) else [value]
        message += [(name, _state(item) if isinstance(item, StateSpec) else item) for item in items]
    if solver.test_interval and "test_iter" not in dict(message):
        report.problems.add(
            "Caffe needs test_iter, the number of batches of a test; here a test is all samples", "solver"
        )
    message += [("snapshot_prefix", run.name), ("solver_mode", Word("CPU"))]
    message += comments.lines(comment for rest in said.settings.values() for comment in rest)
    return proto_text.dump(message)


def _in_caffes_words(name: str, value: Any, solver: SolverSpec) -> tuple[str, Any]:
    """A setting as Caffe calls it; a warm-up is one of NVIDIA's Caffe."""
    if name == "warmup_start":
        return "rampup_lr", value * solver.base_lr
    return ("rampup_interval" if name == "warmup_iter" else name), value


def _is_plain(value: Any) -> bool:
    """Whether it is no amount in epochs and no `all`."""
    return all(isinstance(item, (int, float, str, StateSpec)) and item != "all" for item in
               (value if isinstance(value, list) else [value]))  # fmt: skip


def _state(state: StateSpec) -> Message:
    level: Message = [("level", state.level)] if state.level else []
    return level + [("stage", stage) for stage in state.stage]


# -- weights -----------------------------------------------------------------------------------------------------------


def _saved(net: Net) -> Iterator[SavedLayer]:
    """The layers with their weights, as the prototxt has them."""
    for node in net.graph.nodes:
        spec = node.spec
        arrays: list[Array] = [blob.data for blob in net.params[node.name]] if node.plan.weights else []
        ends = tuple(spec.bottom or ()), tuple(spec.top or ())
        if spec.type == "BatchNorm" and len(arrays) > 3:
            yield SavedLayer(spec.name, spec.type, *ends, tuple(arrays[:3]))
            yield SavedLayer(caffe_layers.scale_name(spec.name), "Scale", ends[1], ends[1], tuple(arrays[3:]))
        else:
            kind = "Convolution" if spec.type == "DepthwiseConvolution" else spec.type
            yield SavedLayer(spec.name, kind, *ends, tuple(arrays))


__all__ = ["convert", "net_text", "solver_text"]
