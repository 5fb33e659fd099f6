"""BatchNorm, with the scale and bias, inside or in a Scale, and the rectifier that mostly follow it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from layerkit.blob import Array
from layerkit.engines.kernel import Kernel, Run, Work
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.kernels.common import blob_desc, in_turn, is_narrow, is_slow
from layerkit.engines.onednn.kernels.elementwise import Rectifier
from layerkit.engines.onednn.kernels.moments import Moments, standardize
from layerkit.engines.onednn.primitives import Context
from layerkit.layer import Bottoms, Tops

MANY = 1 << 18
"""Elements from which on fewer passes over memory take less time, even though they are more calls."""


def batch_norm(context: Context, work: Work) -> Kernel | None:
    """A kernel for a chain BatchNorm, Scale, rectifier, of which the last two may be missing."""
    if len(work.bottoms[0]) < 2:
        return None
    scale = work.of_type("Scale")
    if scale is not None and not (scale.params.axis == 1 and scale.weights and len(scale.weights[0].shape) == 1):
        return None
    if work.layer.params.scale_bias:
        if scale is not None:
            return None  # there would be two of them
        scale = work.layer
    if Rectifier.cannot_join(work):
        return None
    kernel = BatchNorm(context, work, scale, Rectifier.behind(work))
    return None if is_slow(kernel.primitive) else kernel


class BatchNorm(Kernel):
    """oneDNN's batch normalisation, which takes a plain ReLU along; another rectifier runs over its result.

    Instead, large blobs with another rectifier are measured in one pass, and normalised and rectified in a second: 16 x
    96 x 112 x 112 with a ReLU6 in 17 ms rather than 26 where measured.
    """

    shares_diff = True
    remembers = True
    reads_bottoms = (0,)

    def __init__(self, context: Context, work: Work, scale: Any, rectifier: Rectifier | None):
        self.context, self.layer, self.scale = context, work.layer, scale
        self.desc = blob_desc(context, work.bottoms[0])
        self.channels = work.bottoms[0][1]
        self.samples = int(np.prod(work.bottoms[0])) // max(1, self.channels)  # of each channel
        self.flags = c.GLOBAL_STATISTICS if self.layer.global_statistics else 0
        if scale is not None:
            self.flags |= c.USE_SCALE | (c.USE_SHIFT if self._has_bias else 0)
        inside = rectifier is not None and rectifier.is_plain_relu
        self.rectifier = None if inside else rectifier
        self.reads_tops = (0,) if self.rectifier else ()
        self.spoils = self.rectifier is not None or scale is not None
        kind = c.TRAINING if work.trains else c.INFERENCE
        self.flags |= c.FUSE_RELU if inside else 0
        self.primitive = context.primitive(
            "batch_normalization_forward", kind, self.desc, self.desc, self.layer.params.eps, self.flags
        )
        self.implementation = self.primitive.implementation
        self.mean, self.variance = context.room((self.channels,)), context.room((self.channels,))
        workspace = self.primitive.desc(c.WORKSPACE_MD)
        self.workspace = context.allocate(workspace) if workspace.size else None
        large = len(work.bottoms[0]) == 4 and self.samples * self.channels >= MANY
        measures = self.rectifier is not None and not self.layer.global_statistics
        self.moments: Moments | None = None
        if large and measures and is_narrow(self.primitive):
            self.moments = Moments(context, work.bottoms[0])

    @property
    def _has_bias(self) -> bool:
        return "bias" in self.scale.weights.names

    def _arrays(self, *, diffs: bool = False) -> dict[int, Any]:
        memory = self.context.memory
        arrays = {c.MEAN: memory(self.mean), c.VARIANCE: memory(self.variance)}
        if self.scale is not None:
            arrays[c.SCALE] = memory(self.scale.weights.scale.values)
            if self._has_bias and not diffs:
                arrays[c.SHIFT] = memory(self.scale.weights.bias.values)
        if self.workspace is not None:
            arrays[c.WORKSPACE] = self.workspace
        return arrays

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        memory = self.context.memory
        x, y = memory(bottom[0].data), memory(top[0].data)
        normalise = self.primitive.run({c.SRC: x, c.DST: y, **self._arrays()})
        rectify = self.rectifier.forward(self.context, top[0].data) if self.rectifier else None
        if self.layer.global_statistics:
            return in_turn(self._use_statistics, normalise, rectify)
        normalise = in_turn(normalise, rectify)
        if self.moments is not None and self.rectifier is not None:
            normalise = self._in_two(self.moments, self.rectifier, bottom[0].data, top[0].data, normalise)
        return in_turn(normalise, self._keep_statistics)

    def _in_two(self, moments: Moments, rectifier: Rectifier, x: Array, y: Array, otherwise: Run) -> Run:
        """A function that measures, and then normalises and rectifies; or does otherwise where that is not exact."""
        weights = self.scale.weights if self.scale is not None else None
        scale = 1.0 if weights is None else weights.scale.values
        shift = weights.bias.values if weights is not None and self._has_bias else None
        factor = self.context.room((self.channels,))  # scale / std
        measure = moments.write(x, self.mean, self.variance)
        normalise = standardize(self.context, x, y, self.mean, factor, shift, rectifier)

        def run() -> None:
            if measure():
                np.sqrt(np.add(self.variance, self.layer.params.eps, out=factor), out=factor)
                np.divide(scale, factor, out=factor)
                normalise()
            else:
                otherwise()

        return run

    def _use_statistics(self) -> None:
        self.layer.read_statistics(self.mean, self.variance)

    def _keep_statistics(self) -> None:
        self.layer.add_to_statistics(self.mean, self.variance, self.samples)

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        context, memory = self.context, self.context.memory
        dy = top[0].diff
        rectify = self.rectifier.backward(context, top[0].data, dy, dy) if self.rectifier else None
        wanted = () if self.scale is None else asked[0 if self.scale is self.layer else 1]
        primitive = context.primitive(
            "batch_normalization_backward",
            c.BACKWARD_DATA if self.scale is None else c.BACKWARD,
            self.desc,
            self.desc,
            self.desc,
            self.layer.params.eps,
            self.flags,
            self.primitive,
        )
        dx = bottom[0].diff if propagate_down[0] else dy
        arrays = {c.SRC: memory(bottom[0].data), c.DIFF_DST: memory(dy), c.DIFF_SRC: memory(dx)}
        if self.scale is not None:  # whoever of them is not wanted is written all the same, to where nobody reads
            arrays[c.DIFF_SCALE] = memory(self._diff("scale", wanted))
            if self._has_bias:
                arrays[c.DIFF_SHIFT] = memory(self._diff("bias", wanted))
        return in_turn(rectify, primitive.run({**arrays, **self._arrays(diffs=True)}))

    def _diff(self, name: str, wanted: Collection[str]) -> Array:
        """Where the diff of a scale or bias goes; nowhere that is read if nobody asked for it."""
        diff: Array = self.scale.weights[name].diff if name in wanted else self.context.room((self.channels,))
        return diff
