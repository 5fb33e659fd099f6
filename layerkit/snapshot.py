"""Snapshots: weights with everything needed to use them, and the solver's state with everything needed to go on.

A snapshot is a safetensors file: weights under `layer.weight`, and as metadata one JSON object with a format version,
the run as resolved, the predict net with its shapes, what the source did to its samples (a mean image lies beside the
weights), class names, and the versions of what wrote it. A solver's state is a second file beside it. Nothing in either
names code to run, but for layers of type Python, which only a caller who allows it can load. Each is written whole or
not at all.

The two files of a pair are written one after the other, and a process can be killed between them. So the state names
the weights that it belongs to by their digest, and a state is only restored together with those.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import Field, ValidationError

from layerkit import __version__, arrayfile, events, graph, prediction
from layerkit.averaging import Average
from layerkit.best import Best, BestState
from layerkit.blob import Array
from layerkit.errors import ConfigError, DataError, LayerkitError, SnapshotError
from layerkit.fields import Strict
from layerkit.given import Keep
from layerkit.net import Net
from layerkit.policies import PlateauState
from layerkit.samples import SampleInfo
from layerkit.spec import RunSpec
from layerkit.threads import count as threads_in_force
from layerkit.updaters import Updater
from layerkit.weights import (
    FORMAT,
    KEY,
    MEAN_IMAGE,
    STATE_SUFFIX,
    digest_of,
    read_about,
    read_about_weights,
    read_arrays,
    read_weights,
    weights_of,
)

EVENTS = "events.jsonl"
"""Name of the event log in a run's folder."""

Info = TypeVar("Info", "WeightsInfo", "StateInfo")
Nets = Mapping[str, Net]
"""A solver's nets by phase: `train`, and `test` if it tests."""


class WeightsInfo(Strict):
    """What a snapshot says beside its weights."""

    format: int = Field(ge=1, description="Version of this metadata.")
    kind: Literal["weights"] = "weights"
    iteration: int = Field(description="Updates made.")
    averaged: int = Field(0, description="How often weights were taken into the average that these are; 0: no average.")
    digest: str = Field(description="Digest of names, types, shapes and values of the weights.")
    shared: dict[str, str] = Field({}, description="Further uses of shared weights -> the name that they stand under.")
    versions: dict[str, str] = Field({}, description="Versions of layerkit, numpy and Python that wrote it.")
    run: dict[str, Any] = Field({}, description="The run as resolved.")
    predict: dict[str, Any] | None = Field(None, description="The predict net as a run of plain layers.")
    predict_missing: str = Field("it was saved without a run", description="Why there is no predict net.")
    samples: dict[str, SampleInfo] = Field({}, description="What is known of the samples, by input blob.")


class StateInfo(Strict):
    """What a solver's state says beside its arrays."""

    format: int = Field(ge=1, description="Version of this metadata.")
    kind: Literal["state"] = "state"
    iteration: int = Field(ge=0, description="Updates made.")
    weights: str = Field(description="Digest of the weights that it belongs to.")
    versions: dict[str, str] = Field({}, description="Versions of layerkit, numpy and Python that wrote it.")
    run: dict[str, Any] = Field({}, description="The run as resolved.")
    threads: int = Field(description="Threads of matrix products.")
    engine: str = Field("numpy", description="What ran the layers.")
    generators: dict[str, dict[str, Any]] = Field(description="States of generators, by `phase.layer`.")
    losses: list[float] = Field(description="The last losses, for average_loss.")
    plateau: PlateauState | None = Field(None, description="What the policy plateau remembers.")
    best: BestState | None = Field(None, description="What is known of the best test.")
    tested: int = Field(-1, description="Updates made before the last test that fell due.")
    events: int = Field(ge=0, description="Length of the event log in bytes.")


# -- weights ---------------------------------------------------------------------------------------------------------


