"""Whether a formula works row by row: whether row i of its results, along axis 0, reads row i of the bottoms alone."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from layerkit.layers.expression.nodes import Node, ancestors


class Reads(Enum):
    """Which rows of the bottoms a value reads."""

    NONE = "none: it is made of weights and constants"
    OWN = "its axis 0 is that of the rows, and each of them reads its own"
    OTHERS = "others, or it has no row for each"


def by_rows(results: Sequence[Node], rows: int) -> bool:
    """Whether each result is made row by row of bottoms that have so many rows, all of them.

    A length that is written out in the formula may happen to be that number; who asks tries another number as well.
    """
    found: dict[int, Reads] = {}
    for node in ancestors(results):
        if node.primitive is None:
            found[node.index] = Reads.OWN if node.kind == "leaf" and node.value[0] == "bottom" else Reads.NONE
        else:
            found[node.index] = _of(node, [found[each.index] for each in node.arguments], rows)
    return all(found[node.index] is Reads.OWN for node in results)


def _of(node: Node, below: Sequence[Reads], rows: int) -> Reads:
    """What a primitive's value reads, by what its arguments do."""
    if set(below) == {Reads.NONE}:
        return Reads.NONE
    if Reads.OTHERS in below or node.shape[:1] != (rows,):
        return Reads.OTHERS
    settings, axes = node.settings, len(node.shape)
    if node.kind == "reshape":
        own = True  # the order of values stays, and there are as many rows
    elif node.kind == "transpose":
        own = settings["axes"][0] == 0
    elif "axis" in settings:
        own = 0 not in settings["axis"]
    elif node.kind == "matmul" and axes == 2:
        own = below[1] is Reads.NONE
    else:  # arguments stretch, from the last axis on
        own = all(
            len(each.shape) == axes if reads is Reads.OWN else len(each.shape) < axes or each.shape[0] == 1
            for each, reads in zip(node.arguments, below, strict=True)
        )
    return Reads.OWN if own else Reads.OTHERS
