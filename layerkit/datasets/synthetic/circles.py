"""`circles`: a disc and a ring around it.

Sample shape (2,); `inner` points lie up to 2.5 from the origin, `outer` ones from 3.5 to 5, both uniform in distance
and angle. `noise` is in the labels: a point is inner if it lies within 2.5 once each coordinate is moved by up to 5
times `noise`, while the point itself stays where it is.

Source: the circle of TensorFlow Playground (D. Smilkov and S. Carter).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from layerkit.blob import Array
from layerkit.datasets.synthetic.base import Classes, around

RADIUS = 5.0


class Circles(Classes):
    """A disc in a ring. It takes no source."""

    type: Literal["circles"] = "circles"
    noise: float = Field(0.0, ge=0, le=1, description="How wrong labels are, of 0 to 1; the playground's go to 0.5.")

    def class_names(self) -> tuple[str, ...]:
        """Which of the two a point belongs to."""
        return ("outer", "inner")

    def points(self, rng: np.random.Generator, labels: Array) -> tuple[Array, Array]:
        """Points of the disc and of the ring, and what they are called."""
        nearest, farthest = (np.where(labels, inner, outer) for inner, outer in ((0.0, 0.7), (0.5, 1.0)))
        points = around(rng.uniform(RADIUS * nearest, RADIUS * farthest), rng.uniform(0, 2 * np.pi, len(labels)))
        moved = points + RADIUS * self.noise * rng.uniform(-1, 1, points.shape)
        return points, np.hypot(*moved.T) < RADIUS / 2
