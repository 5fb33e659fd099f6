"""layerkit: neural networks and training runs as YAML files, checked before anything runs.

    import layerkit as lk
    solver = lk.Solver("configs/mlp.yaml")
    solver.solve()
    net = lk.load("runs/mlp/iter_1000.safetensors")

Names are imported when they are first used, so importing layerkit is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from layerkit import checks, eager, events, threads
    from layerkit.blob import Blob, Weights
    from layerkit.datasets import add_dataset
    from layerkit.errors import (
        ConfigError,
        DataError,
        LayerkitError,
        ShapeError,
        SnapshotError,
        UnknownNameError,
        UsageError,
    )
    from layerkit.fillers import Filler
    from layerkit.layer import Body, Layer, LayerParams, Metric, Plan, Scratch, SourceLayer, State, Weight
    from layerkit.net import Net
    from layerkit.registry import layer_class, layer_types, register
    from layerkit.samples import SampleInfo
    from layerkit.snapshot import load
    from layerkit.solver import Solver

__version__ = "0.1.0"

__all__ = [
    "Blob",
    "Body",
    "ConfigError",
    "DataError",
    "Filler",
    "Layer",
    "LayerParams",
    "LayerkitError",
    "Metric",
    "Net",
    "Plan",
    "SampleInfo",
    "Scratch",
    "ShapeError",
    "SnapshotError",
    "Solver",
    "SourceLayer",
    "State",
    "UnknownNameError",
    "UsageError",
    "Weight",
    "Weights",
    "add_dataset",
    "checks",
    "eager",
    "events",
    "layer_class",
    "layer_types",
    "load",
    "register",
    "threads",
]

_HOMES = {
    "blob": ("Blob", "Weights"),
    "datasets": ("add_dataset",),
    "errors": (
        "ConfigError",
        "DataError",
        "LayerkitError",
        "ShapeError",
        "SnapshotError",
        "UnknownNameError",
        "UsageError",
    ),
    "fillers": ("Filler",),
    "layer": (
        "Body",
        "Layer",
        "LayerParams",
        "Metric",
        "Plan",
        "SampleInfo",
        "Scratch",
        "SourceLayer",
        "State",
        "Weight",
    ),
    "net": ("Net",),
    "registry": ("layer_class", "layer_types", "register"),
    "snapshot": ("load",),
    "solver": ("Solver",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"layerkit.{_HOME[name]}"), name)
    if name in ("checks", "eager", "events", "threads"):
        return importlib.import_module(f"layerkit.{name}")
    raise AttributeError(f"module 'layerkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
