"""What the kernels of Convolution and Deconvolution have in common: oneDNN's convolution between images and pixels."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import Any

from layerkit.blob import Array, Shape
from layerkit.engines.kernel import Kernel, Run, Work, adding
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.kernels.common import Packed, Unpacked, blob_desc
from layerkit.engines.onednn.primitives import Attributes, Context, Desc, Primitive


class Sliding(Kernel):
    """oneDNN's direct convolution. Weights are packed into its own blocked format, which is where its speed is from.

    It leads from images (N, C, size...), a Convolution's bottoms, to pixels (N, P, count...), its tops; in a
    Deconvolution the other way round. The weights (P, C / G, kernel...) lie alike in both.
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
        windows = layer.windows(work.bottoms[0])
        dilation = tuple(step - 1 for step in windows.dilation)
        self.windows = (windows.stride, dilation, windows.pad, windows.pad)
        groups = layer.group
        kernels = (pixels[1] // groups, images[1] // groups, *windows.kernel)
        self.kernels = kernels if groups == 1 else (groups, *kernels)
        self.images, self.pixels = blob_desc(context, images), blob_desc(context, pixels)
        self.plain = context.desc(self.kernels)
        self.bias = context.desc((pixels[1],))
        self.primitive = context.primitive(
            "convolution_forward",
            c.TRAINING if work.trains else c.INFERENCE,
            c.CONVOLUTION_DIRECT,
            self.images,
            context.free(self.kernels),
            self.bias if has_bias else None,
            self.pixels,
            *self.windows,
            attributes=attributes,
        )
        """From images to pixels."""
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

    def to_images(self, pixels: Array, images: Array) -> list[Run | None]:
        """What brings pixels to images."""
        context = self.context
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

    def for_weights(self, images: Array, pixels: Array, asked: Collection[str], *, add: bool) -> list[Run | None]:
        """What writes the diffs of the weight and of a bias on the pixels, where asked, or adds to them."""
        if not asked:
            return []
        context, weights = self.context, self.layer.weights
        with_bias = "bias" in asked
        primitive = context.primitive(
            "convolution_backward_weights",
            c.CONVOLUTION_DIRECT,
            self.images,
            context.free(self.kernels),
            self.bias if with_bias else None,
            self.pixels,
            *self.windows,
            self.primitive,
        )
        # Of a further bottom, or of a weight that nobody asked for, the diff is written elsewhere.
        weight_diff = weights.weight.diff if "weight" in asked and not add else context.room(weights.weight.shape)
        unpacked = Unpacked(context, weight_diff, self.plain, primitive.desc(c.DIFF_WEIGHTS_MD))
        arrays = {
            c.SRC: context.memory(images),
            c.DIFF_DST: context.memory(pixels),
            c.DIFF_WEIGHTS: unpacked.memory,
        }
        calls = []
        if with_bias:
            bias_diff = context.room(weights.bias.shape) if add else weights.bias.diff
            arrays[c.DIFF_BIAS] = context.memory(bias_diff)
            calls += [adding(weights.bias.diff, bias_diff)] if add else []
        calls += [adding(weights.weight.diff, weight_diff)] if add and "weight" in asked else []
        return [primitive.run(arrays), unpacked.bring if "weight" in asked else None, *calls]
