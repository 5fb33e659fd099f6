"""What this machine offers to layerkit, and what would make it faster; `layerkit doctor` prints it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from dataclasses import dataclass

import numpy as np

import layerkit
from layerkit import cores, engines, threads

EXTRAS = {
    "fast": ("onednn-cpu-gomp",),
    "data": ("h5py", "lmdb", "pillow"),
    "plot": ("matplotlib", "resvg-py", "tensorboardX"),
    "onnx": ("onnx",),
    "caffe": ("protobuf",),
}
"""Distributions that each extra for users adds, as pyproject.toml has them."""
PURPOSES = {
    "fast": "several times the speed, by the engine onednn",
    "data": "images, LMDB and HDF5",
    "plot": "pictures as PNG, curves for TensorBoard",
    "onnx": "ONNX models",
    "caffe": "pycaffe's NetSpec and caffe_pb2",
}
"""What each is for."""


@dataclass(frozen=True)
class Engine:
    """An engine: its version where it can run, else why it cannot."""

    name: str
    version: str | None
    missing: str | None
    chosen: bool
    """Whether a run gets it that asks for none."""


@dataclass(frozen=True)
class Threads:
    """What decides how many threads compute, and the count that follows where a run says nothing."""

    cpus: int
    quota: float | None
    cores: int
    variable: str | None
    """The environment's variable that asks for a count."""
    used: int


@dataclass(frozen=True)
class Blas:
    """A library of matrix products that is loaded, and how many threads it has."""

    name: str
    version: str | None
    threads: int


@dataclass(frozen=True)
class Extra:
    """An extra: what is there of it with versions, what is missing, and the command that adds that."""

    name: str
    purpose: str
    installed: dict[str, str]
    missing: list[str]
    command: str | None


@dataclass(frozen=True)
class Findings:
    """All that `layerkit doctor` tells."""

    layerkit: str
    python: str
    numpy: str
    platform: str
    engines: list[Engine]
    threads: Threads
    blas: list[Blas]
    extras: list[Extra]


def examine() -> Findings:
    """What there is on this machine, now."""
    return Findings(
        layerkit=layerkit.__version__,
        python=f"{platform.python_version()} ({platform.python_implementation()})",
        numpy=np.__version__,
        platform=platform.platform(),
        engines=_engines(),
        threads=_threads(),
        blas=[Blas(lib.internal_api, lib.version, lib.num_threads) for lib in threads.blas_libraries()],
        extras=[_extra(name) for name in EXTRAS],
    )


def advice() -> str | None:
    """A sentence on what would make training faster here; None where nothing would, or nothing can be done."""
    missing = engines.missing("onednn")
    if missing is None or not _has_wheel():
        return None
    return f"training would be faster with the engine onednn: {missing}"


def _has_wheel() -> bool:
    """Whether there is a oneDNN for this machine that pip can install."""
    return sys.platform == "linux" and platform.machine() == "x86_64"


def _engines() -> list[Engine]:
    missing = {name: engines.missing(name) for name in engines.names()}  # the fastest first
    first = next(name for name, why in missing.items() if why is None)
    return [
        Engine(name, engines.version(name) if why is None else None, why, chosen=name == first)
        for name, why in missing.items()
    ]


def _threads() -> Threads:
    found, asked = cores.find(), threads.asked(os.environ)
    return Threads(found.cpus, found.quota, found.cores, asked[0] if asked else None, threads.default())


def _extra(name: str) -> Extra:
    versions = {distribution: _version(distribution) for distribution in EXTRAS[name]}
    missing = [distribution for distribution, version in versions.items() if version is None]
    installed = {distribution: version for distribution, version in versions.items() if version is not None}
    return Extra(name, PURPOSES[name], installed, missing, f"pip install {' '.join(missing)}" if missing else None)


def _version(distribution: str) -> str | None:
    """None where it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
