"""`regression`: heights of a surface over the plane.

Sample shape (2,): both coordinates uniform within -6 to 6. `label` is a real number within about -1 to 1:

- `plane`: (x + y) / 10;
- `gaussians`: six cones in two rows of three, at x = -4, 0, 4 and y = 2.5, -2.5, up and down by turns like the squares
  of a chessboard, the first one up. A cone is 1 - d / 2 high, or deep, at a distance d < 2 from its centre; where two
  overlap, the larger one counts, and beside them all is 0.

`noise` is in the labels: the height is taken after each coordinate is moved by up to 6 times `noise`, while the point
itself stays where it is.

Source: both regression sets of TensorFlow Playground (D. Smilkov and S. Carter), "Plane" and "Multi gaussian".
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from layerkit.blob import Array
from layerkit.datasets.synthetic.base import Synthetic

RADIUS = 6.0
CENTRES = np.array([(x, y) for y in (2.5, -2.5) for x in (-4.0, 0.0, 4.0)])
SIGNS = np.array([1, -1, 1, -1, 1, -1])


class Regression(Synthetic):
    """Points with a height. It takes no source."""

    type: Literal["regression"] = "regression"
    surface: Literal["plane", "gaussians"] = Field("plane", description="Which surface.")
    noise: float = Field(0.0, ge=0, le=1, description="How wrong heights are, of 0 to 1; the playground's go to 0.5.")

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Array, Array]:
        """Points and the surface's heights there."""
        points = rng.uniform(-RADIUS, RADIUS, (count, 2))
        moved = points + RADIUS * self.noise * rng.uniform(-1, 1, points.shape)
        return points, moved.sum(axis=1) / 10 if self.surface == "plane" else cones(moved)


def cones(points: Array) -> Array:
    """The height at each of (N, 2) points of the surface `gaussians`."""
    distance = np.linalg.norm(points[:, np.newaxis] - CENTRES, axis=2)
    heights = SIGNS * np.clip(1 - distance / 2, 0, None)
    largest = np.abs(heights).argmax(axis=1)[:, np.newaxis]
    return np.take_along_axis(heights, largest, axis=1)[:, 0]
