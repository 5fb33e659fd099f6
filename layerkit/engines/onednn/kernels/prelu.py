"""PReLU."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from layerkit.engines.kernel import Kernel, Run, Work
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.kernels.common import blob_desc, is_slow
from layerkit.engines.onednn.primitives import Context
from layerkit.layer import Bottoms, Tops


def prelu(context: Context, work: Work) -> Kernel | None:
    """A kernel, unless oneDNN has only its reference code for this shape."""
    kernel = PReLU(context, work)
    return None if is_slow(kernel.primitive) else kernel


class PReLU(Kernel):
    """oneDNN's PReLU; one pass backward gives both gradients."""

    reads_bottoms = (0,)

    def __init__(self, context: Context, work: Work):
        self.context, self.layer, self.shape = context, work.layer, work.bottoms[0]
        self.desc = blob_desc(context, self.shape)
        ones = [1] * max(1, len(self.shape))
        if not work.layer.params.channel_shared:
            ones[1] = self.shape[1]
        self.slopes = context.desc(tuple(ones))  # lies as (C,) does
        kind = c.TRAINING if work.trains else c.INFERENCE
        self.primitive = context.primitive("prelu_forward", kind, self.desc, self.slopes, self.desc)
        self.implementation = self.primitive.implementation

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        memory = self.context.memory
        slope = memory(self.layer.weights.slope.values, self.slopes)
        return self.primitive.run({c.SRC: memory(bottom[0].data), c.WEIGHTS: slope, c.DST: memory(top[0].data)})

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        context, memory, slope = self.context, self.context.memory, self.layer.weights.slope
        desc, slopes = self.desc, self.slopes
        primitive = context.primitive("prelu_backward", desc, slopes, desc, slopes, desc, self.primitive)
        # Both diffs are written; what nobody asked for goes to where nobody reads.
        dx = memory(bottom[0].diff) if propagate_down[0] else context.allocate(desc)
        dslope = memory(slope.diff, slopes) if "slope" in asked[0] else context.allocate(slopes)
        return primitive.run(
            {
                c.SRC: memory(bottom[0].data),
                c.WEIGHTS: memory(slope.values, slopes),
                c.DIFF_DST: memory(top[0].diff),
                c.DIFF_SRC: dx,
                c.DIFF_WEIGHTS: dslope,
            }
        )
