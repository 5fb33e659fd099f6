"""Mean and variance of a channels-last blob's channels in one pass over memory, and what normalises by them in another.

oneDNN's batch normalisation reads its bottom three times, and a rectifier that it does not take along is a pass more.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.engines.kernel import Run
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.kernels.common import blob_desc, in_turn
from layerkit.engines.onednn.kernels.elementwise import Rectifier
from layerkit.engines.onednn.kernels.products import ITEM, as_rows
from layerkit.engines.onednn.primitives import Context, Primitive

PLACES = 1 << 14
"""Values of a channel that are added up in float32; the sums of so many are added up in float64."""
FARTHEST = 16.0
"""How many variances a mean's square may be; the mean square's rounding errors reach the variance that much larger."""


class Moments:
    """The mean and variance of each channel of (N, C, H, W) from the sums of x and of x^2.

    A depthwise convolution with one weight a channel, y = w x + b, has the gradients dw = sum of dy x and db = sum of
    dy. Given x for dy these are the two sums, and x is read once.
    """

    def __init__(self, context: Context, shape: Shape):
        self.context = context
        samples, channels, *size = shape
        self.values = samples * math.prod(size)  # of each channel
        at_once = max(1, PLACES // math.prod(size))
        self.parts = [slice(start, min(start + at_once, samples)) for start in range(0, samples, at_once)]
        counts = {part.stop - part.start for part in self.parts}
        self.gradients = {count: _gradient(context, (count, channels, *size)) for count in counts}
        self.packed = self.gradients[self.parts[0].stop].desc(c.DIFF_WEIGHTS_MD)  # the channels, and then some more
        self.squares = context.room((len(self.parts), self.packed.size // ITEM))
        self.sums = context.room((len(self.parts), channels))

    def write(self, x: Array, mean: Array, variance: Array) -> Callable[[], bool]:
        """A function that writes them, both (C,); False where a mean is too far from 0 for an exact variance."""
        add_up = in_turn(*(self._add_up(index, x[part]) for index, part in enumerate(self.parts)))
        squares, sums = self.squares[:, : mean.size], self.sums

        def measure() -> bool:
            add_up()
            first, second = (np.add.reduce(each, 0, np.float64) / self.values for each in (sums, squares))
            squared = first * first
            mean[...], variance[...] = first, second - squared
            return not (squared > FARTHEST * variance).any()

        return measure

    def _add_up(self, index: int, x: Array) -> Run:
        memory = self.context.memory
        values = memory(x)
        written = {c.DIFF_WEIGHTS: memory(self.squares[index], self.packed), c.DIFF_BIAS: memory(self.sums[index])}
        return self.gradients[len(x)].run({c.SRC: values, c.DIFF_DST: values, **written})


def _gradient(context: Context, shape: Shape) -> Primitive:
    """The gradients of a depthwise convolution with one weight a channel."""
    channels, desc = shape[1], blob_desc(context, shape)
    weights, bias = context.free((channels, 1, 1, 1, 1)), context.desc((channels,))
    arguments = (c.CONVOLUTION_DIRECT, desc, weights, bias, desc, (1, 1), (0, 0), (0, 0), (0, 0))
    forward = context.primitive("convolution_forward", c.TRAINING, *arguments)
    return context.primitive("convolution_backward_weights", *arguments, forward)


def standardize(
    context: Context, x: Array, y: Array, mean: Array, factor: Array, shift: Array | None, rectifier: Rectifier
) -> Run:
    """A function that writes y = (x - mean) factor + shift, rectified; mean, factor and shift are (C,)."""
    rows, out, each = context.memory(as_rows(x)), context.memory(as_rows(y)), context.desc((1, mean.size))
    attributes = context.attributes().then_binary(c.MULTIPLY, each)
    arrays = {c.SRC: rows, c.SRC_1: context.memory(mean, each), c.DST: out, c.post_op(0): context.memory(factor, each)}
    if shift is not None:
        attributes.then_binary(c.ADD, each)
        arrays[c.post_op(1)] = context.memory(shift, each)
    rectifier.attributes(context, attributes)
    return context.primitive("binary", c.SUBTRACT, rows.desc, each, out.desc, attributes=attributes).run(arrays)
