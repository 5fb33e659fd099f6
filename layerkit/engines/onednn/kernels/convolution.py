"""Convolution, with what may follow it: a rectifier, and outside training normalisation folded into the weights."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from layerkit.blob import Array, Blob
from layerkit.engines.kernel import Kernel, Run, Work, adding
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.kernels.common import Packed, Unpacked, blob_desc, in_turn, is_slow, unless_known
from layerkit.engines.onednn.kernels.elementwise import Rectifier
from layerkit.engines.onednn.primitives import Context, Memory
from layerkit.layer import Bottoms, Layer, Tops


def convolution(context: Context, work: Work) -> Kernel | None:
    """A kernel, unless oneDNN has no fast one for this layout."""
    layer, shape = work.layer, work.bottoms[0]
    if layer.params.axis % len(shape) != 1 or not 3 <= len(shape) <= 5:
        return None
    norms = [each for each in (work.of_type("BatchNorm"), work.of_type("Scale")) if each is not None]
    if norms and (work.trains or not all(map(_folds, norms))):
        return None
    if Rectifier.cannot_join(work):
        return None
    kernel = Convolution(context, work, norms, Rectifier.behind(work))
    return None if is_slow(kernel.primitive) else kernel


def _folds(layer: Any) -> bool:
    """Whether a normalisation is a factor and an offset per channel that do not depend on the samples."""
    if type(layer).__name__ == "BatchNorm":
        return bool(layer.global_statistics)
    return layer.params.axis == 1 and len(layer.weights["scale"].shape) == 1


class Convolution(Kernel):
    """oneDNN's direct convolution. Weights are packed into its own blocked format, which is where its speed is from."""

    def __init__(self, context: Context, work: Work, norms: Sequence[Layer], rectifier: Rectifier | None):
        layer: Any = work.layer
        self.context, self.layer, self.rectifier, self.norms = context, layer, rectifier, norms
        self.learns = work.learns
        windows = layer.windows(work.bottoms[0])
        dilation = tuple(step - 1 for step in windows.dilation)
        self.windows = (windows.stride, dilation, windows.pad, windows.pad)
        groups, outputs, inputs = layer.params.group, layer.params.num_output, work.bottoms[0][1]
        kernels = (outputs // groups, inputs // groups, *windows.kernel)
        self.kernels = kernels if groups == 1 else (groups, *kernels)
        self.has_bias = layer.params.bias_term or bool(norms)
        self.source, self.target = blob_desc(context, work.bottoms[0]), blob_desc(context, work.tops[0])
        self.plain = context.desc(self.kernels)
        self.bias = context.desc((outputs,))
        self.primitive = context.primitive(
            "convolution_forward",
            c.TRAINING if work.trains else c.INFERENCE,
            c.CONVOLUTION_DIRECT,
            self.source,
            context.free(self.kernels),
            self.bias if self.has_bias else None,
            self.target,
            *self.windows,
            attributes=rectifier.attributes(context) if rectifier else None,
        )
        self.implementation = self.primitive.implementation
        self.reads_bottoms = range(len(work.bottoms))
        self.reads_tops = range(len(work.tops)) if rectifier else ()
        self.spoils = rectifier is not None

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        weight, bias, refresh = self._weights()
        calls = [refresh]
        for below, above in zip(bottom, top, strict=True):
            arrays = {c.SRC: self.context.memory(below.data), c.WEIGHTS: weight, c.DST: self.context.memory(above.data)}
            if bias is not None:
                arrays[c.BIAS] = bias
            calls.append(self.primitive.run(arrays))
        return in_turn(*calls)

    def _weights(self) -> tuple[Memory, Memory | None, Run | None]:
        """Weights and bias as the primitive wants them, and what brings them up to date."""
        wanted = self.primitive.desc(c.WEIGHTS_MD)
        weights = self.layer.weights
        if not self.norms:
            packed = Packed(self.context, weights.weight, self.plain, wanted, transient=self.learns)
            bias = self.context.memory(weights.bias.values) if self.has_bias else None
            return packed.memory, bias, packed.refresh
        folded = Folded(self.context, self.layer, self.norms)
        packed = Packed(self.context, folded.weight, self.plain, wanted, transient=self.learns)
        stamps = [blob.stamp for layer in (self.layer, *self.norms) for blob in layer.weights]
        refresh = unless_known(stamps, in_turn(folded.fold, packed.refresh))
        return packed.memory, self.context.memory(folded.bias), refresh

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        calls: list[Run | None] = []
        for i, (below, above) in enumerate(zip(bottom, top, strict=True)):
            if self.rectifier:
                calls.append(self.rectifier.backward(self.context, above.data, above.diff, above.diff))
            calls += self._for_weights(below, above, asked[0], add=i > 0)
            if propagate_down[i]:
                calls += self._for_bottom(below, above)
        return in_turn(*calls)

    def _for_bottom(self, below: Blob, above: Blob) -> list[Run | None]:
        context = self.context
        primitive = context.primitive(
            "convolution_backward_data",
            c.CONVOLUTION_DIRECT,
            self.source,
            context.free(self.kernels),
            self.target,
            *self.windows,
            self.primitive,
        )
        packed = Packed(
            context, self.layer.weights.weight, self.plain, primitive.desc(c.WEIGHTS_MD), transient=self.learns
        )
        diff_bottom, diff_top = context.memory(below.diff), context.memory(above.diff)
        return [
            packed.refresh,
            primitive.run({c.DIFF_SRC: diff_bottom, c.WEIGHTS: packed.memory, c.DIFF_DST: diff_top}),
        ]

    def _for_weights(self, below: Blob, above: Blob, asked: Collection[str], add: bool) -> list[Run | None]:
        if not asked:
            return []
        context, weights = self.context, self.layer.weights
        with_bias = "bias" in asked
        primitive = context.primitive(
            "convolution_backward_weights",
            c.CONVOLUTION_DIRECT,
            self.source,
            context.free(self.kernels),
            self.bias if with_bias else None,
            self.target,
            *self.windows,
            self.primitive,
        )
        # Of a further bottom, or of a weight that nobody asked for, the diff is written elsewhere.
        weight_diff = weights.weight.diff if "weight" in asked and not add else context.room(weights.weight.shape)
        unpacked = Unpacked(context, weight_diff, self.plain, primitive.desc(c.DIFF_WEIGHTS_MD))
        arrays = {
            c.SRC: context.memory(below.data),
            c.DIFF_DST: context.memory(above.diff),
            c.DIFF_WEIGHTS: unpacked.memory,
        }
        calls = []
        if with_bias:
            bias_diff = context.room(weights.bias.shape) if add else weights.bias.diff
            arrays[c.DIFF_BIAS] = context.memory(bias_diff)
            calls += [adding(weights.bias.diff, bias_diff)] if add else []
        calls += [adding(weights.weight.diff, weight_diff)] if add and "weight" in asked else []
        return [primitive.run(arrays), unpacked.bring if "weight" in asked else None, *calls]


class Folded:
    """The weights of a convolution with the normalisation behind it folded in.

    (W x + b - mean) / std * scale + offset = (W scale / std) x + ((b - mean) / std * scale + offset)
    """

    def __init__(self, context: Context, layer: Any, norms: Sequence[Any]):
        self.layer, self.norms = layer, norms
        self.weight = Blob.of(context.room(layer.weights.weight.shape))
        self.bias = context.room((layer.params.num_output,))

    def fold(self) -> None:
        """Compute them anew."""
        weights = self.layer.weights
        factor = np.ones_like(self.bias)  # (M,)
        offset = np.array(weights.bias.values) if self.layer.params.bias_term else np.zeros_like(self.bias)
        for norm in self.norms:
            own_factor, own_offset = factor_and_offset(norm)
            factor *= own_factor
            offset *= own_factor
            offset += own_offset
        each = factor.reshape(-1, *[1] * (weights.weight.values.ndim - 1))
        np.multiply(weights.weight.values, each, out=self.weight.values)
        self.bias[...] = offset


def factor_and_offset(layer: Any) -> tuple[Array, Array]:
    """What a BatchNorm with global statistics, or a Scale, multiplies each channel by, and what it adds."""
    if type(layer).__name__ == "Scale":
        scale = layer.weights.scale.values
        return scale, layer.weights.bias.values if layer.params.bias_term else np.zeros_like(scale)
    mean, variance = np.empty((2, layer.weights.mean.count), np.float32)
    layer.read_statistics(mean, variance)
    factor = 1 / np.sqrt(variance + np.float32(layer.params.eps))
    if not layer.params.scale_bias:
        return factor, -mean * factor
    factor *= layer.weights.scale.values
    return factor, layer.weights.bias.values - mean * factor
