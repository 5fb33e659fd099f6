"""Unpooling: a pooling undone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from layerkit.blob import Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, Plan, Scratch, Tops, same_shape
from layerkit.layers.vision.mask import check_mask, put, take
from layerkit.layers.vision.window import Positive, WindowParams, Windows, gather, per_axis, scatter
from layerkit.registry import register
from layerkit.tangents import affine


@register
class Unpooling(Layer):
    """Spreads each element over the window from which a pooling would have made it.

        MAX with a mask   y[n, c, mask[n, c, j]] = x[n, c, j], 0 elsewhere
        MAX               the first element of window j = x[n, c, j], 0 elsewhere
        AVE               each element of window j gets x[n, c, j] / area; area counts the padding, as in Pooling
        TILE              each element of window j gets x[n, c, j]

    Where windows overlap, AVE and TILE add up. Where a mask has a place several times, the last x in scan order
    remains, and it alone gets the gradient.

    Bottoms: x (N, C, size...), any number of spatial axes; for MAX optionally a mask of the same shape, as Pooling's
    second top holds it.
    Tops: (N, C, unpool_size...); without unpool_size (N, C, (size - 1) stride + kernel - 2 pad...).
    Raises ShapeError where the windows do not fit the top, DataError for a mask that points outside the top.

    Example: {name: unpool5, type: Unpooling, bottom: [deconv6, pool5_mask], unpool: MAX, kernel_size: 2, stride: 2,
        unpool_size: 14}

    Source: Noh et al. 2015 (DeconvNet); unpooling_layer.cpp of its fork of Caffe, with the gradient of TILE put right.
    """

    class Params(WindowParams):
        unpool: Literal["MAX", "AVE", "TILE"] = Field("MAX", description="What the elements of a window become.")
        unpool_size: list[Positive] = Field(
            [], description="Size of the top: one value, or one per spatial axis; else just what the windows cover."
        )
        unpool_h: Positive | None = Field(None, description="Height of the top, with unpool_w; two spatial axes only.")
        unpool_w: Positive | None = Field(None, description="Width of the top, with unpool_h; two spatial axes only.")

    bottoms = (1, 2)

    def plan(self, *bottoms: Shape) -> Plan:
        p, shape, masked = self.params, same_shape(bottoms), len(bottoms) == 2
        if len(shape) < 3:
            raise ShapeError(f"Unpooling needs a bottom (N, C, spatial axes), not {shape_text(shape)}", "bottom")
        if masked and p.unpool != "MAX":
            raise ShapeError(f"only MAX unpooling has a mask for its second bottom, not {p.unpool}", "unpool")
        windows = self._windows(shape)
        if p.unpool == "MAX" and not masked and any(windows.pad):
            raise ShapeError("MAX unpooling without a mask has no padding", "pad")
        last = max(
            (n - 1) * step - pad - size + 1
            for n, step, pad, size in zip(windows.count, windows.stride, windows.pad, windows.size, strict=True)
        )
        if last > 0 and not masked:
            raise ShapeError(
                f"the last window begins behind the end of a top {shape_text(windows.size)}", "unpool_size"
            )
        top = (*shape[:2], *windows.size)
        scratch = [Scratch("last", top[1:], "int32")] if masked else []
        return Plan(
            tops=[top],
            scratch=[Scratch("share", shape, like_blob=True)] if p.unpool == "AVE" else scratch,
            gradients=(True, False)[: len(bottoms)],
            reads_bottoms={1} if masked else (),
            reads_tops=(),
            by_rows=True,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, y = bottom[0].data, top[0].data
        windows = self._windows(x.shape)
        if len(bottom) == 2:
            check_mask(bottom[1].data, y.shape[2:])
            put(x, bottom[1].data, y)
            return
        y[...] = 0
        match self.params.unpool:
            case "MAX":
                y[windows.steps[0].bottom] = x
            case "AVE":
                scatter(np.divide(x, windows.areas.astype(x.dtype), out=self.scratch.share), windows, y)
            case "TILE":
                scatter(x, windows, y)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if not propagate_down[0]:
            return
        dx, dy = bottom[0].diff, top[0].diff
        windows = self._windows(dx.shape)
        if len(bottom) == 2:
            take(dy, bottom[1].data, self.scratch.last, dx)
        elif self.params.unpool == "MAX":
            dx[...] = dy[windows.steps[0].bottom]
        else:
            gather(np.add, dy, windows, dx, 0)
            if self.params.unpool == "AVE":
                dx /= windows.areas.astype(dx.dtype)

    jvp = affine

    def _windows(self, shape: Shape) -> Windows:
        """The windows over the top, one for each element of the bottom."""
        p, count, axes = self.params, shape[2:], len(shape) - 2
        kernel = per_axis(p, "kernel_size", axes)
        stride, pad = per_axis(p, "stride", axes, 1), per_axis(p, "pad", axes, 0)
        if any(margin >= k for margin, k in zip(pad, kernel, strict=True)):
            raise ShapeError(f"pad {shape_text(pad)} must be smaller than the kernel {shape_text(kernel)}", "pad")
        covered = tuple(
            (n - 1) * step + k - 2 * margin for n, step, k, margin in zip(count, stride, kernel, pad, strict=True)
        )
        given = p.unpool_size or p.unpool_h or p.unpool_w
        size = per_axis(p, "unpool_size", axes) if given else covered
        if min(count) < 1 or min(size) < 1:
            raise ShapeError(f"nothing is left of the top of a bottom {shape_text(shape)}", "bottom")
        return Windows(size, count, kernel, stride, pad, (1,) * axes)
