"""The oneDNN engine: a table from types of layers, or chains of them, to kernels that run oneDNN's primitives.

Source: oneDNN (UXL Foundation, formerly Intel), through its C API. What was measured stands in the kernels' comments.
"""

from __future__ import annotations

import math
import os
from typing import ClassVar

import numpy as np

from layerkit import threads
from layerkit.blob import Array
from layerkit.engines.kernel import Blend, Engine, Kernel, Run, Work
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.kernels import KERNELS
from layerkit.engines.onednn.library import StatusError, load
from layerkit.engines.onednn.primitives import Context
from layerkit.errors import UsageError

WORTHWHILE = 4096
"""Elements from which on a pass over an array is quicker by oneDNN than by numpy."""

FORKED = (
    "this process was forked from one that had used the onednn engine, whose threads a fork does not take along; "
    "start processes with multiprocessing's 'spawn' method, or use engine='numpy'"
)
_forked = False


def is_forked() -> bool:
    """Whether this process was forked from one that had used oneDNN."""
    return _forked


def _note_fork() -> None:
    global _forked
    _forked = load.cache_info().currsize > 0 and load().in_use


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


class OneDnnEngine(Engine):
    """oneDNN for one net. Raises UnavailableError where the library cannot be used."""

    name: ClassVar[str] = "onednn"
    channels_last: ClassVar[bool] = True
    blend_factor: ClassVar[int] = 16  # with 1, an update of half a million weights takes 1.6 times as long
    library: ClassVar[int] = 30_000_000  # 13 MB when it is loaded, 10 to 20 MB of code and threads' stacks after that

    def __init__(self) -> None:
        library = load()
        threads.take_over(library.loaded)
        library.in_use = True
        self.context = Context(library)

    def enter(self) -> None:
        """Raises UsageError in a process forked from one that used oneDNN: its threads are not there any more."""
        if _forked:
            raise UsageError(FORKED)
        threads.enter()

    @property
    def own(self) -> int:  # type: ignore[override]
        """Bytes of arrays that kernels made for themselves, those that they share among them."""
        return self.context.own

    def kernel(self, work: Work) -> Kernel | None:
        make = KERNELS.get(work.types)
        if make is None or not all(math.prod(shape) for shape in (*work.bottoms, *work.tops)):
            return None  # of empty arrays the layers' own code makes less fuss
        try:
            return make(self.context, work)
        except StatusError as error:
            if error.status == c.UNIMPLEMENTED:
                return None
            raise

    def why_not(self, types: tuple[str, ...]) -> str:
        if types in KERNELS:
            return "onednn's kernel is not for these shapes and parameters, or slower with them"
        return "onednn has no kernel for such a layer"

    def add(self, total: Array, part: Array) -> Run | None:
        if total.size < WORTHWHILE:
            return None
        context = self.context
        one, other = context.of(total), context.of(part)
        primitive = context.primitive("binary", c.ADD, one, other, one)
        memory = context.memory(total, one)
        return primitive.run({c.SRC: memory, c.SRC_1: context.memory(part, other), c.DST: memory})

    def blend(self, out: Array, keep: float, first: Array, second: Array) -> Blend | None:
        if out.size < WORTHWHILE:
            return None
        context, desc = self.context, self.context.of(out)
        attributes = context.attributes().scaled(c.SRC).scaled(c.SRC_1)
        if keep:
            attributes.then_sum(keep)
        primitive = context.primitive("binary", c.ADD, desc, desc, desc, attributes=attributes)
        factors = np.zeros((2, 1), np.float32)
        run = primitive.run(
            {
                c.SRC: context.memory(first, desc),
                c.SRC_1: context.memory(second, desc),
                c.DST: context.memory(out, desc),
                c.ATTR_SCALES | c.SRC: context.memory(factors[0]),
                c.ATTR_SCALES | c.SRC_1: context.memory(factors[1]),
            }
        )

        def blend(a: float, b: float) -> None:
            factors[0], factors[1] = a, b
            run()

        return blend
