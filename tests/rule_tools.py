"""What the tests of update rules share: a small solver, and fields that every rule accepts."""

from __future__ import annotations

from typing import Any

import numpy as np

import layerkit as lk
from layerkit.spec import SolverSpec

RULES: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9},
    "Nesterov": {"momentum": 0.9},
    "AdaGrad": {},
    "RMSProp": {"rms_decay": 0.9},
    "AdaDelta": {"momentum": 0.95, "delta": 1e-4},
    "Adam": {"momentum": 0.9},
    "AMSGrad": {"momentum": 0.9, "momentum2": 0.9},
    "AdamW": {"momentum": 0.9},
    "Lion": {"momentum": 0.9},
}

BIASES_APART = [{"lr_mult": 1, "decay_mult": 1}, {"lr_mult": 2, "decay_mult": 0}]
"""Biases with twice the rate and no decay."""


def spec(**fields: Any) -> SolverSpec:
    return SolverSpec(**{"base_lr": 0.5, "max_iter": 10, **fields})


def fields_of(rule: str) -> dict[str, Any]:
    return {"type": rule, "base_lr": 1.0 if rule == "AdaDelta" else 0.01, **RULES[rule]}


def tiny(param: Any = None, dtype: str = "float64", **fields: Any) -> lk.Solver:
    """A solver over a linear net of 6 weights and 2 biases."""
    layers = [
        {"name": "in", "type": "Input", "top": ["x", "y"], "shape": [[4, 3], [4, 2]]},
        {"name": "fc", "type": "InnerProduct", "bottom": "x", "num_output": 2, "weight_filler": "xavier",
         "param": BIASES_APART if param is None else param},
        {"name": "loss", "type": "EuclideanLoss", "bottom": ["fc", "y"]},
    ]  # fmt: skip
    run = {"net": {"layers": layers}, "solver": {"base_lr": 0.5, "max_iter": 10, "display": 0, **fields}}
    return lk.Solver(run, dtype=dtype)


def digits_run(**fields: Any) -> dict[str, Any]:
    """A run of a net with dropout on digits, that tests and snapshots on the way."""
    layers = [
        {"name": "digits", "type": "Data", "top": ["data", "label"], "dataset": "digits", "scale": 0.0625,
         "batch_size": {"train": 20, "test": 180}},
        {"name": "fc1", "type": "InnerProduct", "bottom": "data", "num_output": 8, "weight_filler": "xavier",
         "param": BIASES_APART},
        {"name": "relu", "type": "ReLU", "top": "fc1"},
        {"name": "drop", "type": "Dropout", "dropout_ratio": 0.2},
        {"name": "fc2", "type": "InnerProduct", "num_output": 10, "weight_filler": "xavier"},
        {"name": "loss", "type": "SoftmaxWithLoss", "bottom": ["fc2", "label"]},
        {"name": "accuracy", "type": "Accuracy", "bottom": ["fc2", "label"], "include": "test"},
    ]  # fmt: skip
    solver = {"base_lr": 0.05, "max_iter": 12, "display": 1, "test_interval": 3, "weight_decay": 0.01, **fields}
    return {"name": "d", "net": {"layers": layers}, "solver": solver}


def feed(solver: lk.Solver, gradient: Any, rate: float) -> np.ndarray:
    """Make one update by a given gradient; returns a copy of the weights after it."""
    flat = solver.net.flat
    flat.diff[...] = gradient
    solver.updater.update(rate)
    return flat.values.copy()
