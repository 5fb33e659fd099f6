"""Convolution, with what may follow it: a rectifier, and outside training normalisation folded into the weights."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from layerkit.blob import Array, Blob
from layerkit.engines.kernel import Kernel, Run, Work
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.kernels.common import Packed, in_turn, is_slow, unless_known
from layerkit.engines.onednn.kernels.elementwise import Rectifier
from layerkit.engines.onednn.kernels.sliding import Sliding
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


class Convolution(Sliding):
    """From the bottoms, which are images, to the tops."""

    def __init__(self, context: Context, work: Work, norms: Sequence[Layer], rectifier: Rectifier | None):
        self.rectifier, self.norms = rectifier, norms
        self.has_bias = work.layer.params.bias_term or bool(norms)
        attributes = rectifier.attributes(context) if rectifier else None
        super().__init__(context, work, work.bottoms[0], work.tops[0], has_bias=self.has_bias, attributes=attributes)
        self.implementation = self.primitive.implementation
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
            packed = self.packed(wanted)
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
            calls += self.for_weights(below.data, above.diff, above.diff, asked[0], add=i > 0)
            if propagate_down[i]:
                calls += self.to_images(above.diff, below.diff)
        return in_turn(*calls)


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
