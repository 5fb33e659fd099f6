"""The base of powers and logarithms, which Exp and Log have in common."""

from __future__ import annotations

import math

from pydantic import Field, field_validator

from layerkit.layer import LayerParams


class BaseParams(LayerParams):
    """Parameters of a layer with a base; as in Caffe -1 stands for e."""

    base: float = Field(-1.0, description="The base, a positive number; -1 stands for e.")

    @field_validator("base")
    @classmethod
    def _positive(cls, base: float) -> float:
        if base != -1 and base <= 0:
            raise ValueError(f"base must be positive, or -1 for e, not {base:g}")
        return base

    @property
    def log_base(self) -> float:
        """The natural logarithm of the base."""
        return 1.0 if self.base == -1 else math.log(self.base)