def save_weights(
    path: str | os.PathLike[str],
    net: Net,
    about: Mapping[str, Any] | None = None,
    iteration: int = 0,
    arrays: Mapping[str, Array] | None = None,
) -> str:
    """Write a net's weights and statistics; `about` is what is needed to use them, as `describe` gives it.

    `arrays` stand in for those that the net has now. Returns their digest. Raises SnapshotError.
    """
    arrays = net.flat.arrays() if arrays is None else arrays
    digest = digest_of(arrays)
    own = {"format": FORMAT, "kind": "weights", "iteration": iteration, "digest": digest, "versions": versions()}
    told = {**own, "shared": net.flat.shared(), **(about or {})}
    images = {MEAN_IMAGE + name: image for name, image in told.pop("mean_images", {}).items()}
    arrayfile.save(path, {**arrays, **images}, {KEY: json.dumps(told)})
    return digest


def describe(run: RunSpec, predict: graph.Graph | None = None, *, allow_python: bool = False) -> dict[str, Any]:
    """What a snapshot says of its run: the run as resolved, and the predict net or why there is none.

    The predict net's graph is built unless it is given; what it says of samples is read from the source's header.
    """
    return {"run": run.resolved(), **_predict_net(run, predict, allow_python)}


def load(
    path: str | os.PathLike[str],
    dtype: str = "float32",
    *,
    engine: str = "auto",
    keep: Keep = "all",
    allow_python: bool = False,
    look: Callable[[graph.Graph], object] = lambda built: None,
) -> Net:
    """The predict-phase net that a snapshot holds, with its weights. Raises SnapshotError for anything else.

    `dtype`, `engine`, `keep` and `allow_python` are as in Net. `look` is shown the graph before the net is made, and
    may raise what it likes.

    Of the file system it reads this file and nothing else, whatever the file says, unless with `allow_python`.
    """
    name, info = os.fspath(path), read_weights_info(path)
    if info.predict is None:
        why = f"{info.predict_missing}; use Net(..., weights=...)"
        raise SnapshotError(f"{name}: the snapshot holds no predict net: {why}")
    weights, images = read_arrays(path)
    with prediction.blaming(name):
        samples = prediction.with_mean_images(info.samples, images)
        built = prediction.build(info.predict, samples, allow_python=allow_python)
    look(built)
    with prediction.blaming(name):
        net = Net.from_graph(built, dtype=dtype, engine=engine, keep=keep)
    net.flat.load(weights, name)
    return net


def read_weights_info(path: str | os.PathLike[str]) -> WeightsInfo:
    """What a snapshot says of itself. Raises SnapshotError for a file that is none, a solver's state for one."""
    return _validated(WeightsInfo, read_about_weights(path), path)


def _predict_net(run: RunSpec, built: graph.Graph | None, allow_python: bool) -> dict[str, Any]:
    """The predict net as plain layers, and what is known of its samples; or why there is none."""
    state = run.state("predict")
    try:
        built = built or graph.build(run.net, "predict", state.level, state.stages, allow_python=allow_python)
    except ConfigError as error:
        why = replace(error.problems[0], mark=None, uses=())  # the file's path is not ours to tell
        return {"predict_missing": str(why)}
    if not built.nodes:
        return {"predict_missing": "no layer is left in the predict phase"}
    # all that was decided by phase, level and stage is decided: each layer is there
    layers = [{**graph.as_tree(node.spec), "include": ["predict"]} for node in built.nodes]
    for layer in layers:
        layer.pop("exclude", None)
    return {
        "predict": {"name": run.name, "net": {"name": built.name, "layers": layers}},
        "samples": {name: info.model_dump() for name, info in built.samples.items()},
        "mean_images": {name: info.mean_image for name, info in built.samples.items() if info.mean_image is not None},
    }


# -- states ----------------------------------------------------------------------------------------------------------


