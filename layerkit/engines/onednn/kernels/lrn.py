"""LRN across and within channels."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from layerkit.blob import Array
from layerkit.engines.kernel import Kernel, Run, Work
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.kernels.common import blob_desc, in_turn, is_slow
from layerkit.engines.onednn.primitives import Context, Memory, Primitive
from layerkit.layer import Bottoms, Tops

CHUNK = 1 << 16
"""Elements that are worked on at a time: what is computed on the way stays in the cache."""
SIZES = range(3, 32)
"""Windows that a WindowedLRN sums, by one addition with a chain of further ones; oneDNN chains up to 32 operations."""


def lrn(context: Context, work: Work) -> Kernel | None:
    """oneDNN's own where both its passes are fast, which needs AVX-512; else, across channels, one from its parts."""
    across = work.layer.params.norm_region == "ACROSS_CHANNELS"
    if len(work.bottoms[0]) != 4:
        return None
    kernel = LRN(context, work, across)
    if not is_slow(kernel.primitive) and not (work.trains and is_slow(kernel.gradient)):
        return kernel
    return WindowedLRN(context, work) if across and work.layer.params.local_size in SIZES else None


class LRN(Kernel):
    """oneDNN's LRN. Its sums are divided by the window's size, as Caffe's are."""

    reads_bottoms = (0,)

    remembers = True

    def __init__(self, context: Context, work: Work, across: bool):
        self.context, p = context, work.layer.params
        rule = c.LRN_ACROSS if across else c.LRN_WITHIN
        self.desc = blob_desc(context, work.bottoms[0])
        numbers = (p.local_size, p.alpha, p.beta, p.k if across else 1.0)
        kind = c.TRAINING if work.trains else c.INFERENCE
        self.primitive = context.primitive("lrn_forward", kind, rule, self.desc, self.desc, *numbers)
        hint = self.primitive
        if not work.trains:
            hint = context.primitive("lrn_forward", c.TRAINING, rule, self.desc, self.desc, *numbers)
        self.gradient = context.primitive("lrn_backward", rule, self.desc, self.desc, self.desc, *numbers, hint)
        self.implementation = self.primitive.implementation
        self.workspace = self._workspace()

    def _workspace(self) -> Memory | None:
        desc = self.primitive.desc(c.WORKSPACE_MD)
        return self.context.allocate(desc) if desc.size else None

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        arrays = {c.SRC: self.context.memory(bottom[0].data), c.DST: self.context.memory(top[0].data)}
        if self.workspace is not None:
            arrays[c.WORKSPACE] = self.workspace
        return self.primitive.run(arrays)

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        memory = self.context.memory
        arrays = {
            c.SRC: memory(bottom[0].data),
            c.DIFF_DST: memory(top[0].diff),
            c.DIFF_SRC: memory(bottom[0].diff),
        }
        if self.workspace is not None:
            arrays[c.WORKSPACE] = self.workspace
        return self.gradient.run(arrays)


