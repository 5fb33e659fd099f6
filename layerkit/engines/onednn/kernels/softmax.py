"""Softmax, alone and with the loss behind it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from layerkit.blob import Array
from layerkit.engines.kernel import Kernel, Run, Work
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.kernels.common import blob_desc, is_slow
from layerkit.engines.onednn.primitives import Context
from layerkit.layer import Bottoms, Tops

_TINY = np.finfo(np.float32).tiny


def softmax(context: Context, work: Work) -> Kernel | None:
    """A kernel, unless the axis lies where oneDNN has only its reference code."""
    kernel = Softmax(context, work)
    return None if is_slow(kernel.primitive) else kernel


class Softmax(Kernel):
    """oneDNN's softmax; the gradient follows from the top."""

    shares_data = shares_diff = True
    reads_tops = (0,)

    def __init__(self, context: Context, work: Work):
        self.context = context
        self.axis = work.layer.params.axis % len(work.bottoms[0])
        self.desc = blob_desc(context, work.bottoms[0])
        kind = c.TRAINING if work.trains else c.INFERENCE
        self.primitive = context.primitive("softmax_forward", kind, c.SOFTMAX_ACCURATE, self.desc, self.desc, self.axis)
        self.implementation = self.primitive.implementation

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        memory = self.context.memory
        return self.primitive.run({c.SRC: memory(bottom[0].data), c.DST: memory(top[0].data)})

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        context, desc = self.context, self.desc
        primitive = context.primitive(
            "softmax_backward", c.SOFTMAX_ACCURATE, desc, desc, desc, self.axis, self.primitive
        )
        memory = context.memory
        return primitive.run(
            {c.DST: memory(top[0].data), c.DIFF_DST: memory(top[0].diff), c.DIFF_SRC: memory(bottom[0].diff)}
        )


def softmax_with_loss(context: Context, work: Work) -> Kernel | None:
    """A kernel for rows of scores, one label a row.

    Other shapes, a second top, class weights and label smoothing are left to numpy.
    """
    rows_of_scores = len(work.bottoms[0]) == 2 and work.layer.params.axis in (1, -1)
    plain = len(work.tops) == 1 and not work.layer.weighted
    return SoftmaxWithLoss(context, work) if rows_of_scores and plain else None


class SoftmaxWithLoss(Kernel):
    """oneDNN's softmax, and the rest in few numpy calls: for few classes these are what takes the time."""

    remembers = True

    def __init__(self, context: Context, work: Work):
        self.context, self.layer = context, work.layer
        rows, classes = work.bottoms[0]
        desc = context.desc((rows, classes))
        kind = c.TRAINING if work.trains else c.INFERENCE
        self.primitive = context.primitive("softmax_forward", kind, c.SOFTMAX_ACCURATE, desc, desc, 1)
        self.implementation = self.primitive.implementation
        self.flat = context.room((rows * classes,))
        self.p = context.memory(self.flat, desc)
        self.first = np.arange(rows) * classes  # where each row begins
        self.labels, self.chosen = np.zeros((2, rows), np.int64)  # the class of each row, and its place in `flat`
        self.row = np.zeros(rows, np.float32)
        self.divisor, self.shape = 1.0, (rows, classes)
        self.left_out: Array | None = None

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        exponents = self.primitive.run({c.SRC: self.context.memory(bottom[0].data), c.DST: self.p})
        given, loss = bottom[1].data.reshape(-1, copy=False), top[0].data
        labels, chosen, row, (rows, classes) = self.labels, self.chosen, self.row, self.shape
        unsigned = labels.view(np.uint64)  # in which numbers below 0 are very large ones
        ignore = self.layer.params.ignore_label

        def run() -> None:
            with np.errstate(invalid="ignore"):  # NaN becomes some integer, and differs from it
                np.copyto(labels, given, casting="unsafe")
            if ignore is not None or unsigned.max() >= classes or (labels != given).any():
                self.layer.read_labels(given, classes, labels)  # which marks those to ignore by -1, or raises
            exponents()
            left_out = self.left_out = None if ignore is None else labels < 0
            places = labels if left_out is None else np.where(left_out, 0, labels)
            np.add(self.first, places, out=chosen)
            np.take(self.flat, chosen, out=row, mode="clip")
            np.log(np.maximum(row, _TINY, out=row), out=row)
            if left_out is not None:
                row[left_out] = 0
            valid = rows if left_out is None else rows - int(np.count_nonzero(left_out))
            self.divisor = self.layer.divisor(self.shape, valid)
            loss[...] = (0 - np.add.reduce(row)) / self.divisor  # 0 - 0 is not -0

        return run

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        dy, dx = top[0].diff, bottom[0].diff
        flat = dx.reshape(-1, copy=False)
        p = self.flat.reshape(self.shape)

        def run() -> None:
            scale = np.float32(dy / self.divisor)
            np.multiply(p, scale, out=dx)
            flat[self.chosen] -= scale
            if self.left_out is not None:
                dx[self.left_out] = 0

        return run
