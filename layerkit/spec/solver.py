"""SolverSpec: how a net is trained. Field names and meanings are Caffe's SolverParameter's, as far as Caffe has them.

Numbers that an update rule does not use are errors where they are set, and so are the fields of a policy that Caffe
does not have. Caffe's own `gamma`, `power`, `stepsize` and `stepvalue` may stand beside any policy, as in Caffe.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from layerkit.fields import Strict
from layerkit.spec.amounts import Epochs, Interval, Span

_RULES: dict[str, dict[str, float | None]] = {
    "SGD": {"momentum": 0.0},
    "Nesterov": {"momentum": 0.0},
    "AdaGrad": {"delta": 1e-8},
    "RMSProp": {"rms_decay": 0.99, "delta": 1e-8},
    "AdaDelta": {"momentum": None, "delta": 1e-8},
    "Adam": {"momentum": None, "momentum2": 0.999, "delta": 1e-8},
    "AMSGrad": {"momentum": None, "momentum2": 0.999, "delta": 1e-8},
    "AdamW": {"momentum": None, "momentum2": 0.999, "delta": 1e-8},
    "Lion": {"momentum": None, "momentum2": 0.99},
}
"""Update rule -> the numbers that it uses and what they are if left out; None must be said.

Caffe's default momentum is 0, with which AdaDelta and Adam do not average at all: hardly ever what is meant.
"""
_USUAL = {"AdaDelta": 0.95}
DECOUPLED = ("AdamW", "Lion")
"""The rules whose weight decay is decoupled: taken from the weights, not added to the gradient."""

_POLICY_NEEDS = {
    "fixed": (),
    "step": ("gamma", "stepsize"),
    "exp": ("gamma",),
    "inv": ("gamma", "power"),
    "multistep": ("gamma", "stepvalue"),
    "poly": ("power",),
    "sigmoid": ("gamma", "stepsize"),
    "cosine": (),
    "one_cycle": (),
    "table": ("lr_table",),
    "plateau": ("gamma", "plateau"),
}
_ONLY_FOR = {
    "start_factor": ("one_cycle",),
    "peak": ("one_cycle",),
    "end_factor": ("one_cycle", "cosine"),
    "restart_iter": ("cosine",),
    "restart_mult": ("cosine",),
    "lr_table": ("table",),
    "plateau": ("plateau",),
}
"""Fields that Caffe does not have -> the policies that use them."""


class StateSpec(Strict):
    """Level and stages of the train or test net (Caffe's NetState without the phase)."""

    level: int = Field(0, description="Compared with min_level and max_level.")
    stage: list[str] = Field([], description="Compared with stage and not_stage.")

    @property
    def name(self) -> str:
        """What tells a test net from others: its stages, and its level if it has one."""
        return "+".join([*self.stage, *([f"level{self.level}"] if self.level else [])]) or "test"


class AverageSpec(Strict):
    """An average of the weights over the run, to test with and to use; the training itself goes on without it."""

    shorthand = "type"

    type: Literal["ema", "swa"] = Field(description="ema: an exponential moving average; swa: the plain mean.")
    decay: float | None = Field(
        None, ge=0, lt=1, description="ema: share of the average that is kept; 0.999 if left out."
    )
    start: int = Field(0, ge=0, description="Iteration from which on weights are averaged.")
    every: int = Field(1, gt=0, description="Iterations between the weights that are averaged.")

    @field_validator("decay")
    @classmethod
    def _of_ema(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("type") == "swa":
            raise ValueError("swa weighs all alike and does not use it; leave it out, or choose ema")
        return value


class PlateauSpec(Strict):
    """When the policy plateau lowers the learning rate."""

    metric: str = Field(description="The output of the test net to look at.")
    mode: Literal["min", "max"] = Field(description="Whether lower or higher is better.")
    patience: int = Field(gt=0, description="Tests in a row without an improvement after which the rate falls.")
    min_delta: float = Field(0.0, ge=0, description="A change of no more than this is no improvement.")


class BestSpec(Strict):
    """Which test is the best."""

    shorthand = "metric"

    metric: str | None = Field(
        None, description="The output of the test net to look at; by default its first metric, or else its first loss."
    )
    mode: Literal["min", "max"] | None = Field(
        None, description="Whether lower or higher is better; known of metrics and losses."
    )


class EarlyStoppingSpec(BestSpec):
    """When a run ends since tests do not get better any more."""

    patience: int = Field(5, gt=0, description="Tests in a row without an improvement after which the run ends.")
    min_delta: float = Field(0.0, ge=0, description="A change of no more than this is no improvement.")
    restore_best: bool = Field(True, description="Whether the net has the best test's weights at the end.")


class SolverSpec(Strict):
    """A training run: update rule, learning-rate policy, length, tests and snapshots."""

    type: Literal["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam", "AMSGrad", "AdamW", "Lion"] = Field(
        "SGD", description="Update rule."
    )
    base_lr: float = Field(ge=0, description="Learning rate at the start.")
    momentum: float | None = Field(
        None, ge=0, lt=1, validate_default=True,
        description="Share of the last update kept in the next (beta1 of Adam's kind; AdaDelta: of all averages).",
    )  # fmt: skip
    momentum2: float | None = Field(
        None, ge=0, lt=1, description="Adam's kind: beta2, share of the mean square that is kept; Lion: of the mean."
    )
    rms_decay: float | None = Field(None, ge=0, lt=1, description="RMSProp: share of the mean square that is kept.")
    delta: float | None = Field(None, gt=0, description="Small number that keeps a divisor from 0; 1e-8 if left out.")
    weight_decay: float = Field(
        0.0, ge=0, description="Strength of the pull of the weights towards 0; AdamW and Lion: decoupled, else coupled."
    )
    regularization_type: Literal["L2", "L1"] = Field(
        "L2", description="What coupled weight_decay adds to the gradient: L2 its product with w, L1 with w's sign."
    )
    clip_value: float | None = Field(
        None, gt=0, description="Greatest magnitude of each number of the gradients; the first clipping of the three."
    )
    clip_layer_norm: float | None = Field(
        None, gt=0, description="Greatest L2 norm of the gradients of each layer's weights together; the second."
    )
    clip_gradients: float | None = Field(
        None, gt=0, description="Greatest L2 norm of all gradients together, of the sum over iter_size; the last."
    )
    iter_size: int = Field(1, gt=0, description="Batches whose gradients are averaged into one update.")
    average: AverageSpec | None = Field(None, description="An average of the weights, to test with and to snapshot.")
    gamma: float | None = Field(
        None, ge=0, description="Decay factor of the policies step, exp, inv, multistep, sigmoid, plateau."
    )
    power: float | None = Field(None, description="Exponent of the policies inv and poly.")
    stepsize: int | None = Field(
        None, gt=0, description="Iterations between steps (step) or of the midpoint (sigmoid)."
    )
    stepvalue: list[int] | None = Field(None, description="Iterations of the steps of multistep, rising.")
    start_factor: float | None = Field(
        None, ge=0, le=1, description="one_cycle: factor on base_lr at iteration 0; 0.04 if left out."
    )
    peak: float | None = Field(
        None, gt=0, lt=1, description="one_cycle: share of max_iter at which base_lr is reached; 0.3 if left out."
    )
    end_factor: float | None = Field(
        None, ge=0, le=1, description="one_cycle, cosine: factor on base_lr at the end; 0 if left out."
    )
    restart_iter: int | None = Field(
        None, gt=0, description="cosine: iterations until it begins again; never if left out."
    )
    restart_mult: int | None = Field(
        None, gt=0, description="cosine: how many times as long as the last each new course is; 1 if left out."
    )
    lr_table: list[list[float]] | None = Field(
        None, min_length=1, description="table: pairs of an iteration and the factor on base_lr there; between, linear."
    )
    plateau: PlateauSpec | None = Field(None, description="plateau: which tests count as no better than before.")
    lr_policy: Literal[
        "fixed", "step", "exp", "inv", "multistep", "poly", "sigmoid", "cosine", "one_cycle", "table", "plateau"
    ] = Field("fixed", description="How the learning rate falls.", validate_default=True)
    warmup_iter: int = Field(0, ge=0, description="Iterations in which a factor on the learning rate rises to 1.")
    warmup_start: float | None = Field(
        None, ge=0, le=1, description="That factor at iteration 0; it rises linearly; 0 if left out."
    )
    max_iter: int | None = Field(None, gt=0, description="Iterations to run.")
    max_epochs: int | None = Field(
        None, gt=0, validate_default=True, description="Passes over the training samples to run, instead of max_iter."
    )
    max_time: Span = Field(
        None, description="Time after which it ends as if interrupted: seconds, or as 2h30m; resumed it counts anew."
    )
    display: Interval = Field(100, description="Iterations (or `1 epoch`) between displays; 0 is never.")
    average_loss: int = Field(1, gt=0, description="Iterations over which the displayed loss is averaged.")
    debug_info: bool = Field(False, description="Show with each display how large the numbers in every layer are.")
    test_interval: Interval = Field(
        0, description="Iterations (or `1 epoch`) between tests; 0 is only at the end.", validate_default=True
    )
    test_initialization: bool = Field(True, description="Test before the first iteration, if tests have an interval.")
    early_stopping: EarlyStoppingSpec | None = Field(
        None, description="Ends the run when tests get no better; true, a metric, or as follows."
    )
    keep_best: BestSpec | None = Field(
        None, description="Keeps the weights of the best test so far in best.safetensors; true, or by which metric."
    )
    snapshot: Interval = Field(0, description="Iterations (or `1 epoch`) between snapshots; 0 is only at the end.")
    snapshot_after_train: bool = Field(True, description="Snapshot at the end.")
    keep_last: int | None = Field(None, gt=0, description="Snapshots of this run that are kept; all if left out.")
    random_seed: int = Field(0, ge=0, lt=2**63, description="Seed of everything random in the run.")
    train_state: StateSpec = Field(StateSpec(), description="Level and stages of the train net.")
    test_state: list[StateSpec] = Field(
        [StateSpec()], min_length=1, description="Level and stages of the test net, or of each of several."
    )
    test_iter: list[Literal["all"] | int] = Field(
        ["all"], min_length=1, description="Batches of a test, or of each test net; all: every sample exactly once."
    )

    @property
    def iterations(self) -> int:
        """How many iterations there are; of max_epochs it is known once there is a net."""
        assert self.max_iter is not None  # a Schedule, which every solver makes, fills it in
        return self.max_iter

    @property
    def tests(self) -> dict[str, int | str]:
        """Batches of a test, by the names of the test nets."""
        batches = self.test_iter * len(self.test_state) if len(self.test_iter) == 1 else self.test_iter
        return dict(zip((state.name for state in self.test_state), batches, strict=True))

    @property
    def rule(self) -> dict[str, float]:
        """The numbers that the update rule uses, by their fields' names."""
        rule = _RULES[self.type]
        said = {name: getattr(self, name) for name in rule if getattr(self, name) is not None}
        return {**{name: usual for name, usual in rule.items() if usual is not None}, **said}

    @field_validator("momentum", "momentum2", "rms_decay", "delta")
    @classmethod
    def _is_the_rules(cls, value: float | None, info: ValidationInfo) -> float | None:
        kind, name = info.data.get("type"), str(info.field_name)
        if kind is None:  # which was said
            return value
        rule = _RULES[kind]
        if value is not None and name not in rule:
            raise ValueError(f"{kind} does not use it; leave it out, or choose another type")
        if value is None and rule.get(name, 0.0) is None:
            raise ValueError(f"{kind} needs {name}, usually {_USUAL.get(kind, 0.9)}")
        return value

    @field_validator("regularization_type")
    @classmethod
    def _is_coupled(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("type") in DECOUPLED:
            raise ValueError(f"{info.data['type']} takes decay from the weights, not by the gradient; leave it out")
        return value

    @field_validator("stepvalue")
    @classmethod
    def _rising(cls, value: list[int] | None) -> list[int] | None:
        if value is not None and (not value or value[0] <= 0 or any(b <= a for a, b in pairwise(value))):
            raise ValueError("must be whole numbers that rise, the first above 0")
        return value

    @field_validator("restart_mult")
    @classmethod
    def _of_restarts(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and info.data.get("restart_iter", 0) is None:
            raise ValueError("it needs restart_iter")
        return value

    @field_validator("lr_table")
    @classmethod
    def _pairs(cls, value: list[list[float]] | None) -> list[list[float]] | None:
        if value is None:
            return value
        if not all(len(pair) == 2 and pair[0] >= 0 and pair[0] == int(pair[0]) and pair[1] >= 0 for pair in value):
            raise ValueError("must be pairs [iteration, factor], whole numbers from 0 on and numbers from 0 on")
        if any(later[0] < pair[0] for pair, later in pairwise(value)):
            raise ValueError("must be in the order of the iterations")
        return value

    @field_validator("lr_policy")
    @classmethod
    def _has_what_it_needs(cls, policy: str, info: ValidationInfo) -> str:
        missing = [name for name in _POLICY_NEEDS[policy] if name in info.data and info.data[name] is None]
        if missing:
            raise ValueError(f"{policy} needs {' and '.join(missing)}")
        if policy == "plateau" and info.data.get("gamma", 0.0) >= 1:
            raise ValueError("plateau needs a gamma below 1")
        for name, users in _ONLY_FOR.items():
            if policy not in users and info.data.get(name) is not None:
                raise ValueError(f"{policy} does not use {name}, which is for {' and '.join(users)}")
        return policy

    @field_validator("warmup_start")
    @classmethod
    def _of_a_warmup(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("warmup_iter", 1) == 0:
            raise ValueError("without warmup_iter it is not used")
        return value

    @field_validator("max_epochs")
    @classmethod
    def _one_length(cls, value: int | None, info: ValidationInfo) -> int | None:
        if "max_iter" in info.data and (value is None) == (info.data["max_iter"] is None):
            raise ValueError(
                "needs max_iter or max_epochs"
                if value is None
                else "max_iter says already how long to train; leave one out (max_iter: null does)"
            )
        return value

    @field_validator("debug_info")
    @classmethod
    def _with_displays(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("display", 1) == 0:
            raise ValueError("must be false where display is 0, since it comes with displays")
        return value

    @field_validator("test_interval")
    @classmethod
    def _tests_decide(cls, value: int | Epochs, info: ValidationInfo) -> int | Epochs:
        if info.data.get("lr_policy") == "plateau" and value == 0:
            raise ValueError("the policy plateau needs a test_interval above 0, since tests decide")
        return value

    @field_validator("early_stopping", "keep_best", mode="before")
    @classmethod
    def _or_not(cls, value: Any) -> Any:
        return {} if value is True else None if value is False else value

    @field_validator("early_stopping", "keep_best")
    @classmethod
    def _has_tests(cls, value: BestSpec | None, info: ValidationInfo) -> BestSpec | None:
        if value and info.data.get("test_interval") == 0:
            raise ValueError("it needs a test_interval above 0, since tests decide")
        if value not in (None, BestSpec()) and info.field_name == "keep_best" and info.data.get("early_stopping"):
            raise ValueError("early_stopping says what is best; write keep_best: true")
        return value

    @field_validator("test_state")
    @classmethod
    def _told_apart(cls, value: list[StateSpec]) -> list[StateSpec]:
        names = [state.name for state in value]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"must differ, but two test nets would be called {twice[0]!r} after level and stages")
        return value

    @field_validator("test_iter")
    @classmethod
    def _some_batches(cls, value: list[int | str], info: ValidationInfo) -> list[int | str]:
        if any(isinstance(each, int) and each <= 0 for each in value):
            raise ValueError("must be 'all' or greater than 0")
        nets = len(info.data.get("test_state", value))
        if len(value) not in (1, nets):
            raise ValueError(f"must be one value, or one for each test net, which are {nets}, not {len(value)}")
        return value
