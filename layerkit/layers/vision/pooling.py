"""Pooling: one number for each window."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, Plan, Scratch, Tops
from layerkit.layers.vision.window import (
    Step,
    WindowParams,
    Windows,
    few_images,
    gather,
    images_at_once,
    per_axis,
    scatter,
    too_large,
)
from layerkit.registry import register


@register
class Pooling(Layer):
    """Makes one number of each window: its largest, its mean, or one drawn at random.

    For the elements x of each window

        MAX                 y = max x; the gradient goes to the first of the largest in scan order
        AVE                 y = sum x / area; area counts the padding, but nothing beyond it
        STOCHASTIC, train   y = one x, drawn with probability x / sum x; the gradient goes to it
        STOCHASTIC, else    y = sum x^2 / sum x, the expectation of that; 0 where the sum is 0

    STOCHASTIC is for x >= 0 (behind a ReLU); where negative values leave nothing to draw, y is 0.

    Bottoms: (N, C, size...), any number of spatial axes.
    Tops: (N, C, count...), count = (size + 2 pad - kernel) / stride + 1, rounded as `round_mode` says, but a last
    window that would begin beyond the bottom is left out; for MAX optionally, of the same shape, where each maximum
    lies: its index in the bottom's spatial plane, row by row (-1 for a maximum of NaN).
    Raises ShapeError where the kernel is too large, where pad is not smaller than it, and for padded STOCHASTIC.
    Without padding Caffe keeps that last window, of no elements, and writes -3.4e38 or nan for it.

    Example: {name: pool1, type: Pooling, pool: MAX, kernel_size: 3, stride: 2}

    Source: Zeiler and Fergus 2013 (STOCHASTIC); Caffe's pooling_layer.cpp and pooling_layer.cu.
    """

    class Params(WindowParams):
        pool: Literal["MAX", "AVE", "STOCHASTIC"] = Field("MAX", description="What is made of a window's elements.")
        global_pooling: bool = Field(
            False, description="Whether one window covers everything; then no kernel is given."
        )
        round_mode: Literal["CEIL", "FLOOR"] = Field(
            "CEIL", description="CEIL: a last window may reach beyond the padding. FLOOR: it is left out."
        )

    tops = (1, 2)

    def plan(self, *bottoms: Shape) -> Plan:
        (shape,) = bottoms
        if len(shape) < 3:
            raise ShapeError(f"Pooling needs a bottom (N, C, spatial axes), not {shape_text(shape)}", "bottom")
        if self.num_tops == 2 and self.params.pool != "MAX":
            pool = self.params.pool
            raise ShapeError(f"only MAX pooling has a second top (where each maximum lies), not {pool}", "pool")
        top = (*shape[:2], *self.windows(shape).count)
        share = Scratch("share", top)
        few = (images_at_once(shape), *top[1:])
        work = {
            "MAX": [Scratch("share", few), Scratch("taken", few, "bool"), Scratch("hit", few, "bool")],
            "AVE": [share],
            "STOCHASTIC": [
                share,
                Scratch("sum", top),
                Scratch("level", top),
                Scratch("drawn", top, "int32", keep=True),
            ],
            "EXPECTED": [share, Scratch("sum", top, keep=True), Scratch("product", shape)],
        }
        reads = {0} if self._rule in ("MAX", "EXPECTED") else set()
        return Plan(
            tops=[top] * self.num_tops,
            scratch=work[self._rule],
            random=self._rule == "STOCHASTIC",
            reads_bottoms=reads,
            reads_tops=reads,
            by_rows=self._rule != "STOCHASTIC",
        )

    @property
    def _rule(self) -> str:
        stochastic = self.params.pool == "STOCHASTIC"
        return "EXPECTED" if stochastic and self.phase != "train" else str(self.params.pool)

    def windows(self, shape: Shape) -> Windows:
        """The windows over a bottom of this shape. Raises ShapeError where they do not fit."""
        p, size, axes = self.params, shape[2:], len(shape) - 2
        stride, pad = per_axis(p, "stride", axes, 1), per_axis(p, "pad", axes, 0)
        if p.global_pooling:
            if p.kernel_size or p.kernel_h or p.kernel_w:
                raise ShapeError("global_pooling sets the kernel; do not give one", "kernel_size")
            if any(pad) or any(step != 1 for step in stride):
                raise ShapeError("global_pooling needs pad 0 and stride 1", "global_pooling")
        kernel = size if p.global_pooling else per_axis(p, "kernel_size", axes)
        if any(pad) and p.pool == "STOCHASTIC":
            raise ShapeError("STOCHASTIC pooling has no padding", "pad")
        if any(margin >= k for margin, k in zip(pad, kernel, strict=True)):
            raise ShapeError(f"pad {shape_text(pad)} must be smaller than the kernel {shape_text(kernel)}", "pad")
        rounded = math.ceil if p.round_mode == "CEIL" else math.floor
        count = []
        for s, k, step, margin in zip(size, kernel, stride, pad, strict=True):
            n = rounded((s + 2 * margin - k) / step) + 1
            count.append(n - 1 if (n - 1) * step >= s + margin else n)
        if min(count) < 1 or min(size) < 1:
            raise too_large(kernel, tuple(s + 2 * margin for s, margin in zip(size, pad, strict=True)))
        return Windows(size, tuple(count), kernel, stride, pad, (1,) * axes)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, y, windows = bottom[0].data, top[0].data, self.windows(bottom[0].shape)
        match self._rule:
            case "MAX":
                gather(np.maximum, x, windows, y, -np.inf)
                if len(top) == 2:
                    self._locate(x, y, windows, top[1].data)
            case "AVE":
                gather(np.add, x, windows, y, 0)
                y /= windows.areas.astype(y.dtype)
            case "STOCHASTIC":
                self._draw(x, y, windows)
            case "EXPECTED":
                squares, total = self.scratch.product, self.scratch.sum
                gather(np.add, x, windows, total, 0)
                gather(np.add, np.square(x, out=squares), windows, y, 0)
                np.divide(y, total, out=y, where=total != 0)
                np.copyto(y, 0, where=total == 0)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if not propagate_down[0]:
            return
        x, dx, windows = bottom[0].data, bottom[0].diff, self.windows(bottom[0].shape)
        y, dy = top[0].data, top[0].diff
        dx[...] = 0
        match self._rule:
            case "MAX":
                for few in few_images(x.shape):
                    share = self.scratch.share[: len(x[few])]
                    for step, hit in self._first_hits(x[few], y[few], windows):
                        dx[few][step.bottom] += np.multiply(dy[few][step.windows], hit, out=share[step.windows])
            case "AVE":
                scatter(np.divide(dy, windows.areas.astype(dy.dtype), out=self.scratch.share), windows, dx)
            case "STOCHASTIC":
                for i, step in enumerate(windows.steps):
                    hit = self.scratch.drawn[step.windows] == i
                    dx[step.bottom] += np.multiply(dy[step.windows], hit, out=self.scratch.share[step.windows])
            case "EXPECTED":  # dy/dx = (2 x - y) / sum x, 0 where that is 0
                share, total = self.scratch.share, self.scratch.sum
                share[...] = 0
                np.divide(dy, total, out=share, where=total != 0)
                scatter(share, windows, dx)
                dx *= np.multiply(x, 2, out=self.scratch.product)
                share *= y
                scatter(np.negative(share, out=share), windows, dx)

    def jvp(
        self, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], top_tangent: Sequence[Array]
    ) -> None:
        for out in top_tangent:
            out[...] = 0
        t, out = bottom_tangent[0], top_tangent[0]
        if t is None:
            return
        x, y, windows = bottom[0].data, top[0].data, self.windows(bottom[0].shape)
        match self._rule:
            case "MAX":
                for few in few_images(x.shape):
                    for step, hit in self._first_hits(x[few], y[few], windows):
                        out[few][step.windows] += t[few][step.bottom] * hit
            case "AVE":
                gather(np.add, t, windows, out, 0)
                out /= windows.areas.astype(out.dtype)
            case "STOCHASTIC":
                for i, step in enumerate(windows.steps):
                    out[step.windows] += t[step.bottom] * (self.scratch.drawn[step.windows] == i)
            case "EXPECTED":
                total, moved = self.scratch.sum, np.empty_like(out)
                gather(np.add, 2 * x * t, windows, out, 0)
                gather(np.add, t, windows, moved, 0)
                np.divide(out - y * moved, total, out=out, where=total != 0)
                np.copyto(out, 0, where=total == 0)

    def _first_hits(self, x: Array, y: Array, windows: Windows) -> Iterator[tuple[Step, Array]]:
        """For each kernel element: in which windows it is the first that equals the maximum."""
        all_taken, all_hit = self.scratch.taken[: len(x)], self.scratch.hit[: len(x)]
        all_taken[...] = False
        for step in windows.steps:
            taken, hit = all_taken[step.windows], all_hit[step.windows]
            np.equal(x[step.bottom], y[step.windows], out=hit)
            np.greater(hit, taken, out=hit)  # hit and not taken
            np.logical_or(taken, hit, out=taken)
            yield step, hit

    def _locate(self, x: Array, y: Array, windows: Windows, mask: Array) -> None:
        plane = np.arange(math.prod(windows.size), dtype=mask.dtype).reshape(windows.size)
        mask[...] = -1
        for few in few_images(x.shape):
            for step, hit in self._first_hits(x[few], y[few], windows):
                np.copyto(mask[few][step.windows], plane[step.bottom], where=hit)

    def _draw(self, x: Array, y: Array, windows: Windows) -> None:
        """Walk through each window until the running sum reaches a level drawn uniformly from (0, sum x]."""
        total, level, drawn = self.scratch.sum, self.scratch.level, self.scratch.drawn
        total[...] = 0
        for step in windows.steps:  # summed in the order of the walk, so that the walk ends at exactly this sum
            total[step.windows] += x[step.bottom]
        np.multiply(1 - self.rng.random(level.shape), total, out=level, casting="same_kind")
        running = total
        running[...], drawn[...], y[...] = 0, -1, 0
        for i, step in enumerate(windows.steps):
            part, so_far, element = drawn[step.windows], running[step.windows], x[step.bottom]
            so_far += element
            here = (so_far >= level[step.windows]) & (part < 0)
            np.copyto(part, i, where=here)
            np.copyto(y[step.windows], element, where=here)