class WindowedLRN(Kernel):
    """LRN across channels from oneDNN's elementwise parts, for which channels-last storage is made.

    With s = k + alpha / n * W(x^2), W the sum over n channels around each:

        y = x s^-beta        dx = dy s^-beta - 2 alpha beta / n * x W(dy y / s)

    For W, pixels are copied to rows with n // 2 zeros between them; then it is the sum of n arrays, each of which
    begins one element after the other. All runs over few pixels at a time, so that what is between stays in the cache.
    Without AVX-512 oneDNN's own backward pass is slower by far.
    """

    implementation = "sums of shifted rows"
    reads_bottoms = (0,)
    reads_tops = (0,)
    shares_diff = True

    remembers = True

    def __init__(self, context: Context, work: Work):
        n, channels, *size = work.bottoms[0]
        p = work.layer.params
        self.context, self.beta, self.k, self.size = context, p.beta, p.k, p.local_size
        self.share = p.alpha / p.local_size
        self.pixels, self.channels = n * math.prod(size), channels
        self.step = max(1, min(self.pixels, CHUNK // channels))  # rows at a time
        self.sums = self._room(self.pixels)
        self.room = [self._room(self.step) for _ in range(3)]
        self.wide = channels + p.local_size // 2  # a row with its zeros
        self.apart = context.room((self.step * self.wide + p.local_size,))
        self.summed = context.room((self.step * self.wide,))
        self._primitives: dict[int, _Primitives] = {}

    def _room(self, rows: int) -> Array:
        return self.context.room((rows * self.channels,))

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        calls = []
        for p, (x, y, s, one, two, _) in self._parts(bottom[0].data, top[0].data, self.sums):
            calls += [
                p.multiply.run({c.SRC: x, c.SRC_1: x, c.DST: one}),
                *p.window(one, s, self.share, self.k),
                *p.times_power(x, s, y, (one, two)),
            ]
        return in_turn(*calls)

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        calls = []
        arrays = (bottom[0].data, top[0].data, self.sums, top[0].diff, bottom[0].diff)
        for p, (x, y, s, dy, dx, one, two, three) in self._parts(*arrays):
            calls += [
                p.multiply_over.run({c.SRC: dy, c.SRC_1: y, c.post_op(0): s, c.DST: one}),
                *p.window(one, three, -2 * self.share * self.beta, 0.0),
                p.multiply.run({c.SRC: x, c.SRC_1: three, c.DST: three}),
                *p.times_power(dy, s, dx, (one, two), plus=three),
            ]
        return in_turn(*calls)

    def _parts(self, *arrays: Array) -> Iterator[tuple[_Primitives, list[Memory]]]:
        """The arrays as matrices of pixels by channels, few rows at a time, and three to work in of as many rows."""
        flat = [_as_it_lies(array) for array in arrays]
        for start in range(0, self.pixels, self.step):
            rows = min(self.step, self.pixels - start)
            if rows not in self._primitives:
                self._primitives[rows] = _Primitives(self, rows)
            size = rows * self.channels
            parts = [array[start * self.channels :][:size] for array in flat] + [array[:size] for array in self.room]
            desc = self._primitives[rows].desc
            yield self._primitives[rows], [self.context.memory(part, desc) for part in parts]


class _Primitives:
    """What a WindowedLRN computes with, for one number of rows."""

    def __init__(self, kernel: WindowedLRN, rows: int):
        self.context, self.kernel, self.beta = kernel.context, kernel, kernel.beta
        self.desc = kernel.context.desc((rows, kernel.channels))
        self.apart = kernel.context.desc((rows, kernel.channels), (kernel.wide, 1))
        self.line = kernel.context.desc((rows * kernel.wide,))
        self.multiply, self.multiply_over = self.binary(c.MULTIPLY), self.binary(c.MULTIPLY, c.DIVIDE)

    def window(self, source: Memory, target: Memory, factor: float, plus: float) -> list[Run]:
        """target = factor W(source) + plus."""
        context, kernel = self.context, self.kernel
        inside = context.memory(kernel.apart[kernel.size // 2 :], self.apart)
        summed = context.memory(kernel.summed, self.apart)
        first, second, *rest = (context.memory(kernel.apart[shift:], self.line) for shift in range(kernel.size))
        attributes = context.attributes()
        for _ in rest:
            attributes.then_binary(c.ADD, self.line)
        attributes.then_elementwise(c.LINEAR, factor, plus)
        add = context.primitive("binary", c.ADD, self.line, self.line, self.line, attributes=attributes)
        return [
            context.reorder(self.desc, self.apart).run({c.SRC: source, c.DST: inside}),
            add.run(
                {
                    c.SRC: first,
                    c.SRC_1: second,
                    c.DST: context.memory(kernel.summed, self.line),
                    **{c.post_op(i): each for i, each in enumerate(rest)},
                }
            ),
            context.reorder(self.apart, self.desc).run({c.SRC: summed, c.DST: target}),
        ]

    def binary(self, rule: int, *then: int) -> Primitive:
        """Two arrays combined by a rule, and the result with further ones."""
        attributes = self.context.attributes()
        for each in then:
            attributes.then_binary(each, self.desc)
        return self.context.primitive("binary", rule, self.desc, self.desc, self.desc, attributes=attributes)

    def elementwise(self, rule: int, alpha: float, source: Memory, target: Memory) -> Run:
        """A function of each element."""
        primitive = self.context.primitive("eltwise_forward", c.INFERENCE, rule, self.desc, self.desc, alpha, 0.0)
        return primitive.run({c.SRC: source, c.DST: target})

    def times_power(
        self, x: Memory, s: Memory, out: Memory, room: tuple[Memory, Memory], plus: Memory | None = None
    ) -> list[Run]:
        """out = x s^-beta + plus. oneDNN's own power is slow; most nets have beta 3/4, two square roots."""
        one, two = room
        then = [] if plus is None else [c.ADD]
        if self.beta == 0.75:
            last = self.binary(c.DIVIDE, c.DIVIDE, *then)
            arrays = {c.SRC: x, c.SRC_1: one, c.DST: out, c.post_op(0): two}
            roots = [self.elementwise(c.SQRT, 0.0, s, one), self.elementwise(c.SQRT, 0.0, one, two)]
            return [*roots, last.run(arrays if plus is None else {**arrays, c.post_op(1): plus})]
        last = self.binary(c.MULTIPLY, *then)
        arrays = {c.SRC: x, c.SRC_1: one, c.DST: out}
        return [
            self.elementwise(c.LOG, 0.0, s, one),
            self.elementwise(c.LINEAR, -self.beta, one, one),
            self.elementwise(c.EXP, 0.0, one, one),
            last.run(arrays if plus is None else {**arrays, c.post_op(0): plus}),
        ]


def _as_it_lies(array: Array) -> Array:
    """A channels-last blob's array, or one that is flat already, with one axis and in the order of memory."""
    return (np.moveaxis(array, 1, -1) if array.ndim == 4 else array).reshape(-1, copy=False)