def save_state(
    path: str | os.PathLike[str],
    nets: Nets,
    updater: Updater,
    run: RunSpec | None = None,
    *,
    average: Average | None = None,
    plateau: PlateauState | None = None,
    best: Best | None = None,
    tested: int = -1,
    iteration: int,
    weights: str,
    losses: list[float],
    events: int,
) -> None:
    """Write what a solver needs to go on bit for bit, besides the weights with the digest `weights`.

    Where those are an average, it also holds the trained weights, as `trained.layer.weight`; and those of the best
    test, as `best.layer.weight`. Raises SnapshotError.
    """
    info = StateInfo(
        format=FORMAT,
        iteration=iteration,
        weights=weights,
        versions=versions(),
        run=run.resolved() if run else {},
        threads=threads(),
        engine=nets["train"].engine.name,
        generators={key: dict(rng.bit_generator.state) for key, rng in _generators(nets).items()},
        losses=losses,
        plateau=plateau,
        best=None if best is None else best.state,
        tested=tested,
        events=events,
    )
    arrays = _arrays(nets, updater, average)
    if average is not None and average.count[0]:
        arrays |= {f"trained.{slot.key}": slot.blob.values for slot in updater.flat.trained}
    if best is not None:
        arrays |= {f"best.{key}": array for key, array in best.weights.items()}
    arrayfile.save(path, arrays, {KEY: info.model_dump_json()})


def restore(
    path: str | os.PathLike[str],
    nets: Nets,
    updater: Updater,
    average: Average | None = None,
    best: Best | None = None,
) -> tuple[StateInfo, list[str]]:
    """Put back a solver's state and the weights beside it; what the state lacks starts afresh.

    Returns what the state says, and notes on what it lacks and on other versions that wrote it. Nothing is changed
    unless everything fits. Raises SnapshotError for files that do not belong together or do not fit the nets.
    """
    name, info = os.fspath(path), read_state_info(path)
    kept, _ = arrayfile.load(path)
    _check_pair(info, path)
    weights = read_weights(weights_of(path))
    _expect_no_new_layer(nets["train"], weights, name)
    flat = nets["train"].flat
    wanted, generators = _arrays(nets, updater, average), _generators(nets)
    trained = {key: slot.blob.values for key, slot in flat.slots.items() if f"trained.{key}" in kept}
    tested = {key: slot.blob.values for key, slot in flat.slots.items() if best is not None and f"best.{key}" in kept}
    others = {
        f"{what}.{key}": array for what, of in (("trained", trained), ("best", tested)) for key, array in of.items()
    }
    for key, array in (wanted | others).items():
        if key in kept and (kept[key].shape, kept[key].dtype) != (array.shape, array.dtype):
            was, now = (f"{a.dtype} {list(a.shape)}" for a in (kept[key], array))
            raise SnapshotError(f"{name}: the state does not fit the net: {key!r} was {was} and is {now}")
    for key in generators.keys() & info.generators.keys():
        try:
            trial: Any = np.random.PCG64()
            trial.state = info.generators[key]
        except (KeyError, TypeError, ValueError, OverflowError):
            raise SnapshotError(f"{name}: the state of the generator {key!r} cannot be used") from None
    flat.load(weights, os.fspath(weights_of(path)))
    if average is not None:
        average.adopt()
    flat.load({key: kept[f"trained.{key}"] for key in trained}, name, strict=False)
    if best is not None:
        best.restore(info.best, {key: kept[f"best.{key}"] for key in tested})
    for key, array in wanted.items():
        array[...] = kept.get(key, 0)
    for key in generators.keys() & info.generators.keys():
        generators[key].bit_generator.state = info.generators[key]
    lacking = [*(key for key in wanted if key not in kept), *(key for key in generators if key not in info.generators)]
    notes = [f"{key}: not in the state, so it starts afresh" for key in lacking]
    notes += [
        f"{what}: {was} -> {versions()[what]} (the last bits may differ)"
        for what, was in info.versions.items()
        if was != versions().get(what, was)
    ]
    return info, notes


def _expect_no_new_layer(net: Net, weights: Mapping[str, Array], state: str) -> None:
    """Raise SnapshotError if a net has weights that those beside a state lack."""
    for key, slot in net.flat.slots.items():
        if key not in weights:
            what = f"layer {slot.layer!r} of the net is new, there is no weight {key!r} to go on with"
            raise SnapshotError(f"{state}: {what}; start from what there is with --weights {weights_of(state).name}")


