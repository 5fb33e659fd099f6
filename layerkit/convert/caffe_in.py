"""Caffe's files to layerkit's: a prototxt to YAML, with a caffemodel to a snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from layerkit import arrayfile, graph, snapshot
from layerkit.blob import Array
from layerkit.convert import caffemodel, emit, prototxt, solver, weights
from layerkit.convert import net as nets
from layerkit.convert.report import Report
from layerkit.errors import ConfigError, LayerkitError, Problem, SnapshotError, UsageError
from layerkit.net import Net

TEXT, NUMBERS = (".yaml", ".yml"), ".safetensors"


def convert(source: Path, target: Path, trained: Path | None = None) -> list[str]:
    """Convert a net or solver, with the weights in `trained`, to `target`, a .yaml or .safetensors file.

    With weights and a .yaml target the snapshot lies beside it. Returns what is to be said of it, a sentence a line;
    what could not be converted is left out. Raises ConfigError for a source that is no prototxt, SnapshotError for
    weights that cannot be read or do not go into the net, UsageError for another target.
    """
    if target.suffix not in (*TEXT, NUMBERS):
        raise UsageError(f"cannot convert {str(source)!r} to {str(target)!r}: its name must end in .yaml or {NUMBERS}")
    if target.suffix == NUMBERS and trained is None:
        raise UsageError(f"{str(target)!r} is to hold weights; name the .caffemodel behind {str(source)!r}")
    report = Report()
    saved = None if trained is None else caffemodel.read(trained)
    written, renamed = to_yaml(source, report)
    said: list[str] = []
    if target.suffix in TEXT:
        arrayfile.write_text(target, written)
        said.append(f"wrote {target}")
    origin = target if target.suffix in TEXT else written
    try:
        loaded = graph.load(origin)
    except ConfigError as error:
        if saved is not None:
            raise SnapshotError(
                f"the weights cannot be converted, since the net cannot be built: {error.problems[0]}"
            ) from None
        return [*report.lines(), *said, *_to_be_mended(error)]
    if saved is not None:
        path = target.with_suffix(NUMBERS)
        arrays: dict[str, Array] = {}
        for built in loaded.graphs.values():
            arrays = weights.of_net(built, saved, renamed, report if not arrays else Report()) | arrays
        said.append(_save(path, loaded, arrays))
    return [*report.lines(), *said]


def to_yaml(source: Path, report: Report) -> tuple[str, dict[str, str]]:
    """The YAML text of a prototxt, and the new names of layers that could not keep theirs. Raises ConfigError."""
    text = prototxt.load(source)
    if solver.is_solver(text.message):
        net, settings = solver.convert(text, source.parent, report)
        net.name = net.name or source.stem
        return emit.run_file(net, settings, text.comments), net.renamed
    net = nets.convert(text, report)
    return emit.net_file(net), net.renamed


def _save(path: Path, loaded: graph.Loaded, arrays: Mapping[str, Array]) -> str:
    built = loaded.graphs.get("train") or next(iter(loaded.graphs.values()))
    net = Net.from_graph(built, engine="numpy", keep=())
    found = net.load_weights(arrays, strict=False)
    if not found.loaded:
        raise SnapshotError("none of the weights belong to the net; is the caffemodel one of another net?")
    snapshot.save_weights(path, net, snapshot.describe(loaded.run))
    return f"wrote {path} ({len(found.loaded)} of {len(found.loaded) + len(found.missing)} weights)"


def _to_be_mended(error: LayerkitError) -> list[str]:
    """What the net still lacks before it can be built."""
    problems = error.problems if isinstance(error, ConfigError) else [Problem(str(error))]
    return [f"to be mended before it can be used: {problem}" for problem in problems]
