"""Records how PyTorch's optimisers move weights and its schedulers the rate, for tests that need no PyTorch.

    pip install . torch==2.13.0
    python tools/record_torch_rules.py

Each rule gets the same gradients, for six weights and two biases of which the biases have twice the rate and no decay.
What is recorded, in float64, goes to `tests/torch_reference_rules/rules.npz`: `weights` to start from, `gradients` step
by step, and of each row its solver's fields as JSON, its rates step by step, and the weights after each step. Of a
scheduler it is the fields and the rates, of plateau also the metric that it saw.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

FILE = Path(__file__).parents[1] / "tests" / "torch_reference_rules" / "rules.npz"
STEPS = 8
CONSTANT = [0.1] * STEPS
FALLING = [0.1 * 0.8**step for step in range(STEPS)]

Fields = dict[str, Any]
Make = Callable[[Any, Fields], torch.optim.Optimizer]


def betas(fields: Fields) -> tuple[float, float]:
    """Adam's two, as PyTorch takes them."""
    return fields["momentum"], fields["momentum2"]


RULES: dict[str, tuple[Fields, list[float], Make]] = {
    "sgd": ({"type": "SGD", "momentum": 0.9, "weight_decay": 0.1}, CONSTANT,
            lambda groups, f: torch.optim.SGD(groups, momentum=f["momentum"])),
    "nesterov": ({"type": "Nesterov", "momentum": 0.9, "weight_decay": 0.1}, CONSTANT,
                 lambda groups, f: torch.optim.SGD(groups, momentum=f["momentum"], nesterov=True)),
    "adagrad": ({"type": "AdaGrad", "delta": 0.01, "weight_decay": 0.1}, FALLING,
                lambda groups, f: torch.optim.Adagrad(groups, eps=f["delta"])),
    "rmsprop": ({"type": "RMSProp", "rms_decay": 0.9, "delta": 0.01, "weight_decay": 0.1}, FALLING,
                lambda groups, f: torch.optim.RMSprop(groups, alpha=f["rms_decay"], eps=f["delta"])),
    "adadelta": ({"type": "AdaDelta", "momentum": 0.9, "delta": 0.01, "weight_decay": 0.1}, FALLING,
                 lambda groups, f: torch.optim.Adadelta(groups, rho=f["momentum"], eps=f["delta"])),
    "adam": ({"type": "Adam", "momentum": 0.8, "momentum2": 0.9, "delta": 1e-15, "weight_decay": 0.1}, FALLING,
             lambda groups, f: torch.optim.Adam(groups, betas=betas(f), eps=f["delta"])),
    "amsgrad": ({"type": "AMSGrad", "momentum": 0.8, "momentum2": 0.7, "delta": 0.01, "weight_decay": 0.1}, FALLING,
                lambda groups, f: torch.optim.Adam(groups, betas=betas(f), eps=f["delta"], amsgrad=True)),
    "adamw": ({"type": "AdamW", "momentum": 0.8, "momentum2": 0.9, "delta": 0.01, "weight_decay": 0.1}, FALLING,
              lambda groups, f: torch.optim.AdamW(groups, betas=betas(f), eps=f["delta"])),
    "ema": ({"type": "SGD", "average": {"type": "ema", "decay": 0.7}}, CONSTANT,
            lambda groups, f: torch.optim.SGD(groups)),
    "swa": ({"type": "SGD", "average": {"type": "swa"}}, CONSTANT,
            lambda groups, f: torch.optim.SGD(groups)),
}  # fmt: skip

METRIC = [0.9, 0.8, 0.8, 0.79, 0.81, 0.7, 0.7, 0.7, 0.7, 0.6, 0.65, float("nan"), 0.66, 0.5]

SCHEDULES: dict[str, tuple[Fields, Callable[[Any], Any]]] = {
    "cosine": ({"lr_policy": "cosine", "max_iter": 20, "end_factor": 0.1},
               lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 20, eta_min=0.05)),
    "restarts": ({"lr_policy": "cosine", "max_iter": 40, "restart_iter": 5, "restart_mult": 2},
                 lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 5, 2)),
    "warmup": ({"lr_policy": "fixed", "max_iter": 10, "warmup_iter": 4, "warmup_start": 0.25},
               lambda optimizer: lr_scheduler.LinearLR(optimizer, 0.25, total_iters=4)),
}  # fmt: skip


def optimise(fields: Fields, rates: list[float], make: Make, weights: Any, gradients: Any) -> dict[str, Any]:
    """The weights after each step of a rule, or their averages."""
    parts = [torch.nn.Parameter(torch.tensor(part)) for part in (weights[:6], weights[6:])]
    decay = fields.get("weight_decay", 0.0)
    groups = [{"params": [parts[0]], "weight_decay": decay}, {"params": [parts[1]], "weight_decay": 0.0}]
    for group in groups:
        group["lr"] = 1.0
    optimizer, average = make(groups, fields), None
    model = torch.nn.ParameterList(parts)
    if "average" in fields:
        ema = fields["average"]["type"] == "ema"
        blend = get_ema_multi_avg_fn(fields["average"]["decay"]) if ema else None
        average = AveragedModel(model, multi_avg_fn=blend)
    after = []
    for rate, gradient in zip(rates, gradients, strict=True):
        for part, span, group, mult in zip(
            parts, (slice(6), slice(6, 8)), optimizer.param_groups, (1.0, 2.0), strict=True
        ):
            part.grad, group["lr"] = torch.tensor(gradient[span]), rate * mult
        optimizer.step()
        if average is not None:
            average.update_parameters(model)
        seen = parts if average is None else list(average.module)
        after.append(torch.cat([part.detach() for part in seen]).numpy().copy())
    return {"fields": np.array(json.dumps(fields)), "rates": np.array(rates), "after": np.array(after)}


def schedule(fields: Fields, make: Callable[[Any], Any]) -> dict[str, Any]:
    """The rates that a scheduler gives from a rate of 0.5 on."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler, rates = make(optimizer), []
    for _ in range(fields["max_iter"] + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return {"fields": np.array(json.dumps(fields)), "rates": np.array(rates)}


def plateau() -> dict[str, Any]:
    """The rates after each value of the metric; PyTorch's patience is one less than layerkit's."""
    about = {"metric": "loss", "mode": "min", "patience": 2, "min_delta": 0.02}
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = lr_scheduler.ReduceLROnPlateau(
        optimizer, "min", 0.1, patience=1, threshold=0.02, threshold_mode="abs", eps=0
    )
    rates = []
    for value in METRIC:
        scheduler.step(value)
        rates.append(optimizer.param_groups[0]["lr"])
    fields = {"lr_policy": "plateau", "gamma": 0.1, "plateau": about, "test_interval": 1, "max_iter": 20}
    return {"fields": np.array(json.dumps(fields)), "rates": np.array(rates), "metric": np.array(METRIC)}


def main() -> None:
    """Record everything."""
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    weights = rng.uniform(-1, 1, 8)
    gradients = rng.uniform(-1, 1, (STEPS, 8)) * np.linspace(1, 0.2, STEPS)[:, None]
    rows = {name: optimise(*row, weights, gradients) for name, row in RULES.items()}
    rows |= {name: schedule(*row) for name, row in SCHEDULES.items()}
    rows["plateau"] = plateau()
    arrays = {f"{name}/{key}": array for name, row in rows.items() for key, array in row.items()}
    FILE.parent.mkdir(exist_ok=True)
    np.savez_compressed(FILE, weights=weights, gradients=gradients, **arrays)
    print(f"{len(rows)} rows")


if __name__ == "__main__":
    main()
