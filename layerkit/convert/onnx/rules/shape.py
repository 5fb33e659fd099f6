"""Rules of the layers that arrange, join, split and combine arrays."""

from __future__ import annotations

from collections.abc import Sequence

from layerkit.convert.onnx.here import Here
from layerkit.convert.onnx.rules import rule
from layerkit.convert.onnx.values import Value

END = 2**63 - 1
"""To the end of an axis, as Slice has it."""


@rule("ArgMax")
def _arg_max(here: Here, x: Value) -> Value:
    p, dims = here.params, here.bottoms[0]
    axis = 1
    if p.axis is None:
        x = here.op("Flatten", x, axis=1)
        length = here.op("Shape", x, start=1, end=2)
    else:
        axis = p.axis % len(dims)
        length = here.lengths(x, dims, (dims[axis],))
    turned = here.op("Slice", x, [-1], [-END], [axis], [-1])  # so that of equal values the last comes first
    values, places = here.ops(2, "TopK", turned, [p.top_k], axis=axis)
    best = here.numbers(here.op("Sub", here.op("Sub", length, [1]), places))
    if p.axis is not None:
        return values if p.out_max_val else best
    rows = [best, values] if p.out_max_val else [best]
    joined = here.op("Concat", *(here.op("Unsqueeze", row, [1]) for row in rows), axis=1)
    return here.reshape(joined, (dims[0], len(rows), p.top_k), here.tops[0])


@rule("Axpy")
def _axpy(here: Here, a: Value, x: Value, y: Value) -> Value:
    factors, rank = len(here.bottoms[0]), len(here.bottoms[1])
    if factors < rank:
        a = here.op("Unsqueeze", a, list(range(factors, rank)))
    elif factors > rank:
        a = here.op("Squeeze", a, list(range(rank, factors)))
    return here.op("Add", here.op("Mul", a, x), y)


@rule("BatchReindex")
def _batch_reindex(here: Here, x: Value, index: Value) -> Value:
    return here.op("Gather", x, here.integers(index), axis=0)


@rule("Concat")
def _concat(here: Here, *xs: Value) -> Value:
    p = here.params
    return here.op("Concat", *xs, axis=p.axis if p.concat_dim is None else p.concat_dim)


@rule("Crop")
def _crop(here: Here, x: Value, like: Value) -> Value:
    p, dims = here.params, here.bottoms[1]
    axis = p.axis % len(dims)
    cropped = list(range(axis, len(dims)))
    offset = p.offset or [0]
    starts = list(offset) * len(cropped) if len(offset) == 1 else list(offset)
    ends = here.op("Add", here.lengths(like, dims, dims[axis:]), starts)
    return here.op("Slice", x, starts, ends, cropped)


@rule("Eltwise")
def _eltwise(here: Here, *xs: Value) -> Value:
    p = here.params
    if p.operation == "MAX":
        return here.op("Max", *xs)
    terms = [x * factor if factor != 1 else x for x, factor in zip(xs, p.coeff or [1.0] * len(xs), strict=True)]
    result = terms[0]
    for term in terms[1:]:
        result = here.op("Mul" if p.operation == "PROD" else "Add", result, term)
    return result


@rule("Filter")
def _filter(here: Here, *bottoms: Value) -> Sequence[Value]:
    *data, selector = bottoms
    kept = here.op("Cast", here.op("Reshape", selector, [-1]), to=9)
    return [here.op("Compress", x, kept, axis=0) for x in data]


@rule("Flatten", "Reshape")
def _reshape(here: Here, x: Value) -> Value:
    return here.reshape(x, here.bottoms[0], here.tops[0])


@rule("Pad")
def _pad(here: Here, x: Value) -> Value:
    p, rank = here.params, len(here.bottoms[0])
    axes = list(range(p.axis % rank, rank))
    sides = p.pad if len(p.pad) > 1 else p.pad * len(axes)
    pads = [side[0] for side in sides] + [side[-1] for side in sides]
    value = float(p.value) if p.mode == "CONSTANT" else None
    return here.op("Pad", x, pads, value, axes, mode=p.mode.lower())


@rule("Permute")
def _permute(here: Here, x: Value) -> Value:
    order = here.params.order
    if not order:
        return x
    return here.op("Transpose", x, perm=[*order, *(i for i in range(len(here.bottoms[0])) if i not in order)])


@rule("Reduction")
def _reduction(here: Here, x: Value) -> Value:
    p, rank = here.params, len(here.bottoms[0])
    kind = {"SUM": "ReduceSum", "ASUM": "ReduceL1", "SUMSQ": "ReduceSumSquare", "MEAN": "ReduceMean"}[p.operation]
    y = here.op(kind, x, list(range(p.axis % rank, rank)), keepdims=0)
    return y if p.coeff == 1 else y * p.coeff


@rule("ShuffleChannel")
def _shuffle_channel(here: Here, x: Value) -> Value:
    group, dims = here.params.group, here.bottoms[0]
    apart = (dims[0], group, here.length(dims[1]) // group, *dims[2:])
    dealt = here.op("Transpose", here.reshape(x, dims, apart), perm=[0, 2, 1, *range(3, len(apart))])
    return here.reshape(dealt, (apart[0], apart[2], apart[1], *apart[3:]), dims)


@rule("Silence")
def _silence(here: Here, *xs: Value) -> Sequence[Value]:
    return []


@rule("Slice")
def _slice(here: Here, x: Value) -> Sequence[Value]:
    p, count = here.params, here.layer.num_tops
    axis = (p.axis if p.slice_dim is None else p.slice_dim) % len(here.bottoms[0])
    if not p.slice_point:
        return here.ops(count, "Split", x, None, axis=axis, num_outputs=count)
    edges = [0, *p.slice_point, END]
    return [here.op("Slice", x, [edges[i]], [edges[i + 1]], [axis]) for i in range(count)]


@rule("Split")
def _split(here: Here, x: Value) -> Sequence[Value]:
    return [x] * here.layer.num_tops


@rule("Tile")
def _tile(here: Here, x: Value) -> Value:
    p, rank = here.params, len(here.bottoms[0])
    return here.op("Tile", x, [p.tiles if i == p.axis % rank else 1 for i in range(rank)])


@rule("Reverse")
def _reverse(here: Here, x: Value, *given: Value) -> Value:
    if not given:
        axes = list({axis % len(here.bottoms[0]) for axis in here.params.axis})
        return here.op("Slice", x, [-1] * len(axes), [-END] * len(axes), axes, [-1] * len(axes))
    lengths, steps = given[0], here.numbers(here.op("Shape", x, start=0, end=1))
    if len(here.bottoms[1]) == 2:  # the place behind the last that is other than 0
        places = here.op("Range", here.constant(1.0), here.op("Squeeze", steps + 1.0), here.constant(1.0))
        there = here.op("Where", here.op("Equal", lengths, 0.0), 0.0, here.op("Unsqueeze", places, [1]))
        lengths = here.op("ReduceMax", there, [0], keepdims=0)
    lengths = here.op("Max", here.op("Min", lengths, steps), 1.0)
    return here.op("ReverseSequence", x, here.integers(lengths), batch_axis=1, time_axis=0)
