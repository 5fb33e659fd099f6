"""Caffe's solver states, `.solverstate` and `.solverstate.h5`, and what an update rule remembers as Caffe saves it.

Caffe's rules and layerkit's of the same name keep the same arrays with the same signs and scales (the history of SGD
and Nesterov is a sum of steps, the learning rate in it), so that histories go over as they are.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from layerkit import arrayfile, wire
from layerkit.blob import Array
from layerkit.convert.caffemodel import HDF5_MAGIC, FieldNumbers, expect_array, read_bytes
from layerkit.datasets.files import blobproto
from layerkit.datasets.optional import need
from layerkit.errors import SnapshotError
from layerkit.spec import SolverSpec
from layerkit.updaters import Updater
from layerkit.wire import Message, WireError

STATE = ".solverstate"
HDF5 = ".h5"
"""What Caffe puts behind the names of files in HDF5."""
_LONGEST_NAME = 1 << 16


@dataclass(frozen=True)
class SolverState:
    """What a solverstate holds."""

    iteration: int
    weights: str
    """Path of the caffemodel that belongs to it, as Caffe wrote it."""
    history: tuple[Array, ...]
    """What the update rule remembers: one array for each weight, and as many again for rules that keep two."""
    step: int = 0
    """How often a policy of several steps has lowered the learning rate."""


def is_state(path: str | os.PathLike[str]) -> bool:
    """Whether a file's name is that of a solver state."""
    return os.fspath(path).endswith((STATE, STATE + HDF5))


def weights_beside(state: SolverState, path: str | os.PathLike[str]) -> Path | None:
    """The caffemodel that a state in the file `path` names: beside it if it lies there, else as named; None for none.

    Models move together with their states, and the path is one of the machine that wrote it.
    """
    if not state.weights:
        return None
    beside = Path(path).with_name(Path(state.weights).name)
    return beside if beside.is_file() else Path(state.weights)


# -- files -----------------------------------------------------------------------------------------------------------


def read(path: str | os.PathLike[str]) -> SolverState:
    """A solver state in either format. Raises SnapshotError for a file that is missing, broken or something else."""
    content = read_bytes(path)
    if content.startswith(HDF5_MAGIC):
        return _read_hdf5(path)
    numbers = FieldNumbers("SolverState")
    try:
        message = Message(content)
        history = tuple(map(blobproto.parse, message.messages(numbers["history"])))
        state = SolverState(message.integer(numbers["iter"]), message.text(numbers["learned_net"]), history,
                            message.integer(numbers["current_step"]))  # fmt: skip
    except WireError as error:
        raise SnapshotError(f"{os.fspath(path)!r} is no solverstate, or is damaged: {error}") from None
    if numbers["iter"] not in message:
        raise SnapshotError(f"{os.fspath(path)!r} is no solverstate: it does not say its iteration")
    return state


def write(path: str | os.PathLike[str], state: SolverState) -> None:
    """Write a state that Caffe 1.0 reads, atomically; in HDF5 if the name ends in .h5. Raises SnapshotError."""
    if os.fspath(path).endswith(HDF5):
        arrayfile.write_bytes(path, _hdf5(state))
        return
    numbers = FieldNumbers("SolverState")
    parts = [wire.varint(numbers["iter"], state.iteration), wire.data(numbers["learned_net"], state.weights)]
    parts += [wire.data(numbers["history"], blobproto.serialise(array)) for array in state.history]
    parts.append(wire.varint(numbers["current_step"], state.step))
    arrayfile.write_bytes(path, b"".join(parts))


def _hdf5(state: SolverState) -> bytes:
    """As Caffe's hdf5_save_int, _string and _nd_dataset write: integers are lists of one, texts end in a zero byte."""
    h5py = need("h5py", "h5py", "HDF5")
    content, name = io.BytesIO(), state.weights.encode()
    with h5py.File(content, "w") as file:
        file["iter"] = np.array([state.iteration], np.int32)
        file["learned_net"] = np.array(name, f"S{len(name) + 1}")
        file["current_step"] = np.array([state.step], np.int32)
        file.create_group("history")
        for i, array in enumerate(state.history):
            file[f"history/{i}"] = array
    return content.getvalue()


def _read_hdf5(path: str | os.PathLike[str]) -> SolverState:
    h5py = need("h5py", "h5py", "HDF5")
    try:
        with h5py.File(path, "r") as file:
            group = file["history"]
            for name in sorted(group, key=int):
                expect_array(group[name], f"the history {name}")
            history = tuple(group[name][()] for name in sorted(group, key=int))
            return SolverState(_integer(file["iter"]), _text(file), history, _integer(file["current_step"]))
    except SnapshotError:
        raise
    except Exception as error:  # of a broken file HDF5 reports whatever it stumbles over
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise SnapshotError(f"{os.fspath(path)!r} is no solverstate in HDF5 that can be read: {reason}") from error


def _integer(dataset: Any) -> int:
    if dataset.size != 1 or dataset.dtype.kind not in "iu":
        raise SnapshotError(f"the HDF5 file holds as {dataset.name!r} something else than a whole number")
    return int(dataset[()].item())


def _text(file: Any) -> str:
    """The path of the weights, which a state need not have."""
    if "learned_net" not in file:
        return ""
    dataset = file["learned_net"]
    if dataset.size != 1 or dataset.dtype.kind not in "SO" or dataset.dtype.itemsize > _LONGEST_NAME:
        raise SnapshotError("the HDF5 file holds as 'learned_net' something else than a path")
    return str(dataset.asstr()[()])


# -- what an update rule remembers -----------------------------------------------------------------------------------


def state_of(updater: Updater, iteration: int, weights: str) -> SolverState:
    """What Caffe's solver of the same rule would save: for each weight of the net an array, or two one after the other.

    Weights that are not trained have zeros.
    """
    slots = updater.flat.slots.values()
    trained = {slot.key for slot in updater.flat.trained}
    history = [
        whole[slot.span].reshape(slot.shape) if slot.key in trained else np.zeros(slot.shape, np.float32)
        for whole in updater.history.values()
        for slot in slots
    ]
    return SolverState(iteration, weights, tuple(history), _steps(updater.spec, iteration))


def put_back(state: SolverState, updater: Updater, name: str) -> None:
    """Let the update rule remember what a state holds. Raises SnapshotError where it is another rule's or net's."""
    slots = list(updater.flat.slots.values())
    wanted = [slot.shape for _ in updater.history for slot in slots]
    if [array.size for array in state.history] != [math.prod(shape) for shape in wanted]:
        raise SnapshotError(
            f"{name!r} does not fit: it holds {len(state.history)} arrays, and this rule and net need {len(wanted)} "
            "of their own sizes"
        )
    trained = {slot.key for slot in updater.flat.trained}
    arrays: Iterator[Array] = iter(state.history)
    for whole in updater.history.values():
        for slot, array in zip(slots, arrays, strict=False):
            if slot.key in trained:
                whole[slot.span] = array.reshape(-1)
    updater.count[...] = state.iteration


def _steps(spec: SolverSpec, iteration: int) -> int:
    """How often the policies step and multistep have lowered the rate."""
    if spec.lr_policy == "step" and spec.stepsize:
        return iteration // spec.stepsize
    return sum(iteration >= value for value in spec.stepvalue or ()) if spec.lr_policy == "multistep" else 0
