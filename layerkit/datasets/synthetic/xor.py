"""`xor`: whether two numbers have the same sign, the smallest problem that no linear classifier solves.

Sample shape (2,): each coordinate uniform within -5 to 5, then moved by 0.3 away from 0, so that the quarters lie
apart. The label is `same` where both signs agree. `noise` is in the labels: the signs are those of the coordinates
moved by up to 5 times `noise`, while the point itself stays where it is.

Source: the exclusive or of TensorFlow Playground (D. Smilkov and S. Carter); M. Minsky and S. Papert, "Perceptrons",
1969.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from layerkit.blob import Array
from layerkit.datasets.synthetic.base import Synthetic

RADIUS = 5.0
GAP = 0.3


class Xor(Synthetic):
    """Two signs that agree or do not. It takes no source."""

    type: Literal["xor"] = "xor"
    noise: float = Field(0.0, ge=0, le=1, description="How wrong labels are, of 0 to 1; the playground's go to 0.5.")

    def class_names(self) -> tuple[str, ...]:
        """What the signs are to each other."""
        return ("different", "same")

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Array, Array]:
        """Points in the four quarters, and whether their signs agree."""
        points = rng.uniform(-RADIUS, RADIUS, (count, 2))
        points += np.where(points > 0, GAP, -GAP)
        moved = points + RADIUS * self.noise * rng.uniform(-1, 1, points.shape)
        return points, moved.prod(axis=1) >= 0
