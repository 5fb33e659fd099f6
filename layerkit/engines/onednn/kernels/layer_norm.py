"""LayerNorm."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from layerkit.blob import Array, Blob
from layerkit.engines.kernel import Kernel, Run, Work
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.kernels.common import is_slow
from layerkit.engines.onednn.primitives import Context, Memory
from layerkit.layer import Bottoms, Tops


def layer_norm(context: Context, work: Work) -> Kernel | None:
    """A kernel for C-ordered blobs; of four or five axes, which lie channels-last, the last are not side by side."""
    if len(work.bottoms[0]) in (4, 5):
        return None
    kernel = LayerNorm(context, work)
    return None if is_slow(kernel.primitive) else kernel


class LayerNorm(Kernel):
    """oneDNN's layer normalisation of rows: all axes before `axis` are one, and so are all from there on."""

    shares_diff = True
    remembers = True
    reads_bottoms = (0,)

    def __init__(self, context: Context, work: Work):
        self.context, self.layer = context, work.layer
        shape = work.bottoms[0]
        axis = work.layer.params.axis % len(shape)
        self.columns = math.prod(shape[axis:])
        rows = math.prod(shape[:axis])
        self.desc, self.each_row = context.desc((rows, self.columns)), context.desc((rows,))
        self.weights = context.desc((self.columns,))
        self.affine = work.layer.params.affine
        self.flags = c.USE_SCALE | c.USE_SHIFT if self.affine else 0
        self.primitive = context.primitive(
            "layer_normalization_forward",
            c.TRAINING,
            self.desc,
            self.desc,
            self.each_row,
            work.layer.params.eps,
            self.flags,
        )
        self.implementation = self.primitive.implementation
        self.statistics = {c.MEAN: context.allocate(self.each_row), c.VARIANCE: context.allocate(self.each_row)}

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        arrays = {c.SRC: self._rows(bottom[0].data), c.DST: self._rows(top[0].data), **self.statistics}
        if self.affine:
            arrays[c.SCALE] = self._weight("scale")
            arrays[c.SHIFT] = self._weight("bias")
        return self.primitive.run(arrays)

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        primitive = self.context.primitive(
            "layer_normalization_backward",
            c.BACKWARD if self.affine else c.BACKWARD_DATA,
            self.desc,
            self.desc,
            self.desc,
            self.each_row,
            self.layer.params.eps,
            self.flags,
            self.primitive,
        )
        # All diffs are written; those that nobody asked for go to where nobody reads.
        dy = self._rows(top[0].diff)
        dx = self._rows(bottom[0].diff) if propagate_down[0] else self.context.allocate(self.desc)
        arrays = {c.SRC: self._rows(bottom[0].data), c.DIFF_DST: dy, c.DIFF_SRC: dx, **self.statistics}
        if self.affine:
            arrays[c.SCALE] = self._weight("scale")
            arrays[c.SHIFT] = self._weight("bias")  # not read, but missed
            arrays[c.DIFF_SCALE] = self._diff("scale", asked[0])
            arrays[c.DIFF_SHIFT] = self._diff("bias", asked[0])
        return primitive.run(arrays)

    def _rows(self, array: Array) -> Memory:
        return self.context.memory(array, self.desc)

    def _weight(self, name: str) -> Memory:
        weight: Blob = self.layer.weights[name]
        return self.context.memory(weight.values, self.weights)

    def _diff(self, name: str, wanted: Collection[str]) -> Memory:
        if name not in wanted:
            return self.context.allocate(self.weights)
        return self.context.memory(self.layer.weights[name].diff, self.weights)
