"""Caffe's files to layerkit's: a prototxt to YAML, with a caffemodel to a snapshot, with a solverstate to a state."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from layerkit import arrayfile, graph
from layerkit.blob import Array
from layerkit.convert import binary, caffemodel, emit, prototxt, solver, solverstate, weights
from layerkit.convert import net as nets
from layerkit.convert.caffemodel import MODEL
from layerkit.convert.layers import NO_TYPE
from layerkit.convert.report import Report
from layerkit.convert.saving import NUMBERS, TEXT, save, save_state
from layerkit.errors import ConfigError, Problem, SnapshotError, UsageError


def convert(
    source: Path, target: Path, trained: Path | None = None, branch: str | None = None, state: Path | None = None
) -> Report:
    """Convert a net or solver, with the weights in `trained`, to `target`, a .yaml or .safetensors file.

    The source may be a caffemodel alone, if `branch` says whose Caffe wrote it. With weights and a .yaml target the
    snapshot lies beside it. With a solver, `state` is a solverstate to go on from, whose own weights are taken unless
    others are given; then the solver's state lies beside the snapshot. What could not be converted is in the report and
    left out. Raises ConfigError for a source that is no prototxt, SnapshotError for weights or a state that cannot be
    read or do not go into the net, UsageError for another target or where no branch is named.
    """
    trained = source if source.suffix == MODEL else trained
    if target.suffix not in (*TEXT, NUMBERS):
        raise UsageError(f"cannot convert {str(source)!r} to {str(target)!r}: its name must end in .yaml or {NUMBERS}")
    if state is not None and target.suffix == NUMBERS:
        raise UsageError(f"a run goes on from {str(state)!r}, so what to write must end in .yaml, not {str(target)!r}")
    held = None if state is None else solverstate.read(state)
    if held is not None and state is not None and trained is None:
        trained = solverstate.weights_beside(held, state)
        if trained is None:
            raise UsageError(f"{str(state)!r} names no weights; name its .caffemodel in front of it")
    if target.suffix == NUMBERS and trained is None:
        raise UsageError(f"{str(target)!r} is to hold weights; name the .caffemodel behind {str(source)!r}")
    report = Report()
    saved = None if trained is None else caffemodel.read(trained)
    written, renamed = to_yaml(source, report, branch)
    if target.suffix in TEXT:
        arrayfile.write_text(target, written)
        report.wrote.append(f"wrote {target}")
    try:
        loaded = graph.load(target if target.suffix in TEXT else written)
    except ConfigError as error:
        if saved is not None:
            why = f"since the net cannot be built: {error.problems[0]}"
            raise SnapshotError(f"the weights cannot be converted, {why}") from None
        report.problems.found += [
            _to_be_mended(problem) for problem in error.problems if not _was_said(problem, report)
        ]
        return report
    if saved is None:
        return report
    arrays: dict[str, Array] = {}
    for built in loaded.graphs.values():
        arrays = weights.of_net(built, saved, renamed, report if not arrays else Report()) | arrays
    if held is None or state is None:
        report.wrote.append(save(target.with_suffix(NUMBERS), loaded, arrays, "caffemodel"))
    else:
        report.wrote += save_state(target.with_suffix(""), loaded, arrays, held, str(state))
    return report


def to_yaml(source: Path, report: Report, branch: str | None = None) -> tuple[str, dict[str, str]]:
    """The YAML text of a prototxt, or of a branch's caffemodel, and the new names of layers that could not keep theirs.

    Raises ConfigError, and for a caffemodel UsageError and SnapshotError.
    """
    if source.suffix == MODEL:
        if branch is None:
            known = ", ".join(binary.branches())
            raise UsageError(
                f"say whose Caffe wrote {str(source)!r}, since it comes without a prototxt: one of {known}"
            )
        fields = binary.read_net(caffemodel.read_bytes(source), source, branch, report.problems)
        net = nets.convert_fields(fields, report)
        nets.finish(net)
        return emit.net_file(net), net.renamed
    text = prototxt.load(source)
    if solver.is_solver(text.message):
        net, settings = solver.convert(text, source.parent, report)
        net.name = net.name or source.stem
        return emit.run_file(net, settings, text.comments), net.renamed
    net = nets.convert(text, report)
    return emit.net_file(net), net.renamed


def _was_said(problem: Problem, report: Report) -> bool:
    """Whether it is a layer of an unknown type, of which the conversion has spoken."""
    missing = {each.where for each in report.problems.found if each.message.startswith(NO_TYPE)}
    return problem.where in missing and problem.message.startswith("there is no layer type")


def _to_be_mended(problem: Problem) -> Problem:
    """What the net that was written still lacks before it can be built."""
    return replace(problem, message=f"{problem.message} (to be mended before the net can be used)")
