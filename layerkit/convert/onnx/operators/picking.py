"""What picks a part of an array: cuts, steps, and constant places along an axis."""

from __future__ import annotations

from collections.abc import Sequence

from layerkit.convert.onnx.building import BATCH, Known
from layerkit.convert.onnx.operators import At, reads

MOST_RUNS = 64
"""Pieces that places may lie in which follow no rule; each is a top of a Slice."""


@reads("Slice")
def _slice(at: At) -> Known:
    node, x = at.node, at.blob(0)
    starts, ends = node.integers(1, "starts") or [], node.integers(2, "ends") or []
    axes = node.integers(3, "axes") or list(range(len(starts)))
    steps = node.integers(4, "steps") or [1] * len(starts)
    picked = [
        (axis % x.rank, range(*slice(start, end, step).indices(x.shape[axis % x.rank])))
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True)
    ]
    cuts = [(axis, places) for axis, places in picked if places != range(x.shape[axis])]
    for i, (axis, places) in enumerate(cuts):
        x = _picked(at, x, axis, places, at.name if i == len(cuts) - 1 else f"{at.name}/{axis}")
    return x


@reads("ReverseSequence")
def _reverse_sequence(at: At) -> Known:
    at.node.need("time_axis", 0, 0)
    at.node.need("batch_axis", 1, 1)
    return at.add("Reverse", at.blob(0), at.blob(1, whole=True))


@reads("Gather")
def _gather(at: At) -> Known:
    data, places = at.node.inputs[:2]
    axis = int(at.node.attribute("axis", 0))
    if not isinstance(data, Known) and data is not None and data.ndim == 2 and axis == 0:
        size = {"input_dim": data.shape[0], "num_output": data.shape[1]}
        return at.add("Embed", at.blob(1, whole=True), **size, bias_term=False, weights={"weight": data})
    if not isinstance(data, Known) or isinstance(places, Known) or places is None:
        at.node.fail("layerkit has layers for the rows of a constant table, and for constant places in a blob")
    x = at.blob(0)
    axis %= x.rank
    length = x.shape[axis]
    wanted = [int(place) + length if place < 0 else int(place) for place in places.ravel()]
    if not all(0 <= place < length for place in wanted):
        at.node.fail(f"its places {wanted[:9]} are not all within {length}")
    if places.ndim == 1:
        return _picked(at, x, axis, wanted, at.name)
    x = _picked(at, x, axis, wanted, f"{at.name}/places")
    return at.net.reshape(at.name, x, (*x.shape[:axis], *places.shape, *x.shape[axis + 1 :]))


def _picked(at: At, x: Known, axis: int, places: Sequence[int], name: str) -> Known:
    """What lies at these places along an axis, in their order."""
    if not places:
        at.node.fail("it leaves nothing")
    if list(places) == list(range(x.shape[axis])):
        return x
    if list(places) == list(reversed(range(x.shape[axis]))):
        return at.net.layer("Reverse", name, x, axis=axis)[0]
    if x.shape[axis] % BATCH == 0:
        at.node.fail("it cuts the batch")
    step = places[1] - places[0] if len(places) > 1 else 1
    if step > 1 and list(places) == list(range(places[0], places[-1] + 1, step)):
        return _every(at, x, axis, places[0], len(places), step, name)
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][1]:
            runs[-1][1] += 1
        else:
            runs.append([place, place + 1])
    if len(runs) > MOST_RUNS:
        at.node.fail(f"what it takes lies in {len(runs)} pieces, and layerkit puts together at most {MOST_RUNS}")
    edges = sorted({0, x.shape[axis], *(edge for run in runs for edge in run)})
    cut = name if len(runs) == 1 else f"{name}/cut"
    parts = [x]
    if len(edges) > 2:
        parts = at.net.layer("Slice", cut, x, axis=axis, slice_point=edges[1:-1], tops=len(edges) - 1)
    taken = [part for begin, end in runs for part in parts[edges.index(begin) : edges.index(end)]]
    return taken[0] if len(taken) == 1 else at.net.layer("Concat", name, *taken, axis=axis)[0]


def _every(at: At, x: Known, axis: int, first: int, count: int, step: int, name: str) -> Known:
    """So many places, each so many steps behind the one before: the first of each row of steps."""
    missing = first + count * step - x.shape[axis]
    if missing > 0:
        pad = [[0, missing], *([0, 0] for _ in x.shape[axis + 1 :])]
        (x,) = at.net.layer("Pad", f"{name}/behind", x, axis=axis, pad=pad)
    x = _picked(at, x, axis, range(first, first + count * step), f"{name}/rows")
    before, behind = x.shape[:axis], x.shape[axis + 1 :]
    rows = at.net.reshape(f"{name}/steps", x, (*before, count, step, *behind))
    firsts = _picked(at, rows, axis + 1, range(1), f"{name}/first")
    return at.net.reshape(name, firsts, (*before, count, *behind))
