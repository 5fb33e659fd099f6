"""Writes what was converted: YAML, and with weights a snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from layerkit import graph, snapshot
from layerkit.blob import Array
from layerkit.errors import SnapshotError
from layerkit.net import Net

TEXT, NUMBERS = (".yaml", ".yml"), ".safetensors"
"""How the names of files that layerkit reads end."""


def save(path: Path, loaded: graph.Loaded, arrays: Mapping[str, Array], found_in: str) -> str:
    """Write a snapshot of the net with these weights, by `layer.weight`; returns a sentence on it.

    Raises SnapshotError where none of them belong to the net; `found_in` says in what kind of file they were.
    """
    built = loaded.graphs.get("train") or next(iter(loaded.graphs.values()))
    net = Net.from_graph(built, engine="numpy", keep=())
    found = net.load_weights(arrays, strict=False)
    if found.missing and not found.loaded:
        raise SnapshotError(f"none of the weights belong to the net; is the {found_in} one of another net?")
    snapshot.save_weights(path, net, snapshot.describe(loaded.run))
    return f"wrote {path} ({len(found.loaded)} of {len(found.loaded) + len(found.missing)} weights)"
