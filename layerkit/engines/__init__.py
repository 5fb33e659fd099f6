"""Engines: kernels that run in place of layers' own numpy code where they are faster.

An engine is chosen by name for a whole net: `numpy` is the reference and always there, `onednn` runs on Intel's oneDNN
where that is installed, `auto` is the fastest that this machine has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from layerkit.engines.kernel import Blend, Engine, Kernel, Run, Work, adding
from layerkit.engines.onednn import FORKED, OneDnnEngine, is_forked
from layerkit.engines.onednn.library import UnavailableError, load
from layerkit.errors import UnknownNameError, UsageError

__all__ = [
    "Blend",
    "Choice",
    "Engine",
    "Kernel",
    "Run",
    "Work",
    "adding",
    "best",
    "choose",
    "missing",
    "names",
    "version",
]

Choice = Literal["auto", "numpy", "onednn"]
_ENGINES: dict[str, Callable[[], Engine]] = {"onednn": OneDnnEngine, "numpy": Engine}


def names() -> list[str]:
    """The engines by name, the fastest first."""
    return list(_ENGINES)


def missing(name: str) -> str | None:
    """Why an engine cannot run on this machine and what to do, in one sentence; None where it can."""
    if name != "onednn":
        return None
    if is_forked():
        return FORKED
    try:
        load()
    except UnavailableError as error:
        return str(error)
    return None


def version(name: str) -> str:
    """The version of an engine's library, where it can run."""
    return load().version if name == "onednn" else np.__version__


def best() -> str:
    """The fastest engine that can run here."""
    return next(name for name in names() if missing(name) is None)


def choose(name: str = "auto", dtype: npt.DTypeLike = np.float32) -> Engine:
    """A new engine for one net. oneDNN computes in float32 only, so that nets in float64 run on numpy.

    Raises UnknownNameError, and UsageError where the engine cannot run on this machine.
    """
    if name not in ("auto", *_ENGINES):
        raise UnknownNameError("engine", name, ["auto", *_ENGINES])
    if name == "auto":
        name = best() if np.dtype(dtype) == np.float32 else "numpy"
    why = missing(name)
    if why is not None:
        raise UsageError(f"the engine {name!r} cannot run here: {why}")
    if name != "numpy" and np.dtype(dtype) != np.float32:
        raise UsageError(f"the engine {name!r} computes in float32, not in {np.dtype(dtype)}; use engine='numpy'")
    return _ENGINES[name]()
