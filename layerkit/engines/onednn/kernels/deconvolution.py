"""Deconvolution, with a rectifier that may follow it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from layerkit.blob import Array
from layerkit.engines.kernel import Kernel, Run, Work
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.kernels.common import in_turn, is_slow
from layerkit.engines.onednn.kernels.elementwise import Rectifier, finish
from layerkit.engines.onednn.kernels.sliding import Sliding
from layerkit.engines.onednn.primitives import Context
from layerkit.layer import Bottoms, Tops


def deconvolution(context: Context, work: Work) -> Kernel | None:
    """A kernel, unless oneDNN has no fast one for this layout."""
    shape = work.bottoms[0]
    if work.layer.params.axis % len(shape) != 1 or not 3 <= len(shape) <= 5 or Rectifier.cannot_join(work):
        return None
    kernel = Deconvolution(context, work, Rectifier.behind(work))
    return None if is_slow(kernel.primitive) or is_slow(kernel.transposed) else kernel


class Deconvolution(Sliding):
    """From the bottoms, which are the pixels of a convolution, to the tops, its images.

    oneDNN's own deconvolution adds bias and rectifier by reference code where each channel has a kernel of its own:
    with 21 channels of 64 by 64 it took 20 ms, where the convolution's data gradient and one more pass take 0.5 ms.
    """

    def __init__(self, context: Context, work: Work, rectifier: Rectifier | None):
        super().__init__(context, work, work.tops[0], work.bottoms[0], has_bias=False)
        self.rectifier = rectifier
        self.implementation = self.transposed.implementation
        self.reads_tops = range(len(work.tops)) if rectifier else ()
        self.spoils = rectifier is not None

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        calls: list[Run | None] = []
        bias = self.layer.weights.bias if self.layer.params.bias_term else None
        for below, above in zip(bottom, top, strict=True):
            calls += self.to_images(below.data, above.data)
            calls.append(finish(self.context, above.data, bias, self.rectifier))
        return in_turn(*calls)

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        calls: list[Run | None] = []
        for i, (below, above) in enumerate(zip(bottom, top, strict=True)):
            if self.rectifier:
                calls.append(self.rectifier.backward(self.context, above.data, above.diff, above.diff))
            calls += self.for_weights(above.diff, below.data, above.diff, asked[0], add=i > 0)
            if propagate_down[i]:
                calls.append(self._for_bottom(above.diff, below.diff))
        return in_turn(*calls)

    def _for_bottom(self, dy: Array, dx: Array) -> Run:
        """A function that brings the top's diff to the bottom's."""
        packed = self.packed(self.primitive.desc(c.WEIGHTS_MD))
        memory = self.context.memory
        return in_turn(
            packed.refresh, self.primitive.run({c.SRC: memory(dy), c.WEIGHTS: packed.memory, c.DST: memory(dx)})
        )
