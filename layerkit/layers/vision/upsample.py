"""Upsample: images made larger, by a pooling's mask or by repeating their elements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops, same_shape
from layerkit.layers.vision.mask import check_mask, put, take
from layerkit.layers.vision.window import Positive, Windows, gather, per_axis, scatter
from layerkit.registry import register
from layerkit.tangents import affine


@register
class Upsample(Layer):
    """Makes images larger: puts elements back to where a max pooling took them, or repeats them.

    With a mask, as in SegNet, or without one (the nearest neighbour), as in YOLO's networks:

        y[n, c, mask[n, c, j]] = x[n, c, j], 0 elsewhere
        y[n, c, i] = x[n, c, floor(i / scale)]

    Where a mask has a place several times, the last x in scan order remains, and it alone gets the gradient.

    Bottoms: x (N, C, size...); optionally a mask of the same shape, as Pooling's second top holds it.
    Tops: (N, C, size * scale...); with a mask, one less where `pad_out_h` or `pad_out_w` says so (for a pooling of
    an odd size), or (N, C, upsample_h, upsample_w).
    Raises ShapeError where the parameters do not fit the bottoms, DataError for a mask that points outside the top.

    Example: {name: up4, type: Upsample, bottom: [conv5, pool4_mask], scale: 2, upsample_h: 45, upsample_w: 60}

    Source: Badrinarayanan et al. 2015; upsample_layer.cpp of SegNet's fork of Caffe, and of YOLO's forks.
    """

    class Params(LayerParams):
        scale: list[Positive] = Field([], description="Factor of the size: one value (2), or one per spatial axis.")
        scale_h: Positive | None = Field(None, description="Factor of the height, with scale_w; two spatial axes only.")
        scale_w: Positive | None = Field(None, description="Factor of the width, with scale_h; two spatial axes only.")
        pad_out_h: bool = Field(False, description="Whether the top has a row less; with a mask and scale 2.")
        pad_out_w: bool = Field(False, description="Whether the top has a column less; with a mask and scale 2.")
        upsample_h: Positive | None = Field(None, description="The top's height, in place of scale; with a mask.")
        upsample_w: Positive | None = Field(None, description="The top's width, in place of scale; with a mask.")

    bottoms = (1, 2)

    def plan(self, *bottoms: Shape) -> Plan:
        shape = same_shape(bottoms)
        if len(shape) < 3:
            raise ShapeError(f"Upsample needs a bottom (N, C, spatial axes), not {shape_text(shape)}", "bottom")
        masked = len(bottoms) == 2
        top = (*shape[:2], *(self._size(shape) if masked else self._windows(shape).size))
        return Plan(
            tops=[top],
            scratch=[Scratch("last", top[1:], "int32")] if masked else [],
            gradients=(True, False)[: len(bottoms)],
            reads_bottoms={1} if masked else (),
            reads_tops=(),
            by_rows=True,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, y = bottom[0].data, top[0].data
        if len(bottom) == 2:
            check_mask(bottom[1].data, y.shape[2:])
            put(x, bottom[1].data, y)
        else:
            y[...] = 0
            scatter(x, self._windows(x.shape), y)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if not propagate_down[0]:
            return
        dx, dy = bottom[0].diff, top[0].diff
        if len(bottom) == 2:
            take(dy, bottom[1].data, self.scratch.last, dx)
        else:
            gather(np.add, dy, self._windows(dx.shape), dx, 0)

    jvp = affine

    def _windows(self, shape: Shape) -> Windows:
        """For each element of the bottom the window of the top that repeats it."""
        p, count, axes = self.params, shape[2:], len(shape) - 2
        for field in ("upsample_h", "upsample_w", "pad_out_h", "pad_out_w"):
            if getattr(p, field):
                raise ShapeError(f"{field} is for two bottoms: what to make larger, and a mask", field)
        scale = per_axis(p, "scale", axes, 2)
        size = tuple(n * factor for n, factor in zip(count, scale, strict=True))
        return Windows(size, count, scale, scale, (0,) * axes, (1,) * axes)

    def _size(self, shape: Shape) -> Shape:
        """The size of a top that a mask points into."""
        p, axes = self.params, len(shape) - 2
        if p.upsample_h or p.upsample_w:
            if axes != 2:
                raise ShapeError(f"upsample_h and upsample_w are for two spatial axes, not for {axes}", "upsample_h")
            if not (p.upsample_h and p.upsample_w):
                raise ShapeError("upsample_h and upsample_w must be given together", "upsample_h")
            return (p.upsample_h, p.upsample_w)
        scale = per_axis(p, "scale", axes, 2)
        less = (p.pad_out_h, p.pad_out_w) if axes == 2 else (False,) * axes
        for field, factor in zip(("pad_out_h", "pad_out_w"), scale if axes == 2 else (1, 1), strict=True):
            if getattr(p, field) and factor != 2:
                raise ShapeError(f"{field} is for two spatial axes with a scale of 2", field)
        return tuple(n * factor - one for n, factor, one in zip(shape[2:], scale, less, strict=True))
