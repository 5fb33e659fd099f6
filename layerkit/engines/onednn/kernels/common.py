"""What several kernels need: descriptors of blobs, packed weights, functions run one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from layerkit.blob import Array, Blob, Shape, Stamp
from layerkit.engines.kernel import Run
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.primitives import Context, Desc, Primitive


def blob_desc(context: Context, shape: Shape) -> Desc:
    """How a blob of this shape lies: channels-last with four or five axes, else C-ordered."""
    if len(shape) not in (4, 5):
        return context.desc(shape)
    n, channels, *spatial = shape
    steps = context.strides((n, *spatial, channels))
    return context.desc(shape, (steps[0], steps[-1], *steps[1:-1]))


def is_slow(primitive: Primitive) -> bool:
    """Whether oneDNN runs its plain reference code."""
    return primitive.implementation.startswith("ref")


def is_narrow(primitive: Primitive) -> bool:
    """Whether oneDNN runs code made for AVX2, and none for wider vectors."""
    return primitive.implementation.endswith("avx2")


def in_turn(*calls: Run | None) -> Run:
    """The calls that are there, one after the other, as one."""
    present = [call for call in calls if call is not None]
    if len(present) == 1:
        return present[0]

    def run() -> None:
        for call in present:
            call()

    return run


class Packed:
    """A weight as a primitive wants it: in place where it wants Caffe's layout, else a copy that `refresh` brings up.

    With `transient`, as while training, when weights change with each step, it is copied right before each use, to one
    array for all; otherwise the copy stays, and is made anew only where the weight may have changed since.
    """

    def __init__(self, context: Context, weight: Blob, plain: Desc, wanted: Desc, *, transient: bool):
        array = weight.values
        self.memory = context.memory(array, plain)
        self.refresh: Run | None = None
        if plain == wanted:
            return
        source = self.memory
        self.memory = context.staging.memory(wanted) if transient else context.allocate(wanted)
        copy = context.reorder(plain, wanted).run({c.SRC: source, c.DST: self.memory})
        self.refresh = copy if transient else unless_known(weight.stamp, copy)


class Unpacked:
    """A weight's diff as a primitive writes it, and what brings it to where it belongs right after."""

    def __init__(self, context: Context, diff: Array, plain: Desc, wanted: Desc):
        self.memory = target = context.memory(diff, plain)
        self.bring: Run | None = None
        if plain != wanted:
            self.memory = context.staging.memory(wanted)
            self.bring = context.reorder(wanted, plain).run({c.SRC: self.memory, c.DST: target})


def unless_known(stamps: Stamp | Sequence[Stamp | None] | None, call: Run) -> Run:
    """`call`, but only where what the stamps stand for may have changed since it ran last."""
    watched = [stamps] if stamps is None or isinstance(stamps, Stamp) else list(stamps)
    if any(stamp is None for stamp in watched):
        return call
    sure = [stamp for stamp in watched if stamp is not None]
    seen = [-1] * len(sure)

    def run() -> None:
        for i, stamp in enumerate(sure):
            if stamp.handed_out or stamp.number != seen[i]:
                break
        else:
            return
        call()
        for i, stamp in enumerate(sure):
            seen[i] = stamp.number

    return run
