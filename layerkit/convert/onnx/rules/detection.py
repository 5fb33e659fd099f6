"""Rules of the detection layers, around ONNX's NonMaxSuppression."""

from __future__ import annotations

from typing import Any

import numpy as np

from layerkit.blob import Blob
from layerkit.convert.onnx.here import Here
from layerkit.convert.onnx.rules import rule
from layerkit.convert.onnx.values import Value

NEVER = float(np.finfo(np.float32).min)
"""A score that no threshold lets through."""
ALL = 2**31 - 1


@rule("PriorBox")
def _prior_box(here: Here, features: Value, image: Value) -> Value:
    """Only shapes count, so the boxes are a constant."""
    shapes = [here.shape(0, 2), here.shape(1, 2)]
    (shape,) = here.layer.plan(*shapes).tops
    top = Blob(shape)
    here.layer.forward([Blob(each) for each in shapes], [top])
    return here.constant(top.data)


@rule("DetectionOutput")
def _detection_output(here: Here, loc: Value, conf: Value, given: Value) -> Value:
    p, layer = here.params, _of_any_type(here)
    labels = layer._labels
    if p.nms_param.eta < 1:
        here.impossible("ONNX's NonMaxSuppression has one threshold, and eta changes it for every box")
    if not labels:
        return here.op("Unsqueeze", _in_place_of_none(here, here.constant(np.zeros((0, 7))), loc), [0, 1])
    boxes, scores = _boxes_by_class(here, loc, conf, given, labels)  # (N L, P, 4), (N L, P)
    least = NEVER if p.confidence_threshold is None else float(p.confidence_threshold)
    if p.nms_param.top_k >= 0:
        scores = _best_alone(here, scores, min(p.nms_param.top_k, here.length(here.bottoms[2][2]) // 4))
    found = _suppressed(here, boxes, scores, p.nms_param.nms_threshold, ALL, least)
    place, prior = found
    image = here.op("Div", place, here.constant(len(labels), "int64"))
    label = here.op("Gather", here.constant(labels), here.op("Mod", place, here.constant(len(labels), "int64")))
    at = here.op("Concat", _column(here, place), _column(here, prior), axis=1)
    score = here.op("GatherND", scores, at)
    head = [_column(here, each) for each in (here.numbers(image), label, score)]
    rows = here.op("Concat", *head, here.op("GatherND", boxes, at), axis=1)  # (K, 7)
    if p.keep_top_k >= 0:
        rows = here.op("Compress", rows, _among_best(here, image, score, p.keep_top_k), axis=0)
    rows = here.op("Concat", rows, _in_place_of_none(here, rows, loc), axis=0)
    return here.op("Unsqueeze", rows, [0, 1])


def _boxes_by_class(here: Here, loc: Value, conf: Value, given: Value, labels: list[int]) -> tuple[Value, Value]:
    """Decoded boxes (N L, P, 4) and their confidences (N L, P), for L labels one after the other."""
    p, classes = here.params, _of_any_type(here)._loc_classes
    count = here.length(here.bottoms[2][2]) // 4
    first = here.op("Reshape", here.op("Slice", given, [0], [1], [0]), [2, count, 4])
    priors, variances = here.ops(2, "Split", first, None, axis=0, num_outputs=2)
    offsets = here.op("Reshape", loc, [-1, count, classes, 4])
    wide = [here.op("Unsqueeze", each, [2]) for each in (priors, variances)]  # (1, P, 1, 4)
    if not p.variance_encoded_in_target:
        offsets = here.op("Mul", offsets, wide[1])
    boxes = _decoded(here, p.code_type, wide[0], offsets)
    boxes = here.op("Clip", boxes, 0.0, 1.0) if p.clip else boxes
    boxes = here.op("Transpose", boxes, perm=[0, 2, 1, 3])  # (N, classes, P, 4)
    chosen = labels if classes > 1 else [0] * len(labels)
    boxes = here.op("Reshape", here.op("Gather", boxes, chosen, axis=1), [-1, count, 4])
    scores = here.op("Transpose", here.op("Reshape", conf, [-1, count, p.num_classes]), perm=[0, 2, 1])
    return boxes, here.op("Reshape", here.op("Gather", scores, labels, axis=1), [-1, count])


def _decoded(here: Here, code: str, priors: Value, offsets: Value) -> Value:
    """The boxes that offsets from priors mean; see `layerkit.layers.detection.boxes.decode`."""
    low, high = here.ops(2, "Split", priors, None, axis=-1, num_outputs=2)
    size = here.op("Sub", high, low)
    if code != "CENTER_SIZE":
        unit = here.op("Concat", size, size, axis=-1)
        return here.op("Add", priors, offsets if code == "CORNER" else here.op("Mul", offsets, unit))
    shift, stretch = here.ops(2, "Split", offsets, None, axis=-1, num_outputs=2)
    middle = here.op("Add", here.op("Add", low, high) * 0.5, here.op("Mul", shift, size))
    half = here.op("Mul", here.op("Exp", stretch), size) * 0.5
    return here.op("Concat", here.op("Sub", middle, half), here.op("Add", middle, half), axis=-1)


def _best_alone(here: Here, scores: Value, count: int) -> Value:
    """Scores (B, P) of which all but the best of each row can never be chosen."""
    values, places = here.ops(2, "TopK", scores, [count], axis=1)
    never = here.op("Expand", NEVER, here.op("Shape", scores))
    return here.op("ScatterElements", never, places, values, axis=1)


def _suppressed(
    here: Here, boxes: Value, scores: Value, threshold: float, limit: int, least: float
) -> tuple[Value, Value]:
    """Row and box, (K,) each, of what is left of boxes (B, P, 4) with scores (B, P): row by row, the best first."""
    low, high = here.ops(2, "Split", boxes, None, axis=-1, num_outputs=2)
    turned = here.op("ReduceMax", here.numbers(here.op("Less", high, low)), [2]) > 0.5
    boxes = here.op("Where", turned, 0.0, boxes)  # which overlaps nothing; ONNX would take the corners the other way
    limits = [here.constant([limit], "int64"), here.constant([threshold]), here.constant([least])]
    found = here.op("NonMaxSuppression", boxes, here.op("Unsqueeze", scores, [1]), *limits)  # (K, 3)
    row, _, box = here.ops(3, "Split", found, None, axis=1, num_outputs=3)
    return here.op("Squeeze", row, [1]), here.op("Squeeze", box, [1])


def _among_best(here: Here, image: Value, score: Value, count: int) -> Value:
    """Which of K rows are among the `count` of the greatest score of their image; the first of equal ones."""
    before = here.op("Range", here.constant(0, "int64"), here.op("Size", score), here.constant(1, "int64"))
    same, greater, equal, earlier = (
        here.op(kind, here.op("Unsqueeze", x, [1]), here.op("Unsqueeze", x, [0]))
        for kind, x in (("Equal", image), ("Less", score), ("Equal", score), ("Greater", before))
    )
    better = here.op("And", same, here.op("Or", greater, here.op("And", equal, earlier)))  # row k: by which others
    rank = here.op("ReduceSum", here.numbers(better), [1], keepdims=0)
    return rank < float(count)


def _in_place_of_none(here: Here, rows: Value, loc: Value) -> Value:
    """Where there are no rows, one for each image that says so: its number, and -1 six times."""
    none = here.integers(here.op("Equal", here.op("Shape", rows, end=1), here.constant([0], "int64")))
    count = here.op("Mul", none, here.op("Shape", loc, end=1))
    number = here.op("Range", here.constant(0, "int64"), here.op("Squeeze", count, [0]), here.constant(1, "int64"))
    others = here.op("Expand", -1.0, here.op("Concat", count, here.constant([6], "int64"), axis=0))
    return here.op("Concat", _column(here, here.numbers(number)), others, axis=1)


@rule("Proposal")
def _proposal(here: Here, scores: Value, offsets: Value, sizes: Value) -> list[Value]:
    p, layer = here.params, _of_any_type(here)
    height, width = here.shape(0, 2)[2:]
    anchors = layer._anchors(height, width)  # (H, W, A, 4)
    count, places = anchors.shape[2], height * width
    total = places * count
    own = here.op("Slice", scores, [count], [2 * count], [1])
    flat = here.op("Reshape", here.op("Transpose", own, perm=[0, 2, 3, 1]), [-1, total])  # (N, H W A)
    moves = here.op("Transpose", here.op("Reshape", offsets, [-1, count, 4, places]), perm=[0, 3, 1, 2])
    moves = here.op("Reshape", moves, [-1, total, 4])
    wide = here.constant((anchors + np.array([0, 0, 1, 1])).reshape(1, total, 4))
    boxes = _decoded(here, "CENTER_SIZE", wide, moves)
    sides = here.op("Gather", sizes, [1, 0, 1, 0], axis=1) - 1.0  # width, height, width, height
    boxes = here.op("Min", here.op("Max", boxes, 0.0), here.op("Unsqueeze", sides, [1]))
    flat = here.op("Mul", flat, _large_enough(here, boxes, sizes))
    best, order = here.ops(2, "TopK", flat, [min(p.pre_nms_topn, total)], axis=1)
    boxes = here.op("GatherND", boxes, here.op("Unsqueeze", order, [2]), batch_dims=1)
    one_more = here.constant([0, 0, 1, 1])  # a box from pixel 3 to pixel 5 is three wide
    found = _suppressed(here, here.op("Add", boxes, one_more), best, p.nms_thresh, p.post_nms_topn, NEVER)
    image, box = found
    at = here.op("Concat", _column(here, image), _column(here, box), axis=1)
    regions = here.op("Concat", _column(here, here.numbers(image)), here.op("GatherND", boxes, at), axis=1)
    return [regions, here.op("GatherND", best, at)][: here.layer.num_tops]


def _large_enough(here: Here, boxes: Value, sizes: Value) -> Value:
    """1 where a box (N, P, 4) is at least min_size wide and high, else 0: (N, P)."""
    low, high = here.ops(2, "Split", boxes, None, axis=-1, num_outputs=2)
    last = here.length(here.bottoms[2][1]) - 1  # the scales, of width and height
    least = here.op("Gather", sizes, [last, 2], axis=1) * float(here.params.min_size)
    extent = here.op("Sub", high, low) + 1.0
    fits = here.numbers(here.op("GreaterOrEqual", extent, here.op("Unsqueeze", least, [1])))
    return here.op("ReduceMin", fits, [2], keepdims=0)


def _column(here: Here, x: Value) -> Value:
    """(K,) as (K, 1)."""
    return here.op("Unsqueeze", x, [1])


def _of_any_type(here: Here) -> Any:
    """The layer, of whose own methods a rule makes use."""
    return here.layer
