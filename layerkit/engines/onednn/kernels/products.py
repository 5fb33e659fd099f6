"""Gradients as products of matrices, where those are faster than oneDNN's own primitives.

A channels-last blob is a matrix with a row for each pixel of each sample and a column for each channel.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.engines.kernel import Run
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.primitives import Context, Desc, Memory

CHUNK = 12 << 20
"""Bytes of patches that are laid out at a time, so that they are still in the cache when the product reads them."""
ITEM = 4
"""Bytes of a number."""


def as_rows(array: Array) -> Array:
    """A channels-last blob as a matrix with a column for each channel."""
    return np.moveaxis(array, 1, -1).reshape(-1, array.shape[1], copy=False)


def multiply(context: Context, one: Array, other: Array, out: Array) -> Run:
    """out = one other. `one` and `other` may be transposed views; `out` is C-ordered."""
    first, second, result = context.memory(one), context.memory(other), context.memory(out)
    primitive = context.primitive("matmul", first.desc, second.desc, None, result.desc)
    return primitive.run({c.SRC: first, c.WEIGHTS: second, c.DST: result})


def channel_sums(context: Context, array: Array, out: Array) -> Run:
    """What writes the sums over all but the channels: a row of ones, times the matrix, in no more time than to read it.

    What oneDNN adds up beside a weight's gradient took up to six times as long.
    """
    if array.ndim == 3:  # (N, C, L) lies in that order
        return functools.partial(np.sum, array, axis=(0, 2), out=out)
    rows = as_rows(array)
    return multiply(context, context.ones(len(rows)), rows, out.reshape(1, -1))


class PatchProduct:
    """A convolution's weight gradient as a product: its pixels (R, P), transposed, times their patches (R, K C).

    A pixel's patch is what the kernel sees of the image: C channels at K places. The patches of a few samples at a time
    are laid out as rows, and the products are added up.

    Source: Chellapilla, Puri and Simard, High performance convolutional neural networks for document processing (2006).
    """

    def __init__(self, context: Context, images: Shape, pixels: Shape, windows: Any, groups: int):
        self.context, self.windows, self.groups = context, windows, groups
        self.size, self.channels = images[2:], images[1] // groups
        self.count, self.outputs = pixels[2:], pixels[1] // groups
        axes = zip(self.size, windows.pad, self.count, windows.stride, strict=True)
        self.padded = tuple(max(size + 2 * pad, count * stride) for size, pad, count, stride in axes)
        self.seen = math.prod(windows.kernel) * self.channels  # numbers in a patch
        rounds = math.ceil(ITEM * math.prod(pixels) // pixels[1] * self.seen / CHUNK)
        self.at_once = math.ceil(images[0] / rounds)
        """Samples."""
        self._batches: dict[int, _Batch] = {}

    def write(self, images: Array, pixels: Array, diff: Array) -> list[Run]:
        """What writes the weight's diff (P, C / G, kernel...), one group after the other."""
        parts = (np.split(array, self.groups, axis) for array, axis in ((images, 1), (pixels, 1), (diff, 0)))
        return [call for part in zip(*parts, strict=True) for call in self._write_group(*part)]

    def _write_group(self, images: Array, pixels: Array, diff: Array) -> list[Run]:
        context = self.context
        result = context.memory(diff)
        first, *rest, last = context.strides((self.outputs, *self.windows.kernel, self.channels))
        lying, product = context.desc(diff.shape, (first, last, *rest)), context.desc((self.outputs, self.seen))
        arrays = {c.SRC: context.staging.memory(lying), c.DST: result}
        calls: list[Run] = []
        for start in range(0, len(images), self.at_once):
            part = slice(start, start + self.at_once)
            batch = self._batch(len(images[part]))
            calls += [] if calls else [batch.clear]
            calls += [batch.pad(images[part]), *batch.spread]
            calls.append(batch.multiply(pixels[part], context.staging.memory(product), add=start > 0))
        return [*calls, context.reorder(lying, result.desc).run(arrays)]

    def _batch(self, samples: int) -> _Batch:
        if samples not in self._batches:
            self._batches[samples] = _Batch(self, samples)
        return self._batches[samples]


class _Batch:
    """What a PatchProduct does with a number of samples: padded, then as patches, they lie in the context's room."""

    def __init__(self, product: PatchProduct, samples: int):
        self.context, self.samples, self.product = product.context, samples, product
        self.room, windows = product.context.patches, product.windows
        self.steps = self.context.strides((samples, *product.padded, product.channels))
        inside = self._lying(product.size, self.steps)
        self.inside = self.room.memory(inside, self._byte(windows.pad))
        self.whole = self.room.memory(self._lying(product.padded, self.steps))
        self.spread = self._spread(self.whole.desc.size)
        rows = self.context.desc((samples * math.prod(product.count), product.seen))
        self.patches = self.room.memory(rows, self.whole.desc.size)

    def _lying(self, size: Shape, steps: Sequence[int]) -> Desc:
        """Samples of that size, of which a step along each axis but the channels', in (N, size..., C), is so long."""
        first, *rest = steps[:-1]
        return self.context.desc((self.samples, self.product.channels, *size), (first, 1, *rest))

    def _byte(self, place: Sequence[int]) -> int:
        """Where the pixel at a place of the first padded sample lies."""
        return ITEM * sum(index * step for index, step in zip(place, self.steps[1:-1], strict=True))

    def clear(self) -> None:
        """Make the padding nought. Nothing else is written there until another layer uses the room."""
        self.whole.array[: self.whole.desc.size] = 0

    def pad(self, images: Array) -> Run:
        """What brings samples into their padding."""
        source = self.context.memory(images)
        return self.context.reorder(source.desc, self.inside.desc).run({c.SRC: source, c.DST: self.inside})

    def _spread(self, start: int) -> list[Run]:
        """What lays out the patches as rows from the byte `start` on, one place of the kernel after the other."""
        product, windows = self.product, self.product.windows
        n, *along, _ = self.steps
        strided = [step * stride for step, stride in zip(along, windows.stride, strict=True)]
        seen = self._lying(product.count, (n, *strided, 1))
        rows = [product.seen * step for step in self.context.strides((self.samples, *product.count))]
        laid = self._lying(product.count, (*rows, 1))
        copy, calls = self.context.reorder(seen, laid), []
        for i, place in enumerate(itertools.product(*map(range, windows.kernel))):
            corner = [index * dilation for index, dilation in zip(place, windows.dilation, strict=True)]
            source = self.room.memory(seen, self._byte(corner))
            target = self.room.memory(laid, start + ITEM * i * product.channels)
            calls.append(copy.run({c.SRC: source, c.DST: target}))
        return calls

    def multiply(self, pixels: Array, out: Memory, *, add: bool) -> Run:
        """What writes the product (P, K C), or adds to it."""
        source = self.context.memory(as_rows(pixels).T)
        attributes = self.context.attributes().then_sum(1.0) if add else None
        primitive = self.context.primitive(
            "matmul", source.desc, self.patches.desc, None, out.desc, attributes=attributes
        )
        return primitive.run({c.SRC: source, c.WEIGHTS: self.patches, c.DST: out})
