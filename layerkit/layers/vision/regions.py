"""Regions of interest: (n, x1, y1, x2, y2), the number of an image and two corners in its pixels."""

from __future__ import annotations

import math

import numpy as np

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import DataError, ShapeError

Span = tuple[int, int]
"""Begin and end (excluded) of a bin on one axis."""


def check_shapes(kind: str, features: Shape, regions: Shape) -> None:
    """Raise ShapeError unless these are features (N, C, H, W) and regions (R, 5), as a layer of this type needs."""
    if len(features) != 4 or min(features[2:]) < 1:
        raise ShapeError(f"{kind} needs features (N, C, H, W), not {shape_text(features)}", "bottom")
    if not regions or math.prod(regions[1:]) != 5:
        raise ShapeError(f"{kind} needs regions of shape (R, 5), not {shape_text(regions)}", "bottom")


def check_regions(regions: Array, images: int) -> None:
    """Raise DataError for a region with a number of no image, or whose corners are not finite."""
    for r, region in enumerate(regions.reshape(-1, 5)):
        n = region[0]
        if not (0 <= n < images and n % 1 == 0):
            raise DataError(f"region {r} is of image {n:g}, but there are the images 0..{images - 1}")
        if not np.isfinite(region).all():
            raise DataError(
                f"region {r} has a corner that is not finite: {', '.join(f'{each:g}' for each in region[1:])}"
            )


def rounded(value: float) -> int:
    """C's round: to the nearest whole number, halves away from 0; no further from 0 than features can ever reach."""
    return int(math.copysign(min(math.floor(abs(value) + 0.5), 1 << 30), value))
