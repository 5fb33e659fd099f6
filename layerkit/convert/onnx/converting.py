"""ONNX models to files of layerkit's, and back."""

from __future__ import annotations

from pathlib import Path

from layerkit import arrayfile, graph
from layerkit.convert import emit
from layerkit.convert.net import Net, finish
from layerkit.convert.onnx.exporting import export
from layerkit.convert.onnx.reading import read
from layerkit.convert.report import Report
from layerkit.convert.saving import NUMBERS, TEXT, save
from layerkit.errors import UsageError
from layerkit.text import Map

MODEL = ".onnx"


def convert_in(source: Path, target: Path) -> Report:
    """Convert a model to `target`, a .yaml file, with a snapshot of the weights beside it; or to the snapshot alone.

    Raises UsageError for another target, and what `read` raises.
    """
    if target.suffix not in (*TEXT, NUMBERS):
        raise UsageError(f"cannot convert {str(source)!r} to {str(target)!r}: its name must end in .yaml or {NUMBERS}")
    tree, weights = read(source)
    net = Net(str(tree.get("name", "")), [Map(layer) for layer in tree["layers"]])
    finish(net)
    written, report = emit.net_file(net), Report()
    if target.suffix in TEXT:
        arrayfile.write_text(target, written)
        report.wrote.append(f"wrote {target}")
    loaded = graph.load(target if target.suffix in TEXT else written)
    if weights or target.suffix == NUMBERS:
        report.wrote.append(save(target.with_suffix(NUMBERS), loaded, weights, "model"))
    return report


def convert_out(source: Path, target: Path, trained: Path | None = None, *, preprocess: bool = False) -> Report:
    """Convert the predict net of a run, with the weights of `trained`, or of a snapshot to a model; see `export`."""
    report = Report()
    for note in export(source, target, weights=trained, preprocess=preprocess):
        report.notes.add(note)
    report.wrote.append(f"wrote {target}")
    return report