def read_state_info(path: str | os.PathLike[str]) -> StateInfo:
    """What a solver's state says of itself. Raises SnapshotError for a file that is none, weights for one."""
    about = read_about(path)
    if about.get("kind") == "weights":
        suffix = f"the state's name ends in {STATE_SUFFIX}"
        raise SnapshotError(f"{os.fspath(path)}: these are weights, not a solver's state; {suffix}")
    return _validated(StateInfo, about, path)


def newest_state(folder: str | os.PathLike[str], note: Callable[[str], object] = lambda sentence: None) -> Path | None:
    """The state of the highest iteration in a run's folder whose weights are there and belong to it, or None.

    One that cannot be gone on from is passed over, and `note` is told why.
    """
    for state in reversed(states(folder)):
        try:
            _check_pair(read_state_info(state), state)
            return state
        except SnapshotError as error:
            note(str(error))
    return None


def states(folder: str | os.PathLike[str]) -> list[Path]:
    """The states in a run's folder, in the order of their iterations.

    Where the folder has an event log, only snapshots that it speaks of count: others are left from a course of the
    run that was given up when it was resumed from an earlier state.
    """
    logged = _logged_states(Path(folder) / EVENTS)
    numbered: dict[int, Path] = {}
    for path in Path(folder).glob(f"iter_*{STATE_SUFFIX}"):
        digits = path.name.removeprefix("iter_").removesuffix(STATE_SUFFIX)
        if digits.isdecimal() and (logged is None or path.name in logged):
            numbered[int(digits)] = path
    return [state for _, state in sorted(numbered.items())]


def sweep(folder: str | os.PathLike[str]) -> None:
    """Remove what a killed process left of files that it was writing to a run's folder, as arrayfile names them."""
    for path in Path(folder).glob(".*.????????.tmp"):
        path.unlink(missing_ok=True)


def _check_pair(info: StateInfo, state: str | os.PathLike[str]) -> None:
    """Raise SnapshotError unless the weights beside a state are those that it was written with."""
    weights = weights_of(state)
    found = read_weights_info(weights)
    if (found.digest, found.iteration) != (info.weights, info.iteration):
        raise SnapshotError(
            f"{os.fspath(state)}: the state does not belong to {weights.name} beside it, which was written by another "
            f"run or after it; go on from another state"
        )


def _logged_states(log: Path) -> set[str] | None:
    """Names of the states that an event log speaks of; None without a log that can be read."""
    try:
        return {event["state"] for event in events.read(log) if event["event"] == "snapshot"}
    except (DataError, KeyError):
        return None


def _arrays(nets: Nets, updater: Updater, average: Average | None = None) -> dict[str, Array]:
    """What a state holds besides trained weights, as live views; those of layers are `state.phase.layer.NAME`."""
    arrays = {**updater.arrays(), **({} if average is None else average.arrays())}
    for phase, net in nets.items():
        for layer, node in net.nodes():
            for state in node.plan.state:
                arrays[f"state.{phase}.{layer}.{state.name}"] = getattr(node.layer.state, state.name)
    return arrays


def _generators(nets: Nets) -> dict[str, np.random.Generator]:
    """The generators that layers draw from, by `phase.layer`."""
    return {
        f"{phase}.{layer}": node.layer.rng
        for phase, net in nets.items()
        for layer, node in net.nodes()
        if node.plan.random
    }


# -- both ------------------------------------------------------------------------------------------------------------


def threads() -> int:
    """How many threads matrix products use; another number may give other last bits."""
    return threads_in_force()


def versions() -> dict[str, str]:
    """Versions of what computes, which a snapshot notes: another one may give other last bits."""
    return {"layerkit": __version__, "numpy": np.__version__, "python": platform.python_version()}


def _validated(kind: type[Info], about: dict[str, Any], path: str | os.PathLike[str]) -> Info:
    try:
        return kind.model_validate(about)
    except (ValidationError, LayerkitError) as error:
        fault = error.errors()[0] if isinstance(error, ValidationError) else None
        what = f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" if fault else str(error)
        raise SnapshotError(f"{os.fspath(path)}: the snapshot's metadata cannot be used: {what}") from None
