"""Cases of the layers that arrange, join, split and combine."""

from functools import reduce

import numpy as np

from layerkit.checks import Case


def concat(bottoms, weights, p):
    axis = p.axis if p.concat_dim is None else p.concat_dim
    return [np.stack([plane for x in bottoms for plane in np.moveaxis(x, axis, 0)], axis)]


def cut(*lengths):
    """The formula of a Slice into parts of these lengths."""

    def formula(bottoms, weights, p):
        axis = p.axis if p.slice_dim is None else p.slice_dim
        rows = list(np.moveaxis(bottoms[0], axis, 0))
        ends = np.cumsum(lengths)
        return [np.stack(rows[end - length : end], axis) for length, end in zip(lengths, ends, strict=True)]

    return formula


def eltwise(bottoms, weights, p):
    if p.operation == "SUM":
        return [sum(c * x for c, x in zip(p.coeff or [1] * len(bottoms), bottoms, strict=True))]
    return [reduce(np.maximum if p.operation == "MAX" else np.multiply, bottoms)]


def shaped(*shape):
    return lambda bottoms, weights, p: [bottoms[0].ravel().reshape(shape)]


ROWS = "cuts along the rows, of which there are then none"

CASES = [
    Case("Concat", "image", [(2, 3, 4, 5), (2, 1, 4, 5), (2, 6, 4, 5)], formula=concat),
    Case("Concat", "volume", [(2, 3, 4, 5, 6), (2, 1, 4, 5, 6)], formula=concat),
    Case("Concat", "rows", [(2, 3), (2, 4)], formula=concat),
    Case("Concat", "one", [(2, 3, 4)], formula=concat),
    Case("Concat", "axis-0", [(2, 3, 4), (5, 3, 4)], {"axis": 0}, formula=concat),
    Case("Concat", "axis-last", [(2, 3, 4, 5), (2, 3, 4, 1)], {"axis": -1}, formula=concat),
    Case("Concat", "axis-negative", [(2, 3, 4, 5), (2, 3, 6, 5)], {"axis": -2}, formula=concat),
    Case("Concat", "concat_dim", [(2, 3, 4, 5), (2, 3, 6, 5)], {"concat_dim": 2}, formula=concat),
    Case("Slice", "equal", [(2, 6, 4, 5)], num_tops=3, formula=cut(2, 2, 2)),
    Case("Slice", "volume", [(2, 6, 4, 5, 3)], num_tops=2, formula=cut(3, 3)),
    Case("Slice", "one", [(2, 3, 5)], formula=cut(3)),
    Case("Slice", "points", [(2, 8, 4, 5)], {"slice_point": [1, 3]}, num_tops=3, formula=cut(1, 2, 5)),
    Case("Slice", "point", [(4, 5)], {"slice_point": 2}, num_tops=2, formula=cut(2, 3)),
    Case("Slice", "axis-0", [(6, 3, 4)], {"axis": 0}, num_tops=2, formula=cut(3, 3)),
    Case(
        "Slice",
        "axis-0-points",
        [(6, 3, 4)],
        {"axis": 0, "slice_point": [2]},
        num_tops=2,
        formula=cut(2, 4),
        no_zero_rows=ROWS,
    ),
    Case("Slice", "axis-last", [(2, 3, 4, 7)], {"axis": -1, "slice_point": [3]}, num_tops=2, formula=cut(3, 4)),
    Case("Slice", "slice_dim", [(2, 3, 7, 4)], {"slice_dim": 2, "slice_point": [3]}, num_tops=2, formula=cut(3, 4)),
    Case("Eltwise", "sum", [(2, 3, 4, 5)] * 3, formula=eltwise),
    Case("Eltwise", "sum-two", [(3, 5)] * 2, {"operation": "sum"}, formula=eltwise),
    Case("Eltwise", "sum-scalar", [()] * 2, formula=eltwise),
    Case("Eltwise", "sum-coeff", [(2, 3, 4, 5)] * 3, {"coeff": [1, -0.5, 2]}, formula=eltwise),
    Case("Eltwise", "sum-coeff-two", [(2, 3, 5)] * 2, {"coeff": [0.3, -1]}, formula=eltwise),
    Case("Eltwise", "prod", [(2, 3, 4, 5)] * 3, {"operation": "PROD"}, formula=eltwise),
    Case("Eltwise", "prod-two", [(3, 5)] * 2, {"operation": "PROD"}, formula=eltwise),
    Case(
        "Eltwise",
        "prod-zero",
        [np.array([[0.0, 1.5, 2.0]]), np.array([[3.0, 0.0, -1.0]]), np.array([[2.0, 0.0, 0.5]])],
        {"operation": "PROD"},
        formula=eltwise,
    ),
    Case(
        "Eltwise",
        "prod-quotient",
        [(2, 3, 4, 5)] * 3,
        {"operation": "PROD", "stable_prod_grad": False},
        formula=eltwise,
        span=(0.5, 2.0),
    ),
    Case("Eltwise", "max", [(2, 3, 4, 5)] * 3, {"operation": "MAX"}, formula=eltwise),
    Case("Eltwise", "max-two", [(3, 5)] * 2, {"operation": "max"}, formula=eltwise),
    Case("Eltwise", "max-volume", [(2, 3, 4, 5, 6)] * 2, {"operation": "MAX"}, formula=eltwise),
    Case("Flatten", "image", [(2, 3, 4, 5)], formula=shaped(2, 60)),
    Case("Flatten", "volume", [(2, 3, 4, 5, 6)], formula=shaped(2, 360)),
    Case("Flatten", "rows", [(4, 3)], formula=shaped(4, 3)),
    Case("Flatten", "axes", [(2, 3, 4, 5)], {"axis": 2, "end_axis": 3}, formula=shaped(2, 3, 20)),
    Case("Flatten", "middle", [(2, 3, 4, 5, 6)], {"axis": 2, "end_axis": -2}, formula=shaped(2, 3, 20, 6)),
    Case("Flatten", "volume-to-image", [(2, 3, 4, 5, 6)], {"axis": -2}, formula=shaped(2, 3, 4, 30)),
    Case("Flatten", "new-axis", [(2, 3, 4)], {"axis": 2, "end_axis": 1}, formula=shaped(2, 3, 1, 4)),
    Case("Flatten", "all", [(2, 3, 4)], {"axis": 0}, formula=shaped(24)),
    Case("Silence", "one", [(2, 3, 4, 5)], num_tops=0, formula=lambda b, w, p: []),
    Case("Silence", "two", [(2, 3), (4,)], num_tops=0, formula=lambda b, w, p: []),
]
