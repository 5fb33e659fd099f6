"""What Caffe keeps for the whole process: phases, mode, device and seed."""

from __future__ import annotations

import sys

import numpy as np

from layerkit.errors import UsageError

TRAIN, TEST = 0, 1
"""Caffe's phases."""
PHASES = {TRAIN: "train", TEST: "test"}

_seed, _drawn = 0, 0
_engine = "auto"


def set_mode_cpu() -> None:
    """Compute on the CPU, as layerkit always does."""


def set_mode_gpu() -> None:
    """Nothing: layerkit computes on the CPU, and gives what Caffe gives on a GPU but for the last bits."""


def init_log(level: int = 0) -> None:
    """Nothing: what Caffe logs is printed to stderr unless the environment's GLOG_minloglevel is above 0."""


def log(text: str) -> None:
    """Print a line where Caffe logs."""
    print(text, file=sys.stderr)


def set_device(device: int) -> None:
    """Nothing: there is no GPU to choose."""


def set_random_seed(seed: int) -> None:
    """Begin anew with this seed, as a solver's random_seed does; otherwise a script begins with 0.

    All that is random in the first net or solver that is made after it is a function of the seed, and each further one
    has a seed of its own that follows from it: a script gives the same numbers each time, and each of its nets others.
    Raises UsageError for a negative seed.
    """
    global _seed, _drawn
    if seed < 0:
        raise UsageError(f"the seed must be a whole number from 0 on, not {seed}")
    _seed, _drawn = int(seed), 0


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


def next_seed() -> int:
    """The seed of the net or solver that is made now."""
    global _drawn
    _drawn += 1
    return _seed if _drawn == 1 else int(np.random.SeedSequence((_seed, _drawn)).generate_state(1)[0])


def phase_name(phase: int) -> str:
    """layerkit's name of one of Caffe's phases. Raises UsageError."""
    if phase not in PHASES:
        raise UsageError(f"the phase must be caffe.TRAIN (0) or caffe.TEST (1), not {phase!r}")
    return PHASES[phase]
