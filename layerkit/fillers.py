"""Fillers: what a weight holds before training. Names, parameters and formulas are Caffe's (filler.hpp)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.fields import Strict

FLOAT32_MAX = float(np.finfo(np.float32).max)
Float32 = Annotated[float, Field(ge=-FLOAT32_MAX, le=FLOAT32_MAX)]
"""A number that is finite in float32."""
Drawn = Annotated[float, Field(ge=-FLOAT32_MAX / 100, le=FLOAT32_MAX / 100)]
"""A number so far from float32's bounds that what a normal distribution makes of it is finite as well."""
PART = 1 << 20
"""Elements that are drawn at a time, in float64; a large weight drawn as a whole would take twice its room."""


class Filler(Strict):
    """How a weight starts. `weight_filler: xavier` is short for `weight_filler: {type: xavier}`."""

    shorthand: ClassVar[str | None] = "type"

    type: Literal["constant", "uniform", "gaussian", "xavier", "msra", "positive_unitball", "bilinear"] = Field(
        "constant", description="Which rule fills the weight."
    )
    value: Float32 = Field(0.0, description="constant: the value.")
    min: Float32 = Field(0.0, description="uniform: the lower bound.")
    max: Float32 = Field(1.0, description="uniform: the upper bound.")
    mean: Drawn = Field(0.0, description="gaussian: the mean.")
    std: float = Field(1.0, ge=0, le=FLOAT32_MAX / 100, description="gaussian: the standard deviation.")
    sparse: int = Field(-1, ge=-1, description="gaussian: expected non-zero inputs per output; -1 keeps all.")
    variance_norm: Literal["FAN_IN", "FAN_OUT", "AVERAGE"] = Field(
        "FAN_IN", description="xavier, msra: what the variance is divided by."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Filler:
        if self.min > self.max:
            raise ValueError(f"min {self.min:g} is greater than max {self.max:g}")
        return self

    def check(self, shape: Shape) -> None:
        """Raise ShapeError where the rule is not for a weight of this shape."""
        if not shape and (self.type in ("xavier", "msra") or (self.type == "gaussian" and self.sparse >= 0)):
            raise ShapeError(f"a {self.type} filler needs at least one axis")
        if self.type == "bilinear" and (len(shape) != 4 or shape[2] != shape[3]):
            raise ShapeError(f"a bilinear filler needs a square 4-axis weight, not {shape_text(shape)}")

    def fill(self, array: Array, rng: np.random.Generator) -> None:
        """Overwrite `array` (a weight in Caffe's layout: outputs first). Raises ShapeError as `check` does."""
        self.check(array.shape)
        if not array.size:
            return
        by_element = self.type in ("uniform", "xavier", "msra") or (self.type == "gaussian" and self.sparse < 0)
        at_once = max(1, PART // array[0].size) if by_element and array.ndim else 0
        for start in range(0, len(array), at_once) if at_once else ():
            part = array[start : start + at_once]
            part[...] = _RULES[self.type](self, array.shape, rng, part.shape)
        if not at_once:
            array[...] = _RULES[self.type](self, array.shape, rng, array.shape)


def _fan(filler: Filler, shape: Shape) -> float:
    """Inputs of one output (FAN_IN), outputs of one input (FAN_OUT), or their mean."""
    count = math.prod(shape)
    fan_in = count / shape[0]
    fan_out = count / shape[1] if len(shape) > 1 else count
    return {"FAN_IN": fan_in, "FAN_OUT": fan_out, "AVERAGE": (fan_in + fan_out) / 2}[filler.variance_norm]


def _constant(filler: Filler, shape: Shape, rng: np.random.Generator, part: Shape) -> Any:
    return filler.value


def _uniform(filler: Filler, shape: Shape, rng: np.random.Generator, part: Shape) -> Any:
    return rng.uniform(filler.min, filler.max, part)


def _gaussian(filler: Filler, shape: Shape, rng: np.random.Generator, part: Shape) -> Any:
    values = rng.normal(filler.mean, filler.std, part)
    if filler.sparse >= 0:
        values *= rng.random(shape) < filler.sparse / shape[0]
    return values


def _xavier(filler: Filler, shape: Shape, rng: np.random.Generator, part: Shape) -> Any:
    """Glorot and Bengio 2010: uniform with variance 1 / fan."""
    bound = math.sqrt(3 / _fan(filler, shape))
    return rng.uniform(-bound, bound, part)


def _msra(filler: Filler, shape: Shape, rng: np.random.Generator, part: Shape) -> Any:
    """He et al. 2015: gaussian with variance 2 / fan, for rectifiers."""
    return rng.normal(0, math.sqrt(2 / _fan(filler, shape)), part)


def _positive_unitball(filler: Filler, shape: Shape, rng: np.random.Generator, part: Shape) -> Any:
    """Positive values; those of one output sum to one."""
    values = rng.random(shape)
    return values / values.sum(axis=tuple(range(1, len(shape))), keepdims=True)


def _bilinear(filler: Filler, shape: Shape, rng: np.random.Generator, part: Shape) -> Any:
    """The kernel with which a Deconvolution of kernel 2s - s % 2 and stride s interpolates."""
    size = shape[3]
    factor = math.ceil(size / 2)
    centre = (2 * factor - 1 - factor % 2) / (2 * factor)
    ramp = 1 - np.abs(np.arange(size) / factor - centre)
    return np.broadcast_to(np.outer(ramp, ramp), shape)


_RULES: dict[str, Callable[[Filler, Shape, np.random.Generator, Shape], Any]] = {
    "constant": _constant,
    "uniform": _uniform,
    "gaussian": _gaussian,
    "xavier": _xavier,
    "msra": _msra,
    "positive_unitball": _positive_unitball,
    "bilinear": _bilinear,
}
