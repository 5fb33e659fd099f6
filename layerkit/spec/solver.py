"""SolverSpec: how a net is trained. Field names and meanings are Caffe's SolverParameter's."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from layerkit.fields import Strict

_POLICY_NEEDS = {
    "fixed": (),
    "step": ("gamma", "stepsize"),
    "exp": ("gamma",),
    "inv": ("gamma", "power"),
    "multistep": ("gamma", "stepvalue"),
    "poly": ("power",),
    "sigmoid": ("gamma", "stepsize"),
}


class StateSpec(Strict):
    """Level and stages of the train or test net (Caffe's NetState without the phase)."""

    level: int = Field(0, description="Compared with min_level and max_level.")
    stage: list[str] = Field([], description="Compared with stage and not_stage.")


class SolverSpec(Strict):
    """A training run: update rule, learning-rate policy, length, tests and snapshots."""

    type: Literal["SGD"] = Field("SGD", description="Update rule.")
    base_lr: float = Field(ge=0, description="Learning rate at the start.")
    momentum: float = Field(0.0, ge=0, lt=1, description="Share of the last update kept in the next.")
    weight_decay: float = Field(0.0, ge=0, description="Strength of the regularisation.")
    regularization_type: Literal["L2", "L1"] = Field("L2", description="What weight_decay adds to the gradient.")
    clip_gradients: float | None = Field(None, gt=0, description="Greatest L2 norm of all gradients together.")
    iter_size: int = Field(1, gt=0, description="Batches whose gradients are averaged into one update.")
    gamma: float | None = Field(
        None, ge=0, description="Decay factor of the policies step, exp, inv, multistep, sigmoid."
    )
    power: float | None = Field(None, description="Exponent of the policies inv and poly.")
    stepsize: int | None = Field(
        None, gt=0, description="Iterations between steps (step) or of the midpoint (sigmoid)."
    )
    stepvalue: list[int] | None = Field(None, description="Iterations of the steps of multistep, rising.")
    lr_policy: Literal["fixed", "step", "exp", "inv", "multistep", "poly", "sigmoid"] = Field(
        "fixed", description="How the learning rate falls.", validate_default=True
    )
    max_iter: int = Field(gt=0, description="Iterations to run.")
    display: int = Field(100, ge=0, description="Iterations between displays; 0 is never.")
    average_loss: int = Field(1, gt=0, description="Iterations over which the displayed loss is averaged.")
    test_interval: int = Field(0, ge=0, description="Iterations between tests; 0 is only at the end.")
    test_iter: Literal["all"] | int = Field("all", description="Batches of a test; all: every sample exactly once.")
    test_initialization: bool = Field(True, description="Test before the first iteration, if tests have an interval.")
    snapshot: int = Field(0, ge=0, description="Iterations between snapshots; 0 is only at the end.")
    snapshot_after_train: bool = Field(True, description="Snapshot at the end.")
    random_seed: int = Field(0, ge=0, lt=2**63, description="Seed of everything random in the run.")
    train_state: StateSpec = Field(StateSpec(), description="Level and stages of the train net.")
    test_state: StateSpec = Field(StateSpec(), description="Level and stages of the test net.")

    @field_validator("stepvalue")
    @classmethod
    def _rising(cls, value: list[int] | None) -> list[int] | None:
        if value is not None and (not value or value[0] <= 0 or any(b <= a for a, b in pairwise(value))):
            raise ValueError("must be whole numbers that rise, the first above 0")
        return value

    @field_validator("lr_policy")
    @classmethod
    def _has_what_it_needs(cls, policy: str, info: ValidationInfo) -> str:
        missing = [name for name in _POLICY_NEEDS[policy] if name in info.data and info.data[name] is None]
        if missing:
            raise ValueError(f"{policy} needs {' and '.join(missing)}")
        return policy

    @field_validator("test_iter")
    @classmethod
    def _some_batches(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value <= 0:
            raise ValueError("must be 'all' or greater than 0")
        return value
