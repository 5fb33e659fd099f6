"""Gradients as products of matrices, where those are faster than oneDNN's own primitives.

A channels-last blob is a matrix with a row for each pixel of each sample and a column for each channel.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.engines.kernel import Run
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.primitives import Context, Desc, Primitive

ROOM = 12 << 20
"""Bytes that samples are laid out in, some at a time, so that the cache still has them when a product reads them."""
ITEM = 4
"""Bytes of a number."""


class Windows(Protocol):
    """What is used of a layer's windows, of which engines know no more; one number for each spatial axis everywhere."""

    size: Shape
    """Of images."""
    count: Shape
    """Of pixels."""
    kernel: Shape
    stride: Shape
    pad: Shape
    dilation: Shape


def neighbours(windows: Windows) -> int:
    """How many neighbours in a kernel's row can be copied as one: as many as windows move on by, so none overlap."""
    return windows.stride[-1] if windows.dilation[-1] == 1 else 1


def as_rows(array: Array) -> Array:
    """A channels-last blob as a matrix with a column for each channel."""
    return np.moveaxis(array, 1, -1).reshape(-1, array.shape[1], copy=False)


def multiply(context: Context, one: Array, other: Array, out: Array) -> Run:
    """out = one other. `one` and `other` may be transposed views; `out` is C-ordered."""
    first, second, result = context.memory(one), context.memory(other), context.memory(out)
    primitive = context.primitive("matmul", first.desc, second.desc, None, result.desc)
    return primitive.run({c.SRC: first, c.WEIGHTS: second, c.DST: result})


def adding_product(context: Context, one: Desc, other: Desc, out: Desc, *, add: bool) -> Primitive:
    """A product that is written, or added to what `out` holds."""
    attributes = context.attributes().then_sum(1.0) if add else None
    return context.primitive("matmul", one, other, None, out, attributes=attributes)


def channel_sums(context: Context, array: Array, out: Array) -> Run:
    """What writes the sums over all but the channels: a row of ones, times the matrix, in no more time than to read it.

    What oneDNN adds up beside a weight's gradient took up to six times as long.
    """
    if array.ndim == 3:  # (N, C, L) lies in that order
        return functools.partial(np.sum, array, axis=(0, 2), out=out)
    rows = as_rows(array)
    return multiply(context, context.ones(len(rows)), rows, out.reshape(1, -1))


