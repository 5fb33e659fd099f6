"""Caffe's solvers as runs of layerkit: the settings, and the net or nets that they train and test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from layerkit.convert import net as nets
from layerkit.convert import prototxt
from layerkit.convert.net import Net
from layerkit.convert.parameters import short
from layerkit.convert.report import Report
from layerkit.convert.schema import Fields, read, unknown_fields
from layerkit.errors import ConfigError, Problem, did_you_mean
from layerkit.spec.sentences import Source, validate
from layerkit.spec.solver import SolverSpec
from layerkit.text import Map, Seq

_TYPES = {"sgd": "SGD", "nesterov": "Nesterov", "adagrad": "AdaGrad", "rmsprop": "RMSProp", "adadelta": "AdaDelta",
          "adam": "Adam"}  # fmt: skip
_RULES_OWN = {"delta": ("AdaGrad", "RMSProp", "AdaDelta", "Adam"), "momentum2": ("Adam",), "rms_decay": ("RMSProp",)}
"""Numbers that Caffe reads for some types, and passes over for others."""
_MEANINGLESS = {
    "solver_mode", "device_id", "snapshot_format", "snapshot_diff", "test_compute_loss", "layer_wise_reduce",
    "eval_type", "ap_version", "show_per_class_result", "solver_data_type", "store_blobs_in_old_format",
}  # fmt: skip
"""Where Caffe computes, how it writes snapshots, and what its evaluations print."""
_NETS = ("net", "net_param", "train_net", "train_net_param", "test_net", "test_net_param")


def is_solver(message: prototxt.Message) -> bool:
    """Whether a prototxt is a solver: it has settings of one, and no layers of its own."""
    names = {field.name for field in message.fields}
    return not names & {"layer", "layers", "input"} and bool(names & {"base_lr", *_NETS})


def convert(text: prototxt.Text, folder: Path, report: Report) -> tuple[Net, Map]:
    """The net and the settings of a solver; paths in it are looked for around `folder`, the solver's own.

    What cannot be converted is added to the report and left out. Raises ConfigError where there is no net to be found.
    """
    fields = read(text.message, "SolverParameter", report.problems)
    report.problems.found += unknown_fields(fields)
    found = _net(fields, folder, report)
    nets.finish(found)
    return found, settings(fields, report)


# -- settings ----------------------------------------------------------------------------------------------------------


def settings(fields: Fields, report: Report) -> Map:
    """The settings of a SolverParameter as a run's `solver:` has them, defaults left out."""
    tree = Map(mark=fields.mark)
    kind = fields.get("type", fields.get("solver_type", "SGD"))
    kind = _TYPES.get(kind.lower(), kind)

    def put(name: str, value: Any, source: str) -> None:
        tree.put(name, value, fields.key_marks.get(source), fields.value_marks.get(source))

    for name, value in fields.items():
        mark = fields.key_marks[name]
        if name in _NETS or name in _MEANINGLESS or name in fields.unknown or kind not in _RULES_OWN.get(name, (kind,)):
            continue
        if name in ("type", "solver_type"):
            put("type", kind, name)
        elif name in ("train_state", "test_state"):
            put(name, _state(value), name)
        elif name == "rampup_interval":
            put("warmup_iter", value, name)
        elif name == "rampup_lr":
            put("warmup_start", float(f"{value / (fields.get('base_lr') or 1):.7g}"), name)
        elif name == "snapshot_prefix":
            report.notes.add("snapshot_prefix is left out: snapshots lie in the run's folder", mark=mark)
        elif name == "weights":
            report.notes.add(f"weights is left out: say --weights to layerkit train, for {short(value)}", mark=mark)
        elif name not in SolverSpec.model_fields:
            hint = did_you_mean(name, SolverSpec.model_fields)
            if value:
                report.problems.add(f"layerkit's solver has no {name!r}{hint}; it is left out", "solver", mark)
        elif not (name in ("clip_gradients", "random_seed") and value < 0):  # Caffe's way to say none
            put(name, short(value), name)
    return _without_defaults(tree, report)


