"""Recording: a layer's case, and the same computation in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from layerkit.checks import Case

Tensors = Sequence[Any]
Compute = Callable[[Tensors, Mapping[str, Any]], Any]
"""`compute(bottoms, weights)`: the top as a tensor, or a sequence of the tops, from tensors of float64."""


@dataclass(frozen=True)
class Recording:
    """One row: `compute` is given what a lone layer of this type is given in its bottoms and weights."""

    type: str
    name: str
    bottoms: Sequence[Any]
    """Each a shape (filled with random values), an array, or a function of a generator, as in a Case."""
    compute: Compute
    params: Mapping[str, Any] = field(default_factory=dict)
    """The layer's parameters as in YAML."""
    num_tops: int = 1
    phase: str = "train"

    @property
    def case(self) -> Case:
        """The row as a case of the layer."""
        return Case(
            self.type,
            self.name,
            self.bottoms,
            self.params,
            phase=self.phase,
            num_tops=self.num_tops,
            no_formula="compared with PyTorch",
        )
