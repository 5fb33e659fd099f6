"""`spirals`: arms that wind around each other, which no straight line and no circle tells apart.

Sample shape (2,), within a circle of radius 5; `label` is the arm. A point lies at a share u, drawn uniformly, of its
arm's length: r = 5 u, angle = 2 pi (turns u + arm / classes). `noise` moves each coordinate by up to that much.

Source: the spiral of TensorFlow Playground (D. Smilkov and S. Carter), which has two arms of 1.75 turns and spaces its
points evenly.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from layerkit.blob import Array
from layerkit.datasets.synthetic.base import Classes, around

RADIUS = 5.0


class Spirals(Classes):
    """Arms of a spiral. It takes no source."""

    type: Literal["spirals"] = "spirals"
    classes: int = Field(2, ge=2, le=1000, description="Number of arms.")
    turns: float = Field(1.75, gt=0, description="How often an arm winds around the centre.")
    noise: float = Field(0.0, ge=0, le=RADIUS, description="By how much a coordinate moves; the arms reach to 5.")

    def class_names(self) -> tuple[str, ...]:
        """`arm 0`, `arm 1` and so on."""
        return tuple(f"arm {arm}" for arm in range(self.classes))

    def points(self, rng: np.random.Generator, labels: Array) -> tuple[Array, Array]:
        """Points of these arms."""
        along = rng.random(len(labels))
        points = around(RADIUS * along, 2 * np.pi * (self.turns * along + labels / self.classes))
        return points + rng.uniform(-self.noise, self.noise, points.shape), labels
