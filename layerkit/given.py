"""What callers give to a net, checked: arrays, shapes, and that no source is given in part."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from layerkit.blob import Array, Shape
from layerkit.errors import UnknownNameError, UsageError
from layerkit.graph import Graph
from layerkit.spec.sentences import plain

Keep = Literal["all"] | Collection[str]
"""Which blobs can be read after a pass: all, or those of these names, beside inputs and outputs."""


def as_array(name: str, value: npt.ArrayLike) -> Array:
    """A value as an array of real numbers. Raises UsageError, naming the blob."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise UsageError(f"{name!r} must be an array of numbers, with rows of one length") from None
    if array.dtype.kind not in "fiub":
        raise UsageError(f"{name!r} must be an array of numbers, not of {array.dtype}")
    return array


def as_shape(name: str, shape: Sequence[int]) -> Shape:
    """A shape as a tuple. Raises UsageError, naming the blob."""
    sizes = tuple(shape) if isinstance(shape, Sequence) and not isinstance(shape, str) else (None,)
    if any(not isinstance(size, (int, np.integer)) or size < 0 for size in sizes):
        raise UsageError(f"the shape of {name!r} must be a list of whole numbers from 0 on, not {shape!r}")
    return tuple(int(size) for size in sizes if size is not None)


def expect_whole_sources(graph: Graph, given: Collection[str]) -> None:
    """Raise UsageError if only some tops of a source are given, and something reads the others."""
    if not given:
        return
    read = {ref.name for node in graph.nodes for ref in node.bottoms}
    for node in graph.nodes:
        tops = [ref.name for ref in node.tops]
        if node.bottoms or set(given).isdisjoint(tops):
            continue
        one = next(name for name in tops if name in given)
        for name in tops:
            if name not in given and name in read:
                why = f"layer {node.name!r} does not run when {one!r} is given"
                raise UsageError(f"{why}, so {name!r} must be given too")


def known_names(graph: Graph, keep: Keep) -> Keep:
    """`keep` as it is. Raises UnknownNameError for a name that no blob has, UsageError for what is no list."""
    if keep != "all" and (isinstance(keep, str) or not isinstance(keep, Collection)):
        raise UsageError(f"keep must be 'all' or a list of blobs' names, not {plain(keep)}")
    for name in () if keep == "all" else keep:
        if name not in graph.last:
            raise UnknownNameError("blob to keep", name, graph.last)
    return keep
