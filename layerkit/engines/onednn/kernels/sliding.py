"""What the kernels of Convolution and Deconvolution have in common: oneDNN's convolution between images and pixels."""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import cached_property
from typing import Any

from layerkit.blob import Array, Shape
from layerkit.engines.kernel import Kernel, Run, Work, adding
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.kernels.common import Packed, Unpacked, blob_desc, is_narrow
from layerkit.engines.onednn.kernels.products import (
    PatchProduct,
    WeightGradient,
    as_rows,
    channel_sums,
    multiply,
    neighbours,
)
from layerkit.engines.onednn.kernels.winograd import TileProduct
from layerkit.engines.onednn.primitives import Attributes, Context, Desc, Primitive

MANY = 64
"""Numbers that must be copied as one for patches to be worth laying out: channels, and of neighbours too."""


class Sliding(Kernel):
    """oneDNN's direct convolution. Weights are packed into its own blocked format, which is where its speed is from.

    It leads from images (N, C, size...), a Convolution's bottoms, to pixels (N, P, count...), its tops; in a
    Deconvolution the other way round. The weights (P, C / G, kernel...) lie alike in both. Without AVX-512 oneDNN's own
    gradients are slow for many channels, and other ways to the same numbers take their place.
    """

    def __init__(
        self,
        context: Context,
        work: Work,
        images: Shape,
        pixels: Shape,
        *,
        has_bias: bool,
        attributes: Attributes | None = None,
    ):
        layer: Any = work.layer
        self.context, self.layer, self.learns = context, layer, work.learns
        self.layout = windows = layer.windows(work.bottoms[0])
        dilation = tuple(step - 1 for step in windows.dilation)
        self.windows = (windows.stride, dilation, windows.pad, windows.pad)
        groups = layer.group
        kernels = (pixels[1] // groups, images[1] // groups, *windows.kernel)
        self.kernels = kernels if groups == 1 else (groups, *kernels)
        self.shapes = (images, pixels)
        self.images, self.pixels = blob_desc(context, images), blob_desc(context, pixels)
        self.plain = context.desc(self.kernels)
        self.primitive = context.primitive(
            "convolution_forward",
            c.TRAINING if work.trains else c.INFERENCE,
            c.CONVOLUTION_DIRECT,
            self.images,
            context.free(self.kernels),
            context.desc((pixels[1],)) if has_bias else None,
            self.pixels,
            *self.windows,
            attributes=attributes,
        )
        """From images to pixels."""
        self.multiplies = len(images) > 3 and is_narrow(self.primitive)
        """Whether gradients may be products of matrices, which are faster where there is no AVX-512."""
        self.pointwise = self.multiplies and groups == 1 and windows.pointwise
        """Whether they are products of images and pixels as they lie."""
        self.reads_bottoms = range(len(work.bottoms))

    @cached_property
    def transposed(self) -> Primitive:
        """From pixels to images, by the transposed matrix; made where it is needed."""
        return self.context.primitive(
            "convolution_backward_data",
            c.CONVOLUTION_DIRECT,
            self.images,
            self.context.free(self.kernels),
            self.pixels,
            *self.windows,
            self.primitive,
        )

    @cached_property
    def products(self) -> WeightGradient:
        """The products that give the weight's gradient; made where they are needed."""
        layer: Any = self.layer
        arguments = (self.context, *self.shapes, self.layout, layer.group)
        return TileProduct(*arguments) if TileProduct.suits(self.layout) else PatchProduct(*arguments)

    def to_images(self, pixels: Array, images: Array) -> list[Run | None]:
        """What brings pixels to images."""
        context = self.context
        if self.pointwise:
            matrix = self.layer.weights.weight.values.reshape(pixels.shape[1], -1, copy=False)  # (P, C)
            return [multiply(context, as_rows(pixels), matrix, as_rows(images))]
        packed = self.packed(self.transposed.desc(c.WEIGHTS_MD))
        arrays = {
            c.DIFF_SRC: context.memory(images),
            c.WEIGHTS: packed.memory,
            c.DIFF_DST: context.memory(pixels),
        }
        return [packed.refresh, self.transposed.run(arrays)]

    def packed(self, wanted: Desc) -> Packed:
        """The layer's weight as a primitive wants it."""
        return Packed(self.context, self.layer.weights.weight, self.plain, wanted, transient=self.learns)

    def for_weights(
        self, images: Array, pixels: Array, biased: Array, asked: Collection[str], *, add: bool
    ) -> list[Run | None]:
        """What writes the diffs of the weight, and of the bias on one of both, where asked, or adds to them."""
        context, weights = self.context, self.layer.weights
        calls: list[Run | None] = []
        for name in asked:
            total = weights[name].diff
            diff = context.room(total.shape) if add else total
            if name == "weight":
                calls += self._for_weight(images, pixels, diff)
            else:
                calls.append(channel_sums(context, biased, diff))
            calls += [adding(total, diff)] if add else []
        return calls

    def _for_weight(self, images: Array, pixels: Array, diff: Array) -> list[Run | None]:
        context = self.context
        if self.pointwise:
            matrix = diff.reshape(pixels.shape[1], -1, copy=False)  # (P, C)
            return [multiply(context, as_rows(pixels).T, as_rows(images), matrix)]
        channels, extent = self.kernels[-1 - len(self.layout.kernel)], math.prod(self.layout.kernel)
        if self.multiplies and channels * neighbours(self.layout) >= MANY and extent > 1:
            return list(self.products.write(images, pixels, diff))
        primitive = context.primitive(
            "convolution_backward_weights",
            c.CONVOLUTION_DIRECT,
            self.images,
            context.free(self.kernels),
            None,
            self.pixels,
            *self.windows,
            self.primitive,
        )
        unpacked = Unpacked(context, diff, self.plain, primitive.desc(c.DIFF_WEIGHTS_MD))
        arrays = {
            c.SRC: context.memory(images),
            c.DIFF_DST: context.memory(pixels),
            c.DIFF_WEIGHTS: unpacked.memory,
        }
        return [primitive.run(arrays), unpacked.bring]