class WeightGradient:
    """A convolution's weight gradient from products of matrices, of a few samples at a time in the context's room.

    A subclass makes what it does with a number of samples, a Batch, and what brings the sum of all to the diff.
    """

    def __init__(self, context: Context, images: Shape, pixels: Shape, windows: Windows, groups: int):
        self.context, self.windows, self.groups = context, windows, groups
        self.channels, self.outputs = images[1] // groups, pixels[1] // groups
        fit = max(1, ROOM // (ITEM * self.numbers))
        self.at_once = math.ceil(images[0] / math.ceil(images[0] / fit))  # samples, about as many each time
        self._batches: dict[int, Batch] = {}

    @property
    def numbers(self) -> int:
        """How many numbers of room a sample takes."""
        raise NotImplementedError(f"{type(self).__name__} does not say what room it takes")

    def write(self, images: Array, pixels: Array, diff: Array) -> list[Run]:
        """What writes the weight's diff (P, C / G, kernel...), one group after the other."""
        parts = (np.split(array, self.groups, axis) for array, axis in ((images, 1), (pixels, 1), (diff, 0)))
        return [call for part in zip(*parts, strict=True) for call in self._write_group(*part)]

    def _write_group(self, images: Array, pixels: Array, diff: Array) -> list[Run]:
        calls: list[Run] = []
        for start in range(0, len(images), self.at_once):
            part = slice(start, start + self.at_once)
            batch = self._batch(len(images[part]))
            calls += [] if calls else [batch.clear]
            calls += batch.runs(images[part], pixels[part], add=start > 0)
        return [*calls, self.bring(diff)]

    def _batch(self, samples: int) -> Batch:
        if samples not in self._batches:
            self._batches[samples] = self.batch(samples)
        return self._batches[samples]

    def batch(self, samples: int) -> Batch:
        """What is done with so many samples."""
        raise NotImplementedError(f"{type(self).__name__} has no batches")

    def bring(self, diff: Array) -> Run:
        """What writes the diff when all samples were added up."""
        raise NotImplementedError(f"{type(self).__name__} brings nothing")


class Batch:
    """What a WeightGradient does with a number of samples."""

    def clear(self) -> None:
        """Make the padding nought, once before the first samples come."""
        raise NotImplementedError(f"{type(self).__name__} clears nothing")

    def runs(self, images: Array, pixels: Array, *, add: bool) -> list[Run]:
        """What writes the products of these samples, or adds them to those of the samples before."""
        raise NotImplementedError(f"{type(self).__name__} runs nothing")


class PatchProduct(WeightGradient):
    """The weight gradient as one product: the pixels (R, P), transposed, times their patches (R, K C).

    A pixel's patch is what the kernel sees of the image: C channels at K places. The patches of a few samples at a time
    are laid out as rows.

    Source: Chellapilla, Puri and Simard, High performance convolutional neural networks for document processing (2006).
    """

    @property
    def seen(self) -> int:
        """How many numbers a patch has."""
        return self.channels * math.prod(self.windows.kernel)

    @property
    def numbers(self) -> int:
        return math.prod(self.windows.count) * self.seen

    def batch(self, samples: int) -> Batch:
        return _Patches(self, samples)

    def bring(self, diff: Array) -> Run:
        context, result = self.context, self.context.memory(diff)
        first, *rest, last = context.strides((self.outputs, *self.windows.kernel, self.channels))
        lying = context.desc(diff.shape, (first, last, *rest))
        arrays = {c.SRC: context.staging.memory(lying), c.DST: result}
        return context.reorder(lying, result.desc).run(arrays)


class _Patches(Batch):
    """Samples, padded, and then their patches, in the context's room."""

    def __init__(self, product: PatchProduct, samples: int):
        self.context, self.samples, self.product = product.context, samples, product
        self.room, windows = product.context.patches, product.windows
        axes = zip(windows.size, windows.pad, windows.count, windows.stride, strict=True)
        padded = tuple(max(size + 2 * pad, count * stride) for size, pad, count, stride in axes)
        self.steps = self.context.strides((samples, *padded, product.channels))
        self.inside = self.room.memory(self._lying(windows.size, self.steps, product.channels), self._byte(windows.pad))
        self.whole = self.room.memory(self._lying(padded, self.steps, product.channels))
        self.spread = self._spread(self.whole.desc.size)
        rows = self.context.desc((samples * math.prod(windows.count), product.seen))
        self.patches = self.room.memory(rows, self.whole.desc.size)

    def _lying(self, size: Shape, steps: Sequence[int], channels: int) -> Desc:
        """Samples of that size, of which a step along each axis but the channels', in (N, size..., C), is so long."""
        first, *rest = steps[:-1]
        return self.context.desc((self.samples, channels, *size), (first, 1, *rest))

    def _byte(self, place: Sequence[int]) -> int:
        """Where the pixel at a place of the first padded sample lies."""
        return ITEM * sum(index * step for index, step in zip(place, self.steps[1:-1], strict=True))

    def clear(self) -> None:
        self.whole.array[: self.whole.desc.size] = 0

    def runs(self, images: Array, pixels: Array, *, add: bool) -> list[Run]:
        context, product = self.context, self.product
        source = context.memory(images)
        pad = context.reorder(source.desc, self.inside.desc).run({c.SRC: source, c.DST: self.inside})
        rows = context.memory(as_rows(pixels).T)
        out = context.staging.memory(context.desc((product.outputs, product.seen)))
        multiply = adding_product(context, rows.desc, self.patches.desc, out.desc, add=add)
        return [pad, *self.spread, multiply.run({c.SRC: rows, c.WEIGHTS: self.patches, c.DST: out})]

    def _spread(self, start: int) -> list[Run]:
        """What lays out the patches as rows from the byte `start` on, place after place of the kernel."""
        product, windows = self.product, self.product.windows
        n, *along, _ = self.steps
        strided = [step * stride for step, stride in zip(along, windows.stride, strict=True)]
        rows = [product.seen * step for step in self.context.strides((self.samples, *windows.count))]
        at_once = neighbours(windows)
        *others, last = windows.kernel
        starts, calls = [range(size) for size in others] + [range(0, last, at_once)], []
        for place in itertools.product(*starts):
            numbers = min(at_once, last - place[-1]) * product.channels
            seen = self._lying(windows.count, (n, *strided, 1), numbers)
            laid = self._lying(windows.count, (*rows, 1), numbers)
            corner = [index * dilation for index, dilation in zip(place, windows.dilation, strict=True)]
            index = int(np.ravel_multi_index(place, windows.kernel))
            source = self.room.memory(seen, self._byte(corner))
            target = self.room.memory(laid, start + ITEM * index * product.channels)
            calls.append(self.context.reorder(seen, laid).run({c.SRC: source, c.DST: target}))
        return calls
