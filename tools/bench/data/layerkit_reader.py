"""layerkit as a reader: a net of one Data layer, as it stands in any net."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import layerkit as lk
from bench.data.rows import Row
from layerkit.threads import use

WARM_UP = 20
"""Training steps that are not counted."""


def batches(row: Row, source: Path, workers: int, shuffle: bool, worker_type: str) -> Iterator[tuple[Any, Any]]:
    """The row's batches for ever: data and labels, valid until the next one is asked for."""
    layer = {
        "name": "data",
        "type": "Data",
        "top": ["data", "label"],
        "source": str(source),
        "batch_size": row.batch,
        "shuffle": shuffle,
        "workers": workers,
        "worker_type": worker_type,
        **row.layer,
    }
    net = lk.Net({"layers": [layer]}, "train", engine="numpy")  # which keeps images as torch does, channels first
    while True:
        net.forward()
        yield net.blobs["data"].data, net.blobs["label"].data


def waiting(config: str, layer: str, source: Path, seconds: float, threads: int) -> dict[str, float]:
    """Train a net from a config for some seconds, from made data: seconds a step, and the share waited for data."""
    use(threads, "blas")
    settings = {
        f"net.layers.{layer}.dataset": "npz",
        f"net.layers.{layer}.source": str(source),
        "solver.test_interval": 0,
        "solver.snapshot": 0,
        "solver.display": 0,
    }
    solver = lk.Solver(config, overrides=[f"{key}={value}" for key, value in settings.items()], keep=())
    solver.step(WARM_UP)
    data = solver.net.layers[layer]
    before, begun, steps = data.waited, time.perf_counter(), 0
    while (taken := time.perf_counter() - begun) < seconds:
        solver.step(1)
        steps += 1
    return {"step_s": taken / steps, "share": (data.waited - before) / taken}
