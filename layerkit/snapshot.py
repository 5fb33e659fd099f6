"""Snapshots: weights with everything needed to use them, and the solver's state with everything needed to go on.

A snapshot is a safetensors file: weights under `layer.weight`, and as metadata one JSON object with the run as
resolved, the predict net with its shapes, what the source did to its samples, and class names. A solver state is a second
file. Nothing in either names code to run. Both are written whole or not at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl

from layerkit import arrayfile, graph
from layerkit.blob import Array
from layerkit.errors import ConfigError, SnapshotError
from layerkit.layer import SampleInfo
from layerkit.net import Net
from layerkit.spec import RunSpec, load_run
from layerkit.updaters import Updater
from layerkit.weights import WeightStore

FORMAT = 1
STATE_SUFFIX = ".state.safetensors"
_KEY = "layerkit"


def save_weights(path: str | os.PathLike[str], net: Net, run: RunSpec | None = None, iteration: int = 0) -> None:
    """Write a net's weights and statistics with what is needed to use them. Raises SnapshotError."""
    about: dict[str, Any] = {"format": FORMAT, "iteration": iteration}
    if run is not None:
        about |= {"run": run.resolved(), **_predict_net(run)}
    arrayfile.save(path, net.flat.arrays(), {_KEY: json.dumps(about)})


def load(path: str | os.PathLike[str], dtype: str = "float32") -> Net:
    """The predict-phase net that a snapshot holds, with its weights. Raises SnapshotError for anything else."""
    about = read_about(path)
    if about.get("predict") is None:
        why = about.get("predict_missing", "it was saved without a run")
        raise SnapshotError(f"{os.fspath(path)}: the snapshot holds no predict net: {why}; use Net(..., weights=...)")
    try:
        spec = load_run(about["predict"]).net
        samples = {name: SampleInfo.model_validate(info) for name, info in about["samples"].items()}
        built = graph.build(spec, "predict")
    except (ConfigError, ValueError, KeyError, AttributeError) as error:
        raise SnapshotError(f"{os.fspath(path)}: the predict net inside cannot be used: {error}") from None
    net = Net.from_graph(graph.with_samples(built, samples), dtype=dtype)
    net.load_weights(path)
    return net


def read_about(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The JSON object in a snapshot's or state's metadata. Raises SnapshotError for a file that is none of ours."""
    name = os.fspath(path)
    try:
        about = json.loads(arrayfile.metadata(path)[_KEY])
        if not isinstance(about, dict) or not isinstance(about["format"], int):
            raise KeyError("format")
    except (KeyError, ValueError):
        raise SnapshotError(f"{name}: not a layerkit snapshot (its metadata has no {_KEY!r} entry)") from None
    if about["format"] > FORMAT:
        raise SnapshotError(f"{name}: written by a newer layerkit (format {about['format']}, this one reads {FORMAT})")
    return about


def save_state(
    path: str | os.PathLike[str], net: Net, updater: Updater, run: RunSpec | None, iteration: int, **more: Any
) -> None:
    """Write what a solver needs to go on bit for bit, besides the weights. Raises SnapshotError."""
    arrays = {
        f"history.{name}.{key}": part
        for name, whole in updater.history.items()
        for key, part in _parts(net.flat, whole)
    }
    arrays |= {f"state.{layer}.{name}": array for layer, name, array in _layer_state(net)}
    generators = {node.name: node.layer.rng.bit_generator.state for node in net.graph.nodes if node.plan.random}
    about = {
        "format": FORMAT,
        "iteration": iteration,
        "run": run.resolved() if run else {},
        "threads": threads(),
        "generators": generators,
    }
    arrayfile.save(path, arrays, {_KEY: json.dumps({**about, **more})})


def load_state(path: str | os.PathLike[str], net: Net, updater: Updater) -> dict[str, Any]:
    """Put a solver's state back; returns the JSON object that came with it.

    Nothing is changed unless everything fits. Raises SnapshotError for a state that does not fit the net.
    """
    name, about = os.fspath(path), read_about(path)
    if "generators" not in about:
        raise SnapshotError(f"{name}: these are weights, not a solver's state; the state's name ends in {STATE_SUFFIX}")
    arrays, _ = arrayfile.load(path)
    wanted = {
        f"history.{key}.{slot}": part
        for key, whole in updater.history.items()
        for slot, part in _parts(net.flat, whole)
    }
    wanted |= {f"state.{layer}.{key}": array for layer, key, array in _layer_state(net)}
    for key, array in wanted.items():
        if key not in arrays or arrays[key].shape != array.shape:
            raise SnapshotError(f"{name}: the state does not fit this net: {key!r} is missing or of another shape")
    for key, array in wanted.items():
        array[...] = arrays[key]
    for node in net.graph.nodes:
        if node.plan.random and node.name in about["generators"]:
            node.layer.rng.bit_generator.state = about["generators"][node.name]
    return about


def newest_state(folder: str | os.PathLike[str]) -> Path | None:
    """The state of the highest iteration in a run's folder whose weights are there too, or None."""
    states = {}
    for path in Path(folder).glob(f"iter_*{STATE_SUFFIX}"):
        number = path.name.removeprefix("iter_").removesuffix(STATE_SUFFIX)
        if number.isdigit() and weights_of(path).exists():
            states[int(number)] = path
    return states[max(states)] if states else None


def weights_of(state: str | os.PathLike[str]) -> Path:
    """The weights that lie beside a solver's state."""
    path = Path(state)
    return path.with_name(path.name.removesuffix(STATE_SUFFIX) + ".safetensors")


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """What differs between two resolved runs, a line each: `solver.base_lr: 0.1 -> 0.01`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = [*old, *(key for key in new if key not in old)]
        return [
            line for key in keys for line in differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            line for i, (a, b) in enumerate(zip(old, new, strict=True)) for line in differences(a, b, _item(path, i, a))
        ]
    return [] if old == new else [f"{path}: {_short(old)} -> {_short(new)}"]


def threads() -> int:
    """How many threads matrix products use; another number may give other last bits."""
    return max((int(pool["num_threads"]) for pool in threadpoolctl.threadpool_info()), default=1)


def _predict_net(run: RunSpec) -> dict[str, Any]:
    """The predict net as plain layers, and what is known of its samples; or why there is none."""
    try:
        built = graph.build(run.net, "predict")
    except ConfigError as error:
        return {"predict": None, "predict_missing": str(error.problems[0])}
    layers = [dict(graph.as_tree(node.spec)) for node in built.nodes]
    samples = {name: info.model_dump() for name, info in built.samples.items()}
    return {"predict": {"name": run.name, "layers": layers}, "samples": samples}


def _parts(flat: WeightStore, whole: Array) -> list[tuple[str, Array]]:
    """A flat array as one part a weight, by name, so that it fits whatever else the net holds."""
    return [
        (slot.key, whole[slot.start : slot.start + slot.blob.count].reshape(slot.shape, copy=False))
        for slot in flat.trained
    ]


def _layer_state(net: Net) -> list[tuple[str, str, np.ndarray[Any, Any]]]:
    return [
        (node.name, state.name, getattr(node.layer.state, state.name))
        for node in net.graph.nodes
        for state in node.plan.state
    ]


def _item(path: str, index: int, item: Any) -> str:
    return f"{path}.{item['name']}" if isinstance(item, Mapping) and "name" in item else f"{path}[{index}]"


def _short(value: Any) -> str:
    text = "(none)" if value is None else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
