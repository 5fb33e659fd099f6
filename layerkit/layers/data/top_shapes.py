"""The shapes of the tops of a layer without bottoms."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from layerkit.blob import Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.words import counted

Length = Annotated[int, Field(ge=0)]
Dims = list[Length]


def top_shapes(given: Dims | list[Dims], tops: int) -> list[Shape]:
    """One shape for all tops, or one each. Raises ShapeError where there are neither one nor as many as tops."""
    shapes = [tuple(each) for each in given if isinstance(each, list)]
    if not shapes:
        shapes = [tuple(length for length in given if isinstance(length, int))]
    if len(shapes) not in (1, tops):
        listed = ", ".join(map(shape_text, shapes))
        raise ShapeError(f"it has {counted(tops, 'top')} but {counted(len(shapes), 'shape')}: {listed}", "shape")
    return shapes * tops if len(shapes) == 1 else shapes
