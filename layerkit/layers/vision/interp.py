"""Interp: images brought to another size, with straight lines between their elements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops
from layerkit.layers.vision.window import Index
from layerkit.registry import register
from layerkit.tangents import affine


@register
class Interp(Layer):
    """Brings images to another size by (bi)linear interpolation that keeps the corners.

    One spatial axis after the other, with r = i (size - 1) / (size' - 1), the place of element i of the top:

        y[i] = (1 - r + floor(r)) x[floor(r)] + (r - floor(r)) x[floor(r) + 1]

    Bottoms: (N, C, size...); optionally a second one, whose spatial axes give the size of the top and whose values
    are not read.
    Tops: (N, C, size'...). After the cropping that negative `pad_beg` and `pad_end` stand for, size' is
    height and width; or (size - 1) / shrink_factor + 1, rounded down, and then (size - 1) zoom_factor + 1.
    Raises ShapeError where the size is not given in one way, or nothing is left after cropping.

    Example: {name: score, type: Interp, bottom: fc8, zoom_factor: 8}

    Source: Chen et al. 2015 (DeepLab), Zhao et al. 2017 (PSPNet); interp_layer.cpp of their forks of Caffe.
    """

    class Params(LayerParams):
        height: int | None = Field(None, gt=0, description="Height of the top, with width; two spatial axes only.")
        width: int | None = Field(None, gt=0, description="Width of the top, with height; two spatial axes only.")
        zoom_factor: int | None = Field(None, gt=0, description="Steps of the top for one step of the bottom.")
        shrink_factor: int | None = Field(None, gt=0, description="Steps of the bottom for one step of the top.")
        pad_beg: int = Field(0, le=0, description="Cropping: so many elements, as a negative number, at the beginning.")
        pad_end: int = Field(0, le=0, description="Cropping: so many elements, as a negative number, at the end.")

    bottoms = (1, 2)

    def plan(self, *bottoms: Shape) -> Plan:
        shape = bottoms[0]
        if len(shape) < 3:
            raise ShapeError(f"Interp needs a bottom (N, C, spatial axes), not {shape_text(shape)}", "bottom")
        cropped = tuple(n + self.params.pad_beg + self.params.pad_end for n in shape[2:])
        if min(cropped) < 1:
            raise ShapeError(f"cropping leaves nothing of {shape_text(shape)}", "pad_beg")
        size = self._size(shape, cropped, bottoms[1:])
        stages = [(*shape[:2], *size[:done], *cropped[done:]) for done in range(1, len(size))]
        return Plan(
            tops=[(*shape[:2], *size)],
            scratch=[Scratch(f"stage{i}", stage, like_blob=True) for i, stage in enumerate(stages)],
            gradients=(True, False)[: len(bottoms)],
            reads_bottoms=(),
            reads_tops=(),
            by_rows=True,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        stages = self._stages(bottom[0].data, top[0].data)
        for axis, (x, y) in enumerate(pairwise(stages), start=2):
            for i, low, high, part in _places(x, y, axis):
                np.multiply(x[low], 1 - part, out=y[i])
                if part:
                    y[i] += part * x[high]

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if not propagate_down[0]:
            return
        bottom[0].diff[...] = 0  # also where it was cropped
        stages = self._stages(bottom[0].diff, top[0].diff)
        for axis, (dx, dy) in reversed(list(enumerate(pairwise(stages), start=2))):
            dx[...] = 0
            for i, low, high, part in _places(dx, dy, axis):
                dx[low] += (1 - part) * dy[i]
                if part:
                    dx[high] += part * dy[i]

    jvp = affine

    def _stages(self, x: Array, y: Array) -> list[Array]:
        """The cropped bottom, what is there after each of the axes, and the top."""
        p, axes = self.params, x.ndim - 2
        kept: Index = (..., *(slice(-p.pad_beg, n + p.pad_end) for n in x.shape[2:]))
        return [x[kept], *(getattr(self.scratch, f"stage{i}") for i in range(axes - 1)), y]

    def _size(self, shape: Shape, cropped: Shape, like: Sequence[Shape]) -> Shape:
        """The spatial axes of the top."""
        p = self.params
        pair, factors = (p.height, p.width), (p.zoom_factor, p.shrink_factor)
        if (pair != (None, None)) + (factors != (None, None)) + len(like) != 1:
            raise ShapeError(
                "the size of the top is given in one way: by height and width, by zoom_factor and shrink_factor, "
                "or by a second bottom",
                "bottom" if like else "height",
            )
        if like:
            if len(like[0]) != len(shape) or min(like[0][2:]) < 1:
                raise ShapeError(
                    f"a bottom {shape_text(shape)} cannot be brought to the size of {shape_text(like[0])}", "bottom"
                )
            return like[0][2:]
        if factors != (None, None):
            zoom, shrink = (factor or 1 for factor in factors)
            return tuple((n - 1) // shrink * zoom + 1 for n in cropped)
        if len(cropped) != 2 or None in pair:
            raise ShapeError(f"height and width are given together, for two spatial axes, not {len(cropped)}", "height")
        return (p.height, p.width)


def _places(x: Array, y: Array, axis: int) -> Iterator[tuple[Index, Index, Index, float]]:
    """For each place of y on an axis: its index, those of the two x beside it, and how far it is from the first."""
    before = (slice(None),) * axis
    size, steps = x.shape[axis], max(1, y.shape[axis] - 1)
    for i in range(y.shape[axis]):
        low, rest = divmod(i * (size - 1), steps)
        yield (*before, i), (*before, low), (*before, min(low + 1, size - 1)), rest / steps
