"""Eltwise: sums and products, with a ReLU where one follows a sum."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from layerkit.engines.kernel import Kernel, Run, Work
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.kernels.common import blob_desc, in_turn
from layerkit.engines.onednn.kernels.elementwise import Rectifier
from layerkit.engines.onednn.primitives import Context
from layerkit.layer import Bottoms, Tops


def eltwise(context: Context, work: Work) -> Kernel | None:
    """A kernel for plain sums, and for products of two, of bottoms of one shape; the rest is left to numpy."""
    if any(shape != work.tops[0] for shape in work.bottoms):
        return None
    p, rectifier = work.layer.params, Rectifier.behind(work)
    if len(work.layers) > 1 and (rectifier is None or p.operation != "SUM"):
        return None
    if p.operation == "SUM" and not p.coeff:
        return Sum(context, work, rectifier)
    if p.operation == "PROD" and len(work.bottoms) == 2 and p.stable_prod_grad:
        return Product(context, work)
    return None


class Sum(Kernel):
    """y = sum of the bottoms, rectified where a ReLU follows; each bottom's diff is the diff before the rectifier."""

    shares_data = True
    shares_diff = True

    def __init__(self, context: Context, work: Work, rectifier: Rectifier | None):
        self.context, self.rectifier = context, rectifier
        self.desc = blob_desc(context, work.bottoms[0])
        self.last = context.primitive(
            "binary",
            c.ADD,
            self.desc,
            self.desc,
            self.desc,
            attributes=rectifier.attributes(context) if rectifier else None,
        )
        self.implementation = self.last.implementation
        self.reads_tops = (0,) if rectifier else ()
        self.spoils = rectifier is not None
        self.passes = range(len(work.bottoms))

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        context = self.context
        add = context.primitive("binary", c.ADD, self.desc, self.desc, self.desc)
        so_far, total = context.memory(bottom[0].data), context.memory(top[0].data)
        calls = []
        for i, blob in enumerate(bottom[1:], 2):
            primitive = self.last if i == len(bottom) else add
            calls.append(primitive.run({c.SRC: so_far, c.SRC_1: context.memory(blob.data), c.DST: total}))
            so_far = total
        return in_turn(*calls)

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        context, dy = self.context, top[0].diff
        calls = [self.rectifier.backward(context, top[0].data, dy, dy)] if self.rectifier else []
        copy = context.reorder(self.desc, self.desc)
        for blob, wanted in zip(bottom, propagate_down, strict=True):
            if wanted and blob.diff.ctypes.data != dy.ctypes.data:
                calls.append(copy.run({c.SRC: context.memory(dy), c.DST: context.memory(blob.diff)}))
        return in_turn(*calls)


class Product(Kernel):
    """y = a b; da = dy b, db = dy a."""

    reads_bottoms = (0, 1)

    def __init__(self, context: Context, work: Work):
        self.context = context
        desc = blob_desc(context, work.bottoms[0])
        self.multiply = context.primitive("binary", c.MULTIPLY, desc, desc, desc)
        self.implementation = self.multiply.implementation

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        memory = self.context.memory
        return self.multiply.run(
            {c.SRC: memory(bottom[0].data), c.SRC_1: memory(bottom[1].data), c.DST: memory(top[0].data)}
        )

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        memory = self.context.memory
        return in_turn(
            *(
                self.multiply.run({c.SRC: memory(top[0].diff), c.SRC_1: memory(other.data), c.DST: memory(blob.diff)})
                for blob, other, wanted in zip(bottom, reversed(bottom), propagate_down, strict=True)
                if wanted
            )
        )
