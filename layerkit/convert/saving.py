"""Writes what was converted: a snapshot of the weights, and the state of a solver that goes on with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from layerkit import graph, snapshot
from layerkit.blob import Array
from layerkit.convert.solverstate import SolverState, put_back
from layerkit.errors import SnapshotError
from layerkit.net import Net
from layerkit.solver import Solver
from layerkit.weights import STATE_SUFFIX
from layerkit.words import plural

TEXT, NUMBERS = (".yaml", ".yml"), ".safetensors"
"""How the names of files that layerkit reads end."""


def save(path: Path, loaded: graph.Loaded, arrays: Mapping[str, Array], found_in: str) -> str:
    """Write a snapshot of the net with these weights, by `layer.weight`; returns a sentence on it.

    Raises SnapshotError where none of them belong to the net; `found_in` says in what kind of file they were.
    """
    built = loaded.graphs.get("train") or next(iter(loaded.graphs.values()))
    net = Net.from_graph(built, engine="numpy", keep=())
    found = _load(net, arrays, found_in)
    snapshot.save_weights(path, net, snapshot.describe(loaded.run))
    return f"wrote {path} ({found})"


def save_state(
    stem: Path, loaded: graph.Loaded, arrays: Mapping[str, Array], state: SolverState, name: str
) -> list[str]:
    """Write a snapshot and a solver's state, STEM.safetensors and STEM.state.safetensors, to go on from like Caffe.

    As Caffe does after a restart, the run then reads its samples from the first one on. Returns a sentence on each.
    Raises UsageError for a run without a solver, SnapshotError for a state, called `name`, of another rule or net.
    """
    solver = Solver(loaded, keep=())
    found = _load(solver.net, arrays, "caffemodel")
    put_back(state, solver.updater, name)
    solver.iteration = state.iteration
    weights = solver.snapshot(stem)
    after = f"after {state.iteration} {plural(state.iteration, 'update')}"
    return [f"wrote {weights} ({found})", f"wrote {weights.with_suffix('')}{STATE_SUFFIX} ({after})"]


def _load(net: Net, arrays: Mapping[str, Array], found_in: str) -> str:
    """Put weights into a net; returns how many. Raises SnapshotError where none belong to it."""
    found = net.load_weights(arrays, strict=False)
    if found.missing and not found.loaded:
        raise SnapshotError(f"none of the weights belong to the net; is the {found_in} one of another net?")
    total = len(found.loaded) + len(found.missing)
    return f"{len(found.loaded)} of {total} {plural(total, 'weight')}"
