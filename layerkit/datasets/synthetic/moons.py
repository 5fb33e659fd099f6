"""`moons`: two half circles that reach into each other.

Sample shape (2,). The upper moon is (cos t, sin t) and the lower one (1 - cos t, 1/2 - sin t), t uniform from 0 to pi.
`noise` is the standard deviation of the Gaussian that is added to each coordinate.

Source: layerkit's own draw of the two moons that are common in papers on clustering and semi-supervised learning.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from layerkit.blob import Array
from layerkit.datasets.synthetic.base import Classes


class Moons(Classes):
    """Two half circles. It takes no source."""

    type: Literal["moons"] = "moons"
    noise: float = Field(
        0.1, ge=0, le=1, description="Standard deviation of each coordinate's noise; a moon's radius is 1."
    )

    def class_names(self) -> tuple[str, ...]:
        """Which moon a point belongs to."""
        return ("upper", "lower")

    def points(self, rng: np.random.Generator, labels: Array) -> tuple[Array, Array]:
        """Points of these moons."""
        t = rng.uniform(0, np.pi, len(labels))
        upper = np.stack([np.cos(t), np.sin(t)], axis=1)
        points = np.where(labels[:, np.newaxis], [1.0, 0.5] - upper, upper)
        return points + self.noise * rng.standard_normal(points.shape), labels
