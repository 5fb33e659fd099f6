"""Pooling: MAX and AVE."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from layerkit.blob import Array
from layerkit.engines.kernel import Kernel, Run, Work
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.kernels.common import blob_desc, in_turn, is_slow
from layerkit.engines.onednn.primitives import Context, Memory
from layerkit.layer import Bottoms, Tops


def pooling(context: Context, work: Work) -> Kernel | None:
    """A kernel for MAX without its second top, and for AVE."""
    if work.layer.params.pool == "STOCHASTIC" or len(work.tops) > 1 or len(work.bottoms[0]) > 5:
        return None
    kernel = Pooling(context, work)
    return None if is_slow(kernel.primitive) else kernel


class Pooling(Kernel):
    """oneDNN's pooling, which remembers where each maximum was in a workspace of its own.

    Caffe's AVE divides by the part of a window that lies in the padded bottom; oneDNN by the whole window. They differ
    where a last window reaches beyond the padding, and there the result is scaled.
    """

    remembers = True

    def __init__(self, context: Context, work: Work):
        self.context = context
        windows = work.layer.windows(work.bottoms[0])
        behind = tuple(
            (count - 1) * step + kernel - size - pad
            for count, step, kernel, size, pad in zip(
                windows.count, windows.stride, windows.kernel, windows.size, windows.pad, strict=True
            )
        )
        self.average = work.layer.params.pool == "AVE"
        rule = c.AVE_POOLING_INCLUDE_PADDING if self.average else c.MAX_POOLING
        none = (0,) * len(behind)
        self.arguments = (windows.stride, windows.kernel, none, windows.pad, tuple(max(0, pad) for pad in behind))
        self.rule = rule
        self.source, self.target = blob_desc(context, work.bottoms[0]), blob_desc(context, work.tops[0])
        self.correction = self._correction(work) if self.average else None
        self.primitive = context.primitive(
            "pooling_forward",
            c.TRAINING if work.trains else c.INFERENCE,
            rule,
            self.source,
            self.target,
            *self.arguments,
        )
        self.implementation = self.primitive.implementation
        workspace = self.primitive.desc(c.WORKSPACE_MD)
        self.workspace = context.allocate(workspace) if workspace.size else None

    def _correction(self, work: Work) -> Array | None:
        """The whole window's size over Caffe's, of shape (1, 1, count...); None where they are the same everywhere."""
        windows = work.layer.windows(work.bottoms[0])
        ratio = math.prod(windows.kernel) / windows.areas
        return None if (ratio == 1).all() else np.asarray(ratio[np.newaxis, np.newaxis], np.float32)

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        arrays = {c.SRC: self.context.memory(bottom[0].data), c.DST: self.context.memory(top[0].data)}
        if self.workspace is not None:
            arrays[c.WORKSPACE] = self.workspace
        pool = self.primitive.run(arrays)
        return pool if self.correction is None else in_turn(pool, self._correct(arrays[c.DST], arrays[c.DST]))

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        context = self.context
        primitive = context.primitive(
            "pooling_backward", self.rule, self.source, self.target, *self.arguments, self.primitive
        )
        dy, correct = context.memory(top[0].diff), None
        if self.correction is not None:
            corrected = context.allocate(self.target)
            dy, correct = corrected, self._correct(dy, corrected)
        arrays = {c.DIFF_SRC: context.memory(bottom[0].diff), c.DIFF_DST: dy}
        if self.workspace is not None:
            arrays[c.WORKSPACE] = self.workspace
        return in_turn(correct, primitive.run(arrays))

    def _correct(self, source: Memory, target: Memory) -> Run:
        """A function that multiplies each place by how many times too small oneDNN's average is there."""
        assert self.correction is not None  # otherwise there is nothing to correct
        factor = self.context.memory(self.correction)
        primitive = self.context.primitive("binary", c.MULTIPLY, self.target, factor.desc, self.target)
        return primitive.run({c.SRC: source, c.SRC_1: factor, c.DST: target})
