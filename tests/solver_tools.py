"""What the tests of the solver share: two small runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import layerkit as lk

NET = [
    {"name": "in", "type": "Input", "top": ["x", "y"], "shape": [[4, 3], [4, 2]]},
    {"name": "fc", "type": "InnerProduct", "bottom": "x", "num_output": 2, "weight_filler": "xavier"},
    {"name": "loss", "type": "EuclideanLoss", "bottom": ["fc", "y"]},
]


def tiny(param: Any = None, **fields: Any) -> lk.Solver:
    """A solver in float64 over a linear net with fixed inputs."""
    layers = [*NET[:1], {**NET[1], "param": param or []}, *NET[2:]]
    run = {"net": {"layers": layers}, "solver": {"base_lr": 0.5, "max_iter": 10, "display": 0, **fields}}
    solver = lk.Solver(run, dtype="float64")
    rng = np.random.default_rng(0)
    for name in ("x", "y"):
        blob = solver.net.blobs[name]
        blob.data[...] = rng.uniform(-1, 1, blob.shape)
    solver.net.params["fc"].bias.data[...] = 0.3
    return solver


def digits(tmp: Path | None = None, **fields: Any) -> lk.Solver:
    """A solver of a small net on digits."""
    layers = [
        {"name": "digits", "type": "Data", "top": ["data", "label"], "dataset": "digits", "scale": 0.0625,
         "batch_size": {"train": 16, "test": 100}},
        {"name": "fc", "type": "InnerProduct", "bottom": "data", "num_output": 10, "weight_filler": "xavier"},
        {"name": "loss", "type": "SoftmaxWithLoss", "bottom": ["fc", "label"]},
        {"name": "accuracy", "type": "Accuracy", "bottom": ["fc", "label"], "include": "test"},
    ]  # fmt: skip
    run = {"name": "d", "net": {"layers": layers}, "solver": {"base_lr": 0.05, "max_iter": 10, "display": 0, **fields}}
    return lk.Solver(run, folder=tmp)
