"""Nets as graphs for Graphviz, from a NetParameter."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from layerkit import arrayfile
from layerkit.errors import UsageError

_LAYER = 'shape=record, fillcolor="#6495ED", style=filled'
_IN_PLACE = 'shape=record, fillcolor="#90EE90", style=filled'
_BLOB = 'shape=octagon, fillcolor="#E0E0E0", style=filled'
_TEXT = ("dot", "gv", "raw")


def get_dot(caffe_net: Any, rankdir: str = "LR", label_edges: bool = True, phase: int | None = None) -> str:
    """The text of a graph in the DOT language: layers as boxes, blobs as octagons.

    `rankdir` is the direction of the flow (LR, TB, BT); with `phase` only that phase's layers are there.
    """
    return "\n".join(_lines(caffe_net, rankdir, label_edges, phase)) + "\n"


def draw_net(caffe_net: Any, rankdir: str, ext: str = "png", phase: int | None = None) -> bytes:
    """The picture's bytes: DOT text for `dot`, `gv` and `raw`, and what Graphviz makes of it for any other format.

    Raises UsageError where Graphviz is not installed, or cannot draw it.
    """
    text = get_dot(caffe_net, rankdir, phase=phase).encode()
    if ext in _TEXT:
        return text
    program = shutil.which("dot")
    if program is None:
        raise UsageError(f"a picture as {ext!r} needs Graphviz's program dot, which is not installed; or write a .dot")
    made = subprocess.run([program, f"-T{ext}"], input=text, capture_output=True, check=False)
    if made.returncode:
        raise UsageError(f"Graphviz cannot draw a picture as {ext!r}: {made.stderr.decode(errors='replace').strip()}")
    return made.stdout


def draw_net_to_file(
    caffe_net: Any, filename: str | os.PathLike[str], rankdir: str = "LR", phase: int | None = None
) -> None:
    """Write the picture in the format that the file's ending names, as `draw_net` makes it."""
    arrayfile.write_bytes(filename, draw_net(caffe_net, rankdir, Path(filename).suffix[1:] or "dot", phase))


def _lines(net: Any, rankdir: str, label_edges: bool, phase: int | None) -> Iterator[str]:
    yield f"digraph {_quoted(net.name or 'net')} {{"
    yield f"  rankdir={rankdir};"
    blobs: set[str] = set()
    for layer in net.layer:
        if phase is not None and not _in_phase(layer, phase):
            continue
        in_place = list(layer.bottom) == list(layer.top) and len(layer.top) == 1
        box = _quoted(f"layer {layer.name}")
        yield f"  {box} [label={_quoted(_label(layer))}, {_IN_PLACE if in_place else _LAYER}];"
        for name in [each for each in (*layer.bottom, *layer.top) if each not in blobs]:
            blobs.add(name)
            yield f"  {_quoted(f'blob {name}')} [label={_quoted(name)}, {_BLOB}];"
        for name in layer.bottom:
            yield f"  {_quoted(f'blob {name}')} -> {box};"
        for name in layer.top:
            says = f" [label={_quoted(_outputs(layer))}]" if label_edges and _outputs(layer) else ""
            yield f"  {box} -> {_quoted(f'blob {name}')}{says};"
    yield "}"


def _label(layer: Any) -> str:
    """Name and type, and of windows their size, stride and padding."""
    said = f"{layer.name} ({layer.type})"
    for field in ("convolution_param", "pooling_param"):
        if layer.HasField(field):
            given = getattr(layer, field)
            for name in ("kernel_size", "stride", "pad"):
                values = getattr(given, name)
                values = [values] if isinstance(values, int) else list(values)
                said += f"\n{name}: {' '.join(map(str, values))}" if values else ""
    return said


def _outputs(layer: Any) -> str:
    for field in ("convolution_param", "inner_product_param"):
        if layer.HasField(field):
            return str(getattr(layer, field).num_output)
    return ""


def _in_phase(layer: Any, phase: int) -> bool:
    """Whether the rules of a layer let it be in a phase."""
    included = [rule.phase for rule in layer.include if rule.HasField("phase")]
    excluded = [rule.phase for rule in layer.exclude if rule.HasField("phase")]
    return (not included or phase in included) and phase not in excluded


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
