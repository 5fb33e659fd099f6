"""What Caffe keeps for the whole process: phases, mode, device and seed."""

from __future__ import annotations

from layerkit.errors import UsageError

TRAIN, TEST = 0, 1
"""Caffe's phases."""
PHASES = {TRAIN: "train", TEST: "test"}

_seed = 0
_engine = "auto"


def set_mode_cpu() -> None:
    """Compute on the CPU, as layerkit always does."""


def set_mode_gpu() -> None:
    """Nothing: layerkit computes on the CPU, and gives what Caffe gives on a GPU but for the last bits."""


def set_device(device: int) -> None:
    """Nothing: there is no GPU to choose."""


def set_random_seed(seed: int) -> None:
    """The seed of everything random in the nets and solvers that are made from now on.

    A solver's own random_seed comes first. Without a seed it is 0, so that a script gives the same numbers each time.
    Raises UsageError for a negative seed.
    """
    global _seed
    if seed < 0:
        raise UsageError(f"the seed must be a whole number from 0 on, not {seed}")
    _seed = int(seed)


def set_engine(name: str) -> None:
    """What computes in nets and solvers that are made from now on: `auto`, `numpy` or `onednn`. Caffe has no such call.

    Under oneDNN, which `auto` takes where it is installed, blobs of images lie channels-last. Scripts see no difference
    but that a reshaped `blob.data` may be a copy, so that what they write into it is lost; with `numpy`, which is
    slower, all blobs lie as Caffe's do.
    """
    global _engine
    _engine = name


def engine() -> str:
    """What computes in nets that are made now."""
    return _engine


def seed() -> int:
    """The seed of nets that are made now."""
    return _seed


def phase_name(phase: int) -> str:
    """layerkit's name of one of Caffe's phases. Raises UsageError."""
    if phase not in PHASES:
        raise UsageError(f"the phase must be caffe.TRAIN (0) or caffe.TEST (1), not {phase!r}")
    return PHASES[phase]
