"""InnerProduct, with a ReLU where one follows."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from layerkit.blob import Array
from layerkit.engines.kernel import Kernel, Run, Work
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.kernels.common import Packed, Unpacked, in_turn
from layerkit.engines.onednn.kernels.elementwise import Rectifier, finish
from layerkit.engines.onednn.kernels.products import channel_sums
from layerkit.engines.onednn.primitives import Context
from layerkit.layer import Bottoms, Tops

PACKED = 1 << 20
"""Most weights that are packed: beyond, they are read from memory faster than they are used, whatever their order."""
FEW = 64
"""Most rows for which more weights than that are multiplied by the rows, and not the rows by them."""
PART = 1024
"""Outputs that are then computed at a time."""


def inner_product(context: Context, work: Work) -> Kernel | None:
    """A kernel, unless the bottom's axes would have to be sorted in a way that no layer asks for."""
    shape, layer = work.bottoms[0], work.layer
    axis = layer.params.axis % len(shape)
    rectifier = Rectifier.behind(work)
    if (len(shape) > 3 and axis != 1) or (len(work.layers) > 1 and rectifier is None):
        return None
    return InnerProduct(context, work, axis, rectifier)


class InnerProduct(Kernel):
    """oneDNN's inner product of (rows, K) with (N, K).

    A bottom behind a convolution lies channels-last, but the weights' K numbers are in Caffe's order of channel, row,
    column. Its samples are brought into that order first: they are few where the weights are many.
    """

    def __init__(self, context: Context, work: Work, axis: int, rectifier: Rectifier | None):
        shape, layer = work.bottoms[0], work.layer
        self.context, self.layer, self.rectifier, self.shape = context, layer, rectifier, shape
        self.learns = work.learns
        rows, k, n = math.prod(shape[:axis]), math.prod(shape[axis:]), layer.params.num_output
        self.rows = (rows, k)
        self.in_order = len(shape) < 4 or math.prod(shape[2:]) == 1
        self.source, self.target = context.desc((rows, k)), context.desc((rows, n))
        self.plain = context.desc((n, k), (1, n) if layer.params.transpose else (k, 1))
        self.bias = context.desc((n,))
        self.turned = 1 < rows <= FEW and n * k > PACKED and not layer.params.transpose
        # While training, to pack the weights anew for each pass costs more than it brings; later it is done once.
        self.format = context.free((n, k)) if not work.learns and n * k <= PACKED else self.plain
        self.primitive = context.primitive(
            "inner_product_forward",
            c.TRAINING if work.trains else c.INFERENCE,
            self.source,
            self.format,
            self.bias if layer.params.bias_term else None,
            self.target,
            attributes=rectifier.attributes(context) if rectifier else None,
        )
        self.implementation = self.primitive.implementation
        self.reads_bottoms = (0,)
        self.reads_tops = (0,) if rectifier else ()
        self.spoils = rectifier is not None
        self.sorted = None if self.in_order else context.room(self.rows)

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        context, weights = self.context, self.layer.weights
        sort, x = self._sort(bottom[0].data)
        if self.turned:
            x, y = x.reshape(self.rows, copy=False), top[0].data.reshape(self.rows[0], -1, copy=False)
            return in_turn(sort, *self._turned(x, y))
        packed = Packed(context, weights.weight, self.plain, self.primitive.desc(c.WEIGHTS_MD), transient=self.learns)
        arrays = {
            c.SRC: context.memory(x, self.source),
            c.WEIGHTS: packed.memory,
            c.DST: context.memory(top[0].data, self.target),
        }
        if self.layer.params.bias_term:
            arrays[c.BIAS] = context.memory(weights.bias.values)
        return in_turn(packed.refresh, sort, self.primitive.run(arrays))

    def _turned(self, x: Array, y: Array) -> list[Run | None]:
        """What computes (W x^T)^T and then the rest: large weights are read up to twice as fast as in x W^T."""
        context, weights = self.context, self.layer.weights
        rows, outputs = y.shape
        columns = context.memory(x.T)  # (K, R)
        calls: list[Run | None] = []
        for start in range(0, outputs, PART):
            part = context.memory(weights.weight.values[start : start + PART])
            result = context.desc((part.array.shape[0], rows))
            product = context.primitive("matmul", part.desc, columns.desc, None, result)
            out = context.staging.memory(result, start * rows * part.array.itemsize)
            calls.append(product.run({c.SRC: part, c.WEIGHTS: columns, c.DST: out}))
        lying = context.desc((rows, outputs), (1, rows))
        arrays = {c.SRC: context.staging.memory(lying), c.DST: context.memory(y, self.target)}
        bias = weights.bias if self.layer.params.bias_term else None
        return [*calls, context.reorder(lying, self.target).run(arrays), finish(context, y, bias, self.rectifier)]

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        y, dy = top[0].data, top[0].diff
        rectify = self.rectifier.backward(self.context, y, dy, dy) if self.rectifier else None
        weights = self._for_weights(bottom[0].data, dy, asked[0]) if asked[0] else []
        bottoms = self._for_bottom(bottom[0].diff, dy) if propagate_down[0] else []
        return in_turn(rectify, *weights, *bottoms)

    def _for_weights(self, x: Array, dy: Array, asked: Collection[str]) -> list[Run | None]:
        context, weights, rows = self.context, self.layer.weights, self.rows[0]
        apart = rows > FEW  # to add up many rows for the bias is quicker by itself
        with_bias = "bias" in asked and not apart
        primitive = context.primitive(
            "inner_product_backward_weights",
            self.source,
            self.format,
            self.bias if with_bias else None,
            self.target,
            self.primitive,
        )
        sort, x = self._sort(x)  # again: it costs little, and so the bottom is all that need be kept
        diff = weights.weight.diff if "weight" in asked else context.room(weights.weight.shape)
        unpacked = Unpacked(context, diff, self.plain, primitive.desc(c.DIFF_WEIGHTS_MD))
        arrays = {
            c.SRC: context.memory(x, self.source),
            c.DIFF_DST: context.memory(dy, self.target),
            c.DIFF_WEIGHTS: unpacked.memory,
        }
        if with_bias:
            arrays[c.DIFF_BIAS] = context.memory(weights.bias.diff)
        calls = [sort, primitive.run(arrays), unpacked.bring if "weight" in asked else None]
        if "bias" in asked and apart:
            calls.append(channel_sums(context, dy.reshape(rows, -1, copy=False), weights.bias.diff))
        return calls

    def _for_bottom(self, dx: Array, dy: Array) -> list[Run | None]:
        context = self.context
        primitive = context.primitive(
            "inner_product_backward_data", self.source, self.format, self.target, self.primitive
        )
        packed = Packed(
            context, self.layer.weights.weight, self.plain, primitive.desc(c.WEIGHTS_MD), transient=self.learns
        )
        into = dx if self.in_order else context.room(self.rows)
        arrays = {
            c.DIFF_SRC: context.memory(into, self.source),
            c.WEIGHTS: packed.memory,
            c.DIFF_DST: context.memory(dy, self.target),
        }
        sort = None if self.in_order else self._reorder(into, dx, back=True)
        return [packed.refresh, primitive.run(arrays), sort]

    def _sort(self, x: Array) -> tuple[Run | None, Array]:
        """What brings the bottom into Caffe's order, and where it lies then."""
        return (None, x) if self.sorted is None else (self._reorder(x, self.sorted, back=False), self.sorted)

    def _reorder(self, source: Array, target: Array, *, back: bool) -> Run:
        """A function that brings a blob into Caffe's order, or `back`."""
        context, inside = self.context, self.context.desc(self.shape)
        blob = context.of(target if back else source)
        first, second = (inside, blob) if back else (blob, inside)
        primitive = context.reorder(first, second)
        return primitive.run({c.SRC: context.memory(source, first), c.DST: context.memory(target, second)})
