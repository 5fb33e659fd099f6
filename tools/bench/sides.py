"""The sides: what is measured against what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Side:
    """One way to train and run a net."""

    name: str
    label: str
    framework: str
    """layerkit or torch: which of the two its process imports."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What LayerkitSide or TorchSide is made with."""
    program: str = "bench.worker"
    """The module that its process runs."""


_LAST = {"fused": True, "channels_last": True}
SIDES = {
    side.name: side
    for side in (
        Side("onednn", "layerkit onednn", "layerkit", {"engine": "onednn"}),
        Side("numpy", "layerkit numpy", "layerkit", {"engine": "numpy"}),
        Side("eager", "eager", "torch"),
        Side("eager-fused", "eager, fused SGD", "torch", {"fused": True}),
        Side("eager-fused-last", "eager, fused SGD, channels-last", "torch", _LAST),
        Side("compile", "compile", "torch", {"compiled": True}),
        Side("compile-fused-last", "compile, fused SGD, channels-last", "torch", {"compiled": True, **_LAST}),
    )
}
QUICK = ("onednn", "numpy", "eager", "eager-fused-last")
"""The sides of `--quick`."""
OURS = "onednn"
"""The side whose lead the tables show."""
REFERENCE = Side("reference", "layerkit numpy, float64", "layerkit", {"engine": "numpy", "dtype": "float64"})
WITNESS = Side("witness", "torch eager, float64", "torch", {"dtype": "float64"})
"""What the reference itself is compared with."""
_READER = "bench.data.worker"
READERS = {
    side.name: side
    for side in (
        Side("threads", "layerkit, threads", "layerkit", {"worker_type": "threads"}, _READER),
        Side("processes", "layerkit, processes", "layerkit", {"worker_type": "processes"}, _READER),
        Side("torch", "torch", "torch", program=_READER),
    )
}
"""The sides that read data."""
_LOOPER = "bench.loops.worker"
LOOPERS = {
    side.name: side
    for engine in ("onednn", "numpy")
    for side in (
        Side(f"{engine}-layer", f"{engine}, layer", "layerkit", {"engine": engine, "body": False}, _LOOPER),
        Side(f"{engine}-body", f"{engine}, body", "layerkit", {"engine": engine, "body": True}, _LOOPER),
    )
}
"""The sides that run recurrent cells."""
LOOP_REFERENCE = Side(
    "loop-reference", "layer, float64", "layerkit", {"engine": "numpy", "body": False, "dtype": "float64"}, _LOOPER
)
EVERY = {
    **{side.name: side for side in (REFERENCE, WITNESS, LOOP_REFERENCE)},
    **SIDES,
    **READERS,
    **LOOPERS,
}
