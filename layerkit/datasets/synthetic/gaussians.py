"""`gaussians`: a cloud of points for each class.

Sample shape (dimensions,). The centres lie on a circle of radius 2 sqrt(2) in the first two dimensions, evenly, the
first one at (2, 2) and so, of two, the second at (-2, -2); the other dimensions hold noise alone. Each coordinate is
Gaussian around its centre with the variance 0.5 + 7 noise.

Source: the two Gaussians of TensorFlow Playground (D. Smilkov and S. Carter); more of them are layerkit's own.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from layerkit.blob import Array
from layerkit.datasets.synthetic.base import Classes, around


class Gaussians(Classes):
    """Clouds of points. It takes no source."""

    type: Literal["gaussians"] = "gaussians"
    classes: int = Field(2, ge=2, le=1000, description="Number of clouds.")
    dimensions: int = Field(2, ge=2, le=10_000, description="Numbers a point has.")
    noise: float = Field(0.0, ge=0, le=1, description="How wide clouds are, of 0 to 1; the playground's go to 0.5.")

    def class_names(self) -> tuple[str, ...]:
        """`cloud 0`, `cloud 1` and so on."""
        return tuple(f"cloud {cloud}" for cloud in range(self.classes))

    def size(self) -> int:
        """The number of dimensions."""
        return self.dimensions

    def points(self, rng: np.random.Generator, labels: Array) -> tuple[Array, Array]:
        """Points of these clouds."""
        points = np.sqrt(0.5 + 7 * self.noise) * rng.standard_normal((len(labels), self.dimensions))
        points[:, :2] += around(np.full(len(labels), np.sqrt(8)), 2 * np.pi * (1 / 8 + labels / self.classes))
        return points, labels
