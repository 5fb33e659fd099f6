"""Caffe's solvers as runs of layerkit: the settings, and the nets that they train and test as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from layerkit.convert import net as nets
from layerkit.convert import prototxt, solver_nets
from layerkit.convert.net import Net
from layerkit.convert.parameters import short
from layerkit.convert.report import Report
from layerkit.convert.schema import Fields, read, unknown_fields
from layerkit.errors import did_you_mean
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


def is_solver(message: prototxt.Message) -> bool:
    """Whether a prototxt is a solver: it has settings of one, and no layers of its own."""
    names = {field.name for field in message.fields}
    return not names & {"layer", "layers", "input"} and bool(names & {"base_lr", *solver_nets.NAMES})


def convert(text: prototxt.Text, folder: Path, report: Report) -> tuple[Net, Map]:
    """The net and the settings of a solver; paths in it are looked for around `folder`, the solver's own.

    What cannot be converted is added to the report and left out. Raises ConfigError where there is no net to be found.
    """
    fields = read(text.message, "SolverParameter", report.problems)
    report.problems.found += unknown_fields(fields)
    found, states = solver_nets.convert(fields, folder, report)
    nets.finish(found)
    return found, settings(fields, report, states)


# -- settings ----------------------------------------------------------------------------------------------------------


def settings(fields: Fields, report: Report, test_states: Seq | None = None) -> Map:
    """The settings of a SolverParameter as a run's `solver:` has them, defaults left out.

    `test_states` are the states of the test nets, where they must be others than are written.
    """
    tree = Map(mark=fields.mark)
    kind = fields.get("type", fields.get("solver_type", "SGD"))
    kind = _TYPES.get(kind.lower(), kind)

    def put(name: str, value: Any, source: str) -> None:
        tree.put(name, value, fields.key_marks.get(source), fields.value_marks.get(source))

    for name, value in fields.items():
        mark = fields.key_marks[name]
        if (
            name in solver_nets.NAMES
            or name in _MEANINGLESS
            or name in fields.unknown
            or kind not in _RULES_OWN.get(name, (kind,))
        ):
            continue
        if name == "test_state" and test_states is not None:
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
    if test_states is not None:
        tree["test_state"] = test_states
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
