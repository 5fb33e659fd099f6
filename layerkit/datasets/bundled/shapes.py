"""`shapes`: pictures of discs, squares and triangles with the kind of every pixel: 600 to train with, 150 to test with.

Sample shape (3, 32, 32), bytes, and for each picture a label map (32, 32): 0 background, 1 disc, 2 square, 3 triangle.
Each picture has three figures of random place, size and colour on a noisy ground; later ones cover earlier ones. All is
drawn from a fixed seed, so it is the same everywhere.

Source: layerkit's own, for segmentation without a download.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from layerkit.blob import Array
from layerkit.datasets.dataset import Dataset
from layerkit.datasets.source import ArraySource, Header, Source

CLASS_NAMES = ("background", "disc", "square", "triangle")
LENGTHS = {"train": 600, "test": 150}
SIZE = 32
FIGURES = 3  # in each picture


class Shapes(Dataset):
    """Figures, with the kind of every pixel. It takes no source."""

    type: Literal["shapes"] = "shapes"

    def describe(self, source: str | None, part: str) -> Header:
        """Known without drawing anything. Raises DataError if a `source` is given: the set is drawn."""
        self.no_source(source)
        byte = np.dtype(np.uint8)
        shapes = {"data": (3, SIZE, SIZE), "label": (SIZE, SIZE)}
        return Header(shapes, {"data": byte, "label": byte}, LENGTHS[part], CLASS_NAMES)

    def open(self, source: str | None, part: str) -> Source:
        """The pictures of one part. Raises DataError if a `source` is given."""
        self.no_source(source)
        count = LENGTHS[part]
        rng = np.random.default_rng(count)
        labels = np.zeros((count, SIZE, SIZE), np.uint8)
        data = rng.uniform(60, 120, (count, 3, 1, 1)) + rng.normal(0, 12, (count, 3, SIZE, SIZE))
        for _ in range(FIGURES):
            kind = rng.integers(1, len(CLASS_NAMES), (count, 1, 1))
            inside = _inside(kind, rng.uniform(6, SIZE - 6, (2, count, 1, 1)), rng.uniform(4, 8, (count, 1, 1)))
            colour = rng.choice(
                [rng.uniform(0, 50, count), rng.uniform(140, 255, count)], axis=0
            )  # away from the ground
            tint = rng.uniform(-35, 35, (count, 3, 1, 1))
            shade = colour[:, None, None, None] + tint + rng.normal(0, 12, (count, 3, SIZE, SIZE))
            data = np.where(inside[:, None], shade, data)
            labels = np.where(inside, kind.astype(np.uint8), labels)
        return ArraySource("shapes", {"data": np.clip(data, 0, 255).astype(np.uint8), "label": labels}, CLASS_NAMES)


def _inside(kind: Array, centre: Array, radius: Array) -> Array:
    """Which pixels lie within the figures of these kinds (N, 1, 1), centres (2, N, 1, 1) and radii: (N, SIZE, SIZE)."""
    y, x = np.mgrid[:SIZE, :SIZE]
    down, right = y - centre[0], x - centre[1]  # (N, SIZE, SIZE)
    disc = down**2 + right**2 <= radius**2
    square = np.maximum(abs(down), abs(right)) <= 0.85 * radius
    triangle = (down <= 0.8 * radius) & (2 * abs(right) <= down + 1.2 * radius)  # its tip is up
    return np.select([kind == 1, kind == 2], [disc, square], triangle)
