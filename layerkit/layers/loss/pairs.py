"""Two bottoms that are compared number by number."""

from __future__ import annotations

import math

from layerkit.blob import Shape, shape_text
from layerkit.errors import ShapeError


def check_pairs(a: Shape, b: Shape) -> None:
    """Raises ShapeError unless both hold as many numbers in as many samples; their other axes may differ."""
    if not a or a[:1] != b[:1] or math.prod(a) != math.prod(b):
        raise ShapeError(
            f"the bottoms need as many numbers in as many samples, but they are {shape_text(a)} and {shape_text(b)}",
            "bottom",
        )
