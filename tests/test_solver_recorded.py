"""Update rules against trajectories recorded from Caffe: every weight after every step, and the loss.

The net is a tiny classifier, so this also is the outside reference for the gradient of SoftmaxWithLoss.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import layerkit as lk

FOLDER = Path(__file__).parent / "caffe_reference"
SETTINGS = json.loads((FOLDER / "solvers.json").read_text())["settings"]
ARRAYS = np.load(FOLDER / "solvers.npz")
WEIGHTS = (("fc1", "weight"), ("fc1", "bias"), ("fc2", "weight"), ("fc2", "bias"))

NET = {
    "layers": [
        {"name": "data", "type": "Input", "top": ["data", "label"], "shape": [[8, 5], [8]]},
        {
            "name": "fc1", "type": "InnerProduct", "bottom": "data", "num_output": 4,
            "param": [{"lr_mult": 1, "decay_mult": 1}, {"lr_mult": 2, "decay_mult": 0}],
        },
        {"name": "tanh", "type": "TanH", "bottom": "fc1", "top": "fc1"},
        {
            "name": "fc2", "type": "InnerProduct", "bottom": "fc1", "num_output": 3,
            "param": [{"lr_mult": 0.5, "decay_mult": 1}, {"lr_mult": 2, "decay_mult": 0}],
        },
        {"name": "loss", "type": "SoftmaxWithLoss", "bottom": ["fc2", "label"], "top": "loss"},
    ]
}  # fmt: skip


def solver_fields(text: str) -> dict[str, Any]:
    """Caffe's text as our fields: `base_lr: 0.5 stepvalue: 3 stepvalue: 8`."""
    fields: dict[str, Any] = {}
    for key, value in re.findall(r"(\w+): ('\w+'|[-\w.]+)", text):
        parsed = value.strip("'") if "'" in value else json.loads(value)
        if key == "stepvalue":
            parsed = [*fields.get(key, []), parsed]
        fields[key] = parsed
    return fields


def test_there_are_recorded_settings_for_every_rule_and_policy_of_caffe() -> None:
    policies = {solver_fields(each["solver"])["lr_policy"] for each in SETTINGS}
    assert policies == {"fixed", "step", "exp", "inv", "multistep", "poly", "sigmoid"}
    rules = {solver_fields(each["solver"])["type"] for each in SETTINGS}
    assert rules == {"SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda each: each["name"])
def test_each_rule_follows_caffe(setting: dict[str, Any]) -> None:
    name, steps = setting["name"], setting["steps"]
    spec = {"display": 0, "max_iter": steps, **solver_fields(setting["solver"])}
    solver = lk.Solver({"net": NET, "solver": spec})
    net = solver.net
    for k, (layer, weight) in enumerate(WEIGHTS):
        net.params[layer][weight].data[...] = ARRAYS[f"{name}/init{k}"]
    for step in range(steps):
        for blob in ("data", "label"):  # one batch a step: with iter_size the same batch counts several times
            net.blobs[blob].data[...] = ARRAYS[f"{name}/{blob}"][step]
        loss = solver.step()
        assert loss == pytest.approx(ARRAYS[f"{name}/loss"][step], rel=1e-4), f"loss of step {step}"
        for k, (layer, weight) in enumerate(WEIGHTS):
            wanted = ARRAYS[f"{name}/after{k}"][step]
            off = np.abs(net.params[layer][weight].data - wanted).max() / np.abs(wanted).max()
            assert off < 1e-4, f"{layer}.{weight} after step {step}: off by {off:.1e} of its scale"
