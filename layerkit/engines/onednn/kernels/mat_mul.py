"""MatMul, where both bottoms have the same leading axes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from layerkit.blob import Array, Shape
from layerkit.engines.kernel import Kernel, Run, Work
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.kernels.common import in_turn, is_slow
from layerkit.engines.onednn.primitives import Context, Desc, Primitive
from layerkit.layer import Bottoms, Tops


def mat_mul(context: Context, work: Work) -> Kernel | None:
    """A kernel, unless matrices are stretched over others, whose gradients would have to be summed."""
    a, b = work.bottoms
    if a[:-2] != b[:-2]:
        return None
    kernel = MatMul(context, work)
    return None if is_slow(kernel.product) else kernel


class MatMul(Kernel):
    """oneDNN's products of plain matrices, (..., M, K) with (..., K, N).

    A blob of four or five axes lies channels-last, so that its matrices' rows are not in one piece. Such blobs are
    copied to where they are, and products back: a copy is one pass, and each number is used many times.
    """

    reads_bottoms = (0, 1)

    def __init__(self, context: Context, work: Work):
        p, (a, b), (y,) = work.layer.params, work.bottoms, work.tops
        self.context, self.turned = context, (p.transpose_a, p.transpose_b)
        self.rooms = [None if len(shape) < 4 else context.room(shape) for shape in (a, b, y)]
        self.product = self._product(a, p.transpose_a, b, p.transpose_b, y)
        self.implementation = self.product.implementation

    def _product(self, a: Shape, turn_a: bool, b: Shape, turn_b: bool, out: Shape) -> Primitive:
        first, second = self._matrices(a, turn_a), self._matrices(b, turn_b)
        return self.context.primitive("matmul", first, second, None, self.context.desc(out))

    def _matrices(self, shape: Shape, turned: bool) -> Desc:
        """A plain array's matrices, or these transposed."""
        strides = self.context.strides(shape)
        if turned:
            shape = (*shape[:-2], shape[-1], shape[-2])
            strides = [*strides[:-2], strides[-1], strides[-2]]
        return self.context.desc(shape, strides)

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        (take_a, a), (take_b, b) = (self._plain(i, bottom[i].data) for i in range(2))
        bring, y = self._plain(2, top[0].data, back=True)
        return in_turn(take_a, take_b, self._run(self.product, a, b, y), bring)

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        take, dy = self._plain(2, top[0].diff)
        calls: list[Run | None] = [take]
        turn_a, turn_b = self.turned
        if propagate_down[0]:  # dy b^T, or its transpose
            take, b = self._plain(1, bottom[1].data)
            bring, da = self._plain(0, bottom[0].diff, back=True)
            product = (
                self._multiply(b, turn_b, dy, True, da) if turn_a else self._multiply(dy, False, b, not turn_b, da)
            )
            calls += [take, product, bring]
        if propagate_down[1]:  # a^T dy, or its transpose
            take, a = self._plain(0, bottom[0].data)
            bring, db = self._plain(1, bottom[1].diff, back=True)
            product = (
                self._multiply(dy, True, a, turn_a, db) if turn_b else self._multiply(a, not turn_a, dy, False, db)
            )
            calls += [take, product, bring]
        return in_turn(*calls)

    def _multiply(self, a: Array, turn_a: bool, b: Array, turn_b: bool, out: Array) -> Run:
        return self._run(self._product(a.shape, turn_a, b.shape, turn_b, out.shape), a, b, out)

    def _run(self, product: Primitive, a: Array, b: Array, out: Array) -> Run:
        memory = self.context.memory
        return product.run({c.SRC: memory(a), c.WEIGHTS: memory(b), c.DST: memory(out)})

    def _plain(self, which: int, array: Array, *, back: bool = False) -> tuple[Run | None, Array]:
        """Where a blob's values lie plainly, and what copies them there, or `back`."""
        room = self.rooms[which]
        if room is None:
            return None, array
        source, target = (room, array) if back else (array, room)
        first, second = self.context.of(source), self.context.of(target)
        copy = self.context.reorder(first, second)
        return copy.run({c.SRC: self.context.memory(source, first), c.DST: self.context.memory(target, second)}), room
