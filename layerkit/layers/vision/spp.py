"""SPP: a pyramid of poolings."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Literal

from pydantic import Field

from layerkit.blob import Array, Blob, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops
from layerkit.layers.vision.pooling import Pooling
from layerkit.registry import register


@register
class SPP(Layer):
    """Spatial pyramid pooling: as many numbers from images of any size.

    Level l = 0 .. pyramid_height - 1 pools with 2^l windows on each spatial axis:

        kernel = stride = ceil(size / 2^l), pad = floor((kernel 2^l - size + 1) / 2)

    Bottoms: (N, C, size...), any number of spatial axes.
    Tops: (N, features): each level's (N, C, count...) flattened, one level after the other; with a pyramid_height of 1
    that one level as it is, (N, C, 1...).
    Raises ShapeError where a level's padding is as large as its kernel, and for padded STOCHASTIC.

    Example: {name: spp, type: SPP, bottom: conv5, pyramid_height: 3, pool: MAX}

    Source: He et al. 2014; Caffe's spp_layer.cpp.
    """

    class Params(LayerParams):
        pyramid_height: int = Field(gt=0, description="Number of levels.")
        pool: Literal["MAX", "AVE", "STOCHASTIC"] = Field("MAX", description="What is made of a window's elements.")

    def plan(self, *bottoms: Shape) -> Plan:
        (shape,) = bottoms
        if len(shape) < 3 or min(shape[2:]) < 1:
            raise ShapeError(f"SPP needs a bottom (N, C, spatial axes), not {shape_text(shape)}", "bottom")
        plans = []
        for level in range(self.params.pyramid_height):
            try:
                plans.append(self._pooling(level, shape).plan(shape))
            except ShapeError as error:
                raise ShapeError(
                    f"level {level} of the pyramid, of {2**level} windows on an axis, does not fit "
                    f"{shape_text(shape)}: {error}",
                    "pyramid_height",
                ) from None
        tops = [plan.tops[0] for plan in plans]
        features = sum(math.prod(top[1:]) for top in tops)
        scratch = [
            Scratch(f"level{level}_{each.name}", each.shape, each.dtype, each.keep, each.like_blob)
            for level, plan in enumerate(plans)
            for each in plan.scratch
        ]
        return Plan(
            tops=tops if len(tops) == 1 else [(shape[0], features)],
            scratch=[*scratch, Scratch("part", shape if len(tops) > 1 else (0,), like_blob=True)],
            random=plans[0].random,
            reads_bottoms=plans[0].reads_bottoms,
            reads_tops=plans[0].reads_tops,
            by_rows=plans[0].by_rows,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        shape = bottom[0].shape
        for level, y in enumerate(self._parts(shape, top[0].data)):
            self._pooling(level, shape).forward(bottom, [Blob.of(y)])

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if not propagate_down[0]:
            return
        x, dx = bottom[0].data, bottom[0].diff
        tops = zip(self._parts(x.shape, top[0].data), self._parts(x.shape, top[0].diff), strict=True)
        for level, (y, dy) in enumerate(tops):
            diff = self.scratch.part if level else dx
            self._pooling(level, x.shape).backward([Blob.of(y, dy)], [True], [Blob.of(x, diff)])
            if level:
                dx += diff

    def jvp(
        self, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], top_tangent: Sequence[Array]
    ) -> None:
        shape = bottom[0].shape
        parts = zip(self._parts(shape, top[0].data), self._parts(shape, top_tangent[0]), strict=True)
        for level, (y, out) in enumerate(parts):
            self._pooling(level, shape).jvp(bottom, [Blob.of(y)], bottom_tangent, [out])

    def _parts(self, shape: Shape, top: Array) -> Iterator[Array]:
        """Each level's part of the top or its diff, as (N, C, count...)."""
        if self.params.pyramid_height == 1:
            yield top
            return
        end = 0
        for level in range(self.params.pyramid_height):
            part = (*shape[:2], *self._pooling(level, shape).windows(shape).count)
            start, end = end, end + math.prod(part[1:])
            yield top[:, start:end].reshape(part, copy=False)

    def _pooling(self, level: int, shape: Shape) -> Pooling:
        """A level's pooling, working in this layer's scratch and drawing from its generator."""
        pooling = Pooling(_params(self.params.pool, 2**level, shape[2:]), self.phase)
        pooling.rng = self.rng
        prefix = f"level{level}_"
        own: dict[str, Array] = vars(self.scratch)
        pooling.scratch = SimpleNamespace(
            **{name.removeprefix(prefix): array for name, array in own.items() if name.startswith(prefix)}
        )
        return pooling


@functools.lru_cache(maxsize=256)
def _params(pool: str, bins: int, size: Shape) -> Pooling.Params:
    """The parameters of a pooling with so many windows on each axis."""
    kernel = [math.ceil(n / bins) for n in size]
    pad = [(k * bins - n + 1) // 2 for k, n in zip(kernel, size, strict=True)]
    return Pooling.Params.model_validate({"pool": pool, "kernel_size": kernel, "stride": kernel, "pad": pad})
