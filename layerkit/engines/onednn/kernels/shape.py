"""Concat, Slice, Flatten and Reshape: copies from one place to another."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from ctypes import c_void_p
from itertools import accumulate

import numpy as np

from layerkit.blob import Array
from layerkit.engines.kernel import Kernel, Run, Work
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.kernels.common import blob_desc, in_turn
from layerkit.engines.onednn.primitives import Context
from layerkit.layer import Bottoms, Tops


def concat(context: Context, work: Work) -> Kernel:
    """The bottoms laid one after the other."""
    return Concat(context, work)


def slices(context: Context, work: Work) -> Kernel:
    """The bottom cut into its tops."""
    return Slice(context, work)


def flatten(context: Context, work: Work) -> Kernel | None:
    """The bottom's values, in Caffe's order, in another shape that is no channels-last one."""
    return None if len(work.tops[0]) in (4, 5) else Flatten(context, work)


class Concat(Kernel):
    """oneDNN's concat forward; backward, one copy a bottom."""

    def __init__(self, context: Context, work: Work):
        self.context = context
        p = work.layer.params
        self.axis = (p.axis if p.concat_dim is None else p.concat_dim) % len(work.tops[0])
        parts = [blob_desc(context, shape) for shape in work.bottoms]
        self.handles = (c_void_p * len(parts))(*(part.handle for part in parts))
        self.parts = parts
        target = blob_desc(context, work.tops[0])
        self.primitive = context.primitive("concat", target, len(parts), self.axis, self.handles)
        self.implementation = self.primitive.implementation

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        memory = self.context.memory
        arrays = {c.MULTIPLE_SRC + i: memory(blob.data) for i, blob in enumerate(bottom)}
        return self.primitive.run({**arrays, c.DST: memory(top[0].data)})

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        parts = cut(top[0].diff, self.axis, [blob.shape[self.axis] for blob in bottom])
        return in_turn(
            *(
                copy(self.context, part, blob.diff)
                for part, blob, wanted in zip(parts, bottom, propagate_down, strict=True)
                if wanted
            )
        )


class Slice(Kernel):
    """The transpose of Concat: one copy a top; backward, oneDNN's concat."""

    implementation = "reorder"

    def __init__(self, context: Context, work: Work):
        self.context, self.work = context, work
        p = work.layer.params
        self.axis = (p.axis if p.slice_dim is None else p.slice_dim) % len(work.bottoms[0])

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        parts = cut(bottom[0].data, self.axis, [blob.shape[self.axis] for blob in top])
        return in_turn(*(copy(self.context, part, blob.data) for part, blob in zip(parts, top, strict=True)))

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        parts = cut(bottom[0].diff, self.axis, [blob.shape[self.axis] for blob in top])
        return in_turn(*(copy(self.context, blob.diff, part) for part, blob in zip(parts, top, strict=True)))


class Flatten(Kernel):
    """A copy that brings a channels-last bottom into Caffe's order."""

    implementation = "reorder"

    def __init__(self, context: Context, work: Work):
        self.context, (self.below,) = context, work.bottoms
        self.shares_data = self.shares_diff = len(self.below) not in (4, 5)

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        return copy(self.context, bottom[0].data, top[0].data.reshape(self.below, copy=False))

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        return copy(self.context, top[0].diff.reshape(self.below, copy=False), bottom[0].diff)


def cut(array: Array, axis: int, lengths: Sequence[int]) -> list[Array]:
    """Views of an array's parts along an axis."""
    return np.split(array, list(accumulate(lengths))[:-1], axis)


def copy(context: Context, source: Array, target: Array) -> Run:
    """A function that copies between two arrays of one shape, however they lie."""
    primitive = context.reorder(context.of(source), context.of(target))
    return primitive.run({c.SRC: context.memory(source), c.DST: context.memory(target)})