def _without_defaults(tree: Map, report: Report) -> Map:
    spec = validate(SolverSpec, tree, Source(tree, "solver"), report.problems)
    if spec is None:
        return tree
    fields = SolverSpec.model_fields
    usual = {
        name: field.get_default(call_default_factory=True) for name, field in fields.items() if not field.is_required()
    }
    needless = [name for name in tree if name in usual and getattr(spec, name) == usual[name] and name != "type"]
    return tree.without(*needless)


def _state(state: Any) -> Any:
    if isinstance(state, Seq):
        return Seq([_state(each) for each in state], state.mark, state.marks)
    return short(state.without("phase"))


# -- nets --------------------------------------------------------------------------------------------------------------


def _net(fields: Fields, folder: Path, report: Report) -> Net:
    shared = list(_of(fields, ("net_param", "net"), folder, report))
    train = list(_of(fields, ("train_net_param", "train_net"), folder, report)) or shared
    test = list(_of(fields, ("test_net_param", "test_net"), folder, report))
    if not train:
        raise ConfigError([*report.problems.found, Problem("the solver names no net to train", mark=fields.mark)])
    if len(test) > 1:
        report.problems.add("there are several test nets; only the first is converted, give each a stage instead",
                            "solver", fields.key_marks.get("test_net"))  # fmt: skip
    return _joined(train[0], test[0]) if test else train[0]


def _of(fields: Fields, names: tuple[str, ...], folder: Path, report: Report) -> Iterator[Net]:
    """The nets that these fields hold or name."""
    for name in names:
        values = fields.get(name, Seq())
        for value in values if isinstance(values, Seq) else [values]:
            if isinstance(value, Fields):
                yield nets.convert_fields(value, report)
            else:
                path = found_file(value, folder)
                if path is None:
                    problem = Problem(f"there is no file {value!r}, neither here nor beside the solver", name,
                                      fields.value_marks.get(name))  # fmt: skip
                    raise ConfigError([*report.problems.found, problem])
                text = prototxt.load(path)
                net = nets.convert_fields(read(text.message, "NetParameter", report.problems), report)
                nets.place_comments(net, dict(text.comments))
                yield net


def found_file(given: str, folder: Path) -> Path | None:
    """A net's file: as given, or below the solver's folder or one above it, with or without the folders in front.

    Caffe takes paths from where it is started, which is mostly the root of its sources.
    """
    parts = Path(given).parts
    tails = [Path(*parts[i:]) for i in range(len(parts)) if parts[i] != "/"]
    around = [folder.absolute(), *folder.absolute().parents]
    places = [Path(given), *(place / Path(given) for place in around), *(folder / tail for tail in tails)]
    return next((place for place in places if place.is_file()), None)


def _joined(train: Net, test: Net) -> Net:
    """One net of two: what both have alike is there always, the rest in its phase alone."""
    layers = _in_phase(train, "train")
    comments = {id(layer): train.before.get(i, []) for i, layer in enumerate(train.layers)}
    alike, at = set[int](), 0
    for layer in _in_phase(test, "test"):
        same = next((i for i, other in enumerate(layers[at:], at) if other == layer and id(other) not in alike), None)
        if same is None:
            layer.setdefault("include", "test")
            layers.insert(at, layer)
            alike.add(id(layer))
            at += 1
        else:
            alike.add(id(layers[same]))
            at = same + 1
    for layer in layers:
        if id(layer) not in alike:
            layer.setdefault("include", "train")
    before = {i: comments.get(id(layer), []) for i, layer in enumerate(layers)}
    renamed = train.renamed | test.renamed
    return Net(train.name or test.name, layers, train.force_backward, before, train.heading, renamed)


def _in_phase(net: Net, phase: str) -> list[Map]:
    """The layers that a net has in its phase, those rules left out that say only so."""
    kept = []
    for layer in net.layers:
        rule = layer.get("include")
        if rule == phase:
            del layer["include"]
        if not isinstance(rule, str) or rule == phase:
            kept.append(layer)
    return kept
