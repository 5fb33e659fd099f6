"""What arranges, joins and cuts arrays, and sums over axes."""

from __future__ import annotations

import math

import numpy as np

from layerkit.convert.onnx.building import BATCH, Known
from layerkit.convert.onnx.folding import axes_of, reshaped
from layerkit.convert.onnx.operators import At, reads

REDUCTIONS = {"ReduceL1": "ASUM", "ReduceMean": "MEAN", "ReduceSum": "SUM", "ReduceSumSquare": "SUMSQ"}


@reads("Concat")
def _concat(at: At) -> Known:
    return at.add("Concat", *(at.blob(i) for i in range(len(at.node.inputs))), axis=at.node.attribute("axis", 1))


@reads("Flatten")
def _flatten(at: At) -> Known:
    x = at.blob(0)
    axis = at.node.attribute("axis", 1)
    axis = axis + x.rank if axis < 0 else axis
    return at.net.reshape(at.name, x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


@reads("Reshape")
def _reshape(at: At) -> Known:
    x = at.blob(0, whole=True)
    wanted = [int(each) for each in np.ravel(at.node.integers(1, "shape") or [])]
    return at.net.reshape(
        at.name, x, reshaped(x.shape, wanted, allowzero=bool(at.node.attribute("allowzero", 0)))
    )._replace(whole=x.whole)


@reads("Squeeze")
def _squeeze(at: At) -> Known:
    x = at.blob(0, whole=True)
    axes = at.node.integers(1, "axes")
    gone = [i for i, n in enumerate(x.shape) if n == 1] if axes is None else [axis % x.rank for axis in axes]
    if any(x.shape[axis] != 1 for axis in gone):
        at.node.fail(f"the axes {gone} of {list(x.shape)} are not of length 1")
    return at.net.reshape(at.name, x, [n for i, n in enumerate(x.shape) if i not in gone])._replace(whole=x.whole)


@reads("Unsqueeze")
def _unsqueeze(at: At) -> Known:
    x = at.blob(0, whole=True)
    axes = at.node.integers(1, "axes") or []
    rank = x.rank + len(axes)
    new, lengths = {axis % rank for axis in axes}, iter(x.shape)
    return at.net.reshape(at.name, x, [1 if i in new else next(lengths) for i in range(rank)])._replace(whole=x.whole)


@reads("Expand")
def _expand(at: At) -> Known:
    x, wanted = at.blob(0), tuple(at.node.integers(1, "shape") or [])
    target = np.broadcast_shapes(x.shape, wanted)
    if len(target) > x.rank:
        x = at.net.reshape(f"{at.name}/axes", x, (*[1] * (len(target) - x.rank), *x.shape))
    stretched = [axis for axis, length in enumerate(target) if length != x.shape[axis]]
    if any(target[axis] % BATCH == 0 for axis in stretched):
        at.node.fail("it stretches over the batch, and layerkit has a layer only for a number of times that is known")
    for axis in stretched:
        x = at.add("Tile", x, step="" if axis == stretched[-1] else str(axis), axis=axis, tiles=target[axis])
    return x


@reads("Tile")
def _tile(at: At) -> Known:
    x, repeats = at.blob(0), at.node.integers(1, "repeats") or []
    for axis, tiles in enumerate(repeats):
        if tiles != 1:
            x = at.add("Tile", x, step="" if axis == len(repeats) - 1 else str(axis), axis=axis, tiles=tiles)
    return x


@reads("Transpose")
def _transpose(at: At) -> Known:
    x = at.blob(0)
    order = [int(each) for each in at.node.attribute("perm", None) or reversed(range(x.rank))]
    if order == sorted(order):
        return x
    while order and order[-1] == len(order) - 1:  # what follows as it is need not be said
        order = order[:-1]
    return at.add("Permute", x, order=order)


@reads("DepthToSpace", "SpaceToDepth")
def _blocks(at: At) -> Known:
    """Channels as the places of a block, or the other way: an axis for each part, and these in another order."""
    x, size = at.blob(0), at.node.attribute("blocksize", 1)
    n, c, h, w = x.shape
    if at.node.kind == "SpaceToDepth":
        parts, order = (n, c, h // size, size, w // size, size), [0, 3, 5, 1, 2, 4]
        whole = (n, c * size * size, h // size, w // size)
    elif at.node.attribute("mode", "DCR") == "DCR":
        parts, order = (n, size, size, c // size**2, h, w), [0, 3, 4, 1, 5, 2]
        whole = (n, c // size**2, h * size, w * size)
    else:
        parts, order = (n, c // size**2, size, size, h, w), [0, 1, 4, 2, 5, 3]
        whole = (n, c // size**2, h * size, w * size)
    apart = at.net.reshape(f"{at.name}/parts", x, parts)
    return at.net.reshape(at.name, at.add("Permute", apart, step="order", order=order), whole)


@reads("Pad")
def _pad(at: At) -> Known:
    node, x = at.node, at.blob(0)
    mode = {"constant": "CONSTANT", "reflect": "REFLECT", "edge": "EDGE"}.get(node.attribute("mode", "constant"))
    pads, axes = node.integers(1, "pads") or [], node.array(3)
    if mode is None or min(pads, default=0) < 0:
        node.fail("layerkit pads with a constant, by mirroring or by repeating the border, and takes nothing away")
    named = list(range(x.rank)) if axes is None else [int(axis) % x.rank for axis in axes]
    if len(pads) != 2 * len(named):
        node.fail(f"its pads {pads} are not two for each of {len(named)} axes")
    sides = {axis: [pads[i], pads[i + len(named)]] for i, axis in enumerate(named)}
    padded = [axis for axis in sides if any(sides[axis])]
    if not padded:
        return x
    value = node.number(2, "value", 0.0) if mode == "CONSTANT" else 0.0
    first = min(padded)
    return at.add(
        "Pad", x, pad=[sides.get(i, [0, 0]) for i in range(first, x.rank)], axis=first, mode=mode, value=value
    )


@reads("Split")
def _split(at: At) -> list[Known]:
    x, count = at.blob(0), len(at.node.outputs)
    axis = at.node.attribute("axis", 0) % x.rank
    lengths = at.node.integers(1, "split") or [-(-x.shape[axis] // count)] * count
    if x.shape[axis] % BATCH == 0:
        at.node.fail("it cuts the batch")
    edges = np.cumsum(lengths)[:-1].tolist()
    if count == 1:
        return [x]
    if len(lengths) != count or sum(lengths[:-1]) >= x.shape[axis]:
        at.node.fail(f"its lengths {lengths} do not fit {x.shape[axis]}")
    equal = [x.shape[axis] // count * i for i in range(1, count)]
    points = None if edges == equal and x.shape[axis] % count == 0 else edges
    return at.net.layer("Slice", at.name, x, axis=axis, slice_point=points, tops=count)


@reads(*REDUCTIONS)
def _reduce(at: At) -> Known:
    x = at.blob(0)
    axes = axes_of([None, at.node.array(1)], at.node.attribute)
    if not axes and at.node.attribute("noop_with_empty_axes", 0):
        return x
    gone = sorted({axis % x.rank for axis in axes}) if axes else list(range(x.rank))
    kept = [i for i in range(x.rank) if i not in gone]
    keeps = bool(at.node.attribute("keepdims", 1))
    operation = REDUCTIONS[at.node.kind]
    if operation == "MEAN" and keeps and gone == list(range(2, x.rank)) and x.rank > 2:
        return at.add("Pooling", x, pool="AVE", global_pooling=True)
    source = x
    if gone != list(range(len(kept), x.rank)):
        source = at.add("Permute", x, step="order", order=[*kept, *gone])
    if not keeps:
        return at.add("Reduction", source, operation=operation, axis=len(kept))
    reduced = at.add("Reduction", source, step="sum", operation=operation, axis=len(kept))
    return at.net.reshape(at.name, reduced, [1 if i in gone else n for i, n in enumerate(x.shape)])


@reads("ArgMax")
def _arg_max(at: At) -> Known:
    """Indices are whole numbers. Where values are equal layerkit has the last index, and most models the first."""
    x = at.blob(0)
    axis = at.node.attribute("axis", 0) % x.rank
    if at.node.attribute("keepdims", 1):
        return at.add("ArgMax", x, axis=axis)._replace(whole=True)
    found = at.add("ArgMax", x, step="axis", axis=axis)
    return at.net.reshape(at.name, found, [n for i, n in enumerate(x.shape) if i != axis])._replace(whole=True)
