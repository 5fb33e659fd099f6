"""From a file and what is said on the command line to a net with values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from layerkit import arrayfile
from layerkit.blob import Array
from layerkit.differentiation import with_bodies
from layerkit.errors import DataError, SnapshotError, UnknownNameError, UsageError
from layerkit.given import as_array
from layerkit.graph import Graph
from layerkit.net import Net
from layerkit.passes import remember
from layerkit.report.drawing import files
from layerkit.report.tracing.passes import fitted

_EXACT = 1_000_000
"""Elements of all blobs up to which a net is traced in float64."""


def values_of(option: str, texts: Sequence[str]) -> dict[str, Array]:
    """The arrays that `x=-2,y=[1, 2],data=batch.npy` names. Raises UsageError, and DataError for a file."""
    found: dict[str, Array] = {}
    for item in (item for text in texts for item in _items(text)):
        name, equals, value = item.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise UsageError(f"{option} takes NAME=VALUE, as in x=-2,y=[1,2],data=batch.npy, not {item.strip()!r}")
        if name.strip() in found:
            raise UsageError(f"{option} gives {name.strip()!r} twice")
        found[name.strip()] = _value(option, name.strip(), value.strip())
    return found


def _items(text: str) -> list[str]:
    """Parts between commas that stand in no brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if character == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _value(option: str, name: str, text: str) -> Array:
    if text.endswith(".npy"):
        try:
            return as_array(name, arrayfile.mapped(text)["data"])
        except SnapshotError as error:
            raise DataError(str(error)) from None
    try:
        found = json.loads(text) if text.startswith("[") else float(text)
    except (ValueError, RecursionError):
        raise UsageError(f"{option}: {name}={text} is no number, no list in brackets and no .npy file") from None
    return as_array(name, found)


@np.errstate(all="ignore")  # what overflows is to be seen
def load(
    file: Path,
    phase: str | None,
    overrides: Sequence[str],
    inputs: Mapping[str, Array],
    *,
    weights: str | None = None,
    allow_python: bool = False,
) -> Net:
    """The net of a file after a forward pass with these inputs and weights, by name; sources give what is left.

    What is carried from batch to batch, and what is drawn, is as it was before: the steps go through that pass again.
    Raises ConfigError and whatever else `draw` does, UsageError for an input without a value, UnknownNameError.
    """
    graph = files.load(file, phase, overrides, allow_python=allow_python)
    size = sum(math.prod(shape) for shape in graph.shapes.values())
    net = Net.from_graph(graph, dtype="float64" if size <= _EXACT else "float32", engine="numpy")
    path = weights if weights is not None or file.suffix != ".safetensors" else str(file)
    if path is not None:
        net.load_weights(path)
    _expect_inputs(graph, inputs)
    fed: dict[str, Any] = {}
    for name, array in inputs.items():
        slot = net.flat.slots.get(name)
        if slot is not None:
            slot.blob.data[...] = fitted(name, array, slot.shape).reshape(slot.blob.shape)
        elif name not in net.inputs:
            raise UnknownNameError("input or weight", name, [*net.inputs, *net.flat.slots])
        elif array.size in (1, math.prod(net.blobs[name].shape)):
            fed[name] = fitted(name, array, net.blobs[name].shape)
        else:
            fed[name] = array
    put_back = remember(with_bodies(graph.nodes))
    try:
        net.forward(**fed)
    finally:
        put_back()
        net.close()
    return net


def _expect_inputs(graph: Graph, given: Mapping[str, Array]) -> None:
    """Raise UsageError if an Input has no value."""
    missing = [
        ref.name for node in graph.nodes if node.spec.type == "Input" for ref in node.tops if ref.name not in given
    ]
    if missing:
        example = ",".join(f"{name}={'1' if not graph.shapes[graph.last[name]] else '...'}" for name in missing)
        raise UsageError(f"nothing gives {', '.join(map(repr, missing))} a value; say --input {example}")
