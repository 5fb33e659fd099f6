"""Cases of the layers that arrange, join, split and repeat."""

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


def shaped(*shape):
    return lambda bottoms, weights, p: [bottoms[0].ravel().reshape(shape)]


def copies(bottoms, weights, p):
    """As many as the layer has tops; every test of Split has three."""
    return [bottoms[0]] * 3


def tiled(bottoms, weights, p):
    """Each element of the top is looked up by its index, modulo the bottom's length."""
    x = bottoms[0]
    axis = p.axis % x.ndim
    y = np.empty([length * (p.tiles if i == axis else 1) for i, length in enumerate(x.shape)])
    for place in np.ndindex(y.shape):
        y[place] = x[tuple(at % length for at, length in zip(place, x.shape, strict=True))]
    return [y]


def permuted(*order):
    """The formula of a Permute whose whole order is this."""

    def formula(bottoms, weights, p):
        x = bottoms[0]
        y = np.empty([x.shape[axis] for axis in order])
        for place in np.ndindex(x.shape):
            y[tuple(place[axis] for axis in order)] = x[place]
        return [y]

    return formula


def shuffled(bottoms, weights, p):
    """One channel of each group in turn."""
    (x,) = bottoms
    size = x.shape[1] // p.group
    groups = [x[:, g * size : (g + 1) * size] for g in range(p.group)]
    return [np.stack([group[:, j] for j in range(size) for group in groups], 1)]


def turned(bottoms, weights, p):
    """Element by element, or step by step of each sequence."""
    x = bottoms[0]
    y = np.empty(x.shape)
    if len(bottoms) == 1:
        axes = [axis % x.ndim for axis in p.axis]
        for place in np.ndindex(x.shape):
            y[tuple(x.shape[a] - 1 - i if a in axes else i for a, i in enumerate(place))] = x[place]
        return [y]
    for n in range(x.shape[1]):
        told = bottoms[1][..., n]
        length = told if told.ndim == 0 else max([0, *(t + 1 for t in range(len(x)) if told[t])])
        length = min(max(int(length), 1), len(x))
        y[:, n] = [*x[:length, n][::-1], *x[length:, n]]
    return [y]


def padded(*sides):
    """The formula of a Pad with these pairs of elements before and behind, one an axis of the bottom."""

    def source(at, length, mode):
        if mode == "EDGE":
            return min(max(at, 0), length - 1)
        if mode == "REFLECT":
            at = abs(at)
            return at if at < length else 2 * (length - 1) - at
        return at if 0 <= at < length else None

    def formula(bottoms, weights, p):
        x = bottoms[0]
        y = np.empty([before + length + behind for length, (before, behind) in zip(x.shape, sides, strict=True)])
        for place in np.ndindex(y.shape):
            at = [
                source(i - before, length, p.mode) for i, length, (before, _) in zip(place, x.shape, sides, strict=True)
            ]
            y[place] = p.value if None in at else x[tuple(at)]
        return [y]

    return formula


def reshape(name, x, y, params, **options):
    return Case("Reshape", name, [x], params, formula=shaped(*y), **options)


def permute(name, x, order, given):
    return Case("Permute", name, [x], {"order": given}, formula=permuted(*order))


def pad(name, x, sides, no_zero_rows="", **params):
    return Case("Pad", name, [x], params, formula=padded(*sides), no_zero_rows=no_zero_rows)


def reverse(name, *bottoms, no_zero_rows="", **params):
    return Case("Reverse", name, bottoms, params, formula=turned, no_zero_rows=no_zero_rows)


IN_TIME = "axis 0 is time in the sequences"
GOES_ON = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0]])  # (T, N)
ROWS = "cuts along the rows, of which there are then none"

CASES = [
    Case("Concat", "image", [(2, 3, 4, 5), (2, 1, 4, 5), (2, 6, 4, 5)], formula=concat),
    Case("Concat", "volume", [(2, 3, 4, 5, 6), (2, 1, 4, 5, 6)], formula=concat),
    Case("Concat", "rows", [(2, 3), (2, 4)], formula=concat),
    Case("Concat", "vectors", [(4,), (3,)], {"axis": 0}, formula=concat),
    Case("Concat", "one", [(2, 3, 4)], formula=concat),
    Case("Concat", "axis-0", [(2, 3, 4), (5, 3, 4)], {"axis": 0}, formula=concat),
    Case("Concat", "axis-last", [(2, 3, 4, 5), (2, 3, 4, 1)], {"axis": -1}, formula=concat),
    Case("Concat", "axis-negative", [(2, 3, 4, 5), (2, 3, 6, 5)], {"axis": -2}, formula=concat),
    Case("Concat", "concat_dim", [(2, 3, 4, 5), (2, 3, 6, 5)], {"concat_dim": 2}, formula=concat),
    reverse("first axis", (4, 2, 3)),
    reverse("channels", (2, 3, 4, 5), axis=1),
    reverse("two axes", (2, 3, 4, 5), axis=[-1, 2]),
    reverse("volume", (2, 3, 4, 5, 6), axis=-3),
    reverse("vector", (4,), axis=-1),
    reverse("rows", (3, 4), axis=1),
    reverse("lengths", (5, 4, 2, 3), np.array([3.0, 5, 0, 9]), no_zero_rows=IN_TIME),
    reverse("where sequences are", (5, 3, 2), GOES_ON),
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
    Case("Slice", "vector", [(6,)], {"axis": 0}, num_tops=2, formula=cut(3, 3)),
    Case("Slice", "axis-last", [(2, 3, 4, 7)], {"axis": -1, "slice_point": [3]}, num_tops=2, formula=cut(3, 4)),
    Case("Slice", "slice_dim", [(2, 3, 7, 4)], {"slice_dim": 2, "slice_point": [3]}, num_tops=2, formula=cut(3, 4)),
    Case("Flatten", "image", [(2, 3, 4, 5)], formula=shaped(2, 60)),
    Case("Flatten", "volume", [(2, 3, 4, 5, 6)], formula=shaped(2, 360)),
    Case("Flatten", "rows", [(4, 3)], formula=shaped(4, 3)),
    Case("Flatten", "axes", [(2, 3, 4, 5)], {"axis": 2, "end_axis": 3}, formula=shaped(2, 3, 20)),
    Case("Flatten", "middle", [(2, 3, 4, 5, 6)], {"axis": 2, "end_axis": -2}, formula=shaped(2, 3, 20, 6)),
    Case("Flatten", "volume-to-image", [(2, 3, 4, 5, 6)], {"axis": -2}, formula=shaped(2, 3, 4, 30)),
    Case("Flatten", "new-axis", [(2, 3, 4)], {"axis": 2, "end_axis": 1}, formula=shaped(2, 3, 1, 4)),
    Case("Flatten", "vector", [(5,)], {"axis": 0}, formula=shaped(5)),
    Case("Flatten", "all", [(2, 3, 4)], {"axis": 0}, formula=shaped(24)),
    reshape("all", (2, 3, 4), (6, 4), {"shape": [6, 4]}, no_zero_rows="the number of values is given"),
    reshape("copy-and-infer", (2, 3, 4, 5), (2, 12, 5), {"shape": [0, -1, 5]}),
    reshape("infer-rows", (2, 3, 4, 5), (8, 3, 5), {"shape": [-1, 3, 5]}),
    reshape("copy", (2, 3, 4), (2, 3, 4), {"shape": [0, 0, 0]}),
    reshape("volume", (2, 3, 4, 5, 6), (2, 12, 30), {"shape": [0, 12, -1]}),
    reshape("to-image", (2, 60), (2, 3, 4, 5), {"shape": [0, 3, 4, 5]}),
    reshape("image-to-image", (2, 12, 5, 7), (2, 4, 15, 7), {"shape": [0, 4, 15, 7]}),
    reshape("to-volume", (2, 12, 35), (2, 3, 4, 5, 7), {"shape": [0, 3, 4, 5, -1]}),
    reshape("axis", (2, 3, 4, 5), (2, 3, 2, 10), {"shape": [2, -1], "axis": 2}),
    reshape("one-axis", (2, 3, 4, 5), (2, 3, 2, 2, 5), {"shape": [2, 2], "axis": 2, "num_axes": 1}),
    reshape("two-axes", (2, 3, 4, 5), (2, 12, 5), {"shape": -1, "axis": 1, "num_axes": 2}),
    reshape("copy-behind-axis", (2, 3, 4, 5), (2, 3, 20), {"shape": [0, -1], "axis": 1}),
    reshape("put-in", (2, 3, 4), (2, 1, 3, 4), {"shape": 1, "axis": 1, "num_axes": 0}),
    reshape("put-in-first", (2, 3), (1, 2, 3), {"shape": [1], "num_axes": 0}),
    reshape("put-in-last", (2, 3), (2, 3, 1, 1), {"shape": [1, 1], "axis": -1}),
    reshape("axis-negative", (2, 3, 4, 5), (2, 3, 20), {"shape": -1, "axis": -3}),
    reshape("drop", (2, 1, 3), (2, 3), {"shape": [], "axis": 1, "num_axes": 1}),
    reshape("drop-last", (2, 3, 1), (2, 3), {"shape": [], "axis": -2}),
    reshape("from-vector", (6,), (6, 1), {"shape": [-1, 1]}),
    reshape("from-scalar", (), (1, 1), {"shape": [1, 1]}),
    reshape("to-scalar", (1, 1), (), {"shape": []}, no_zero_rows="one value is needed"),
    Case("Split", "image", [(2, 3, 4, 5)], num_tops=3, formula=copies),
    Case("Split", "rows", [(2, 3)], num_tops=3, formula=copies),
    Case("Split", "volume", [(2, 3, 4, 5, 6)], num_tops=3, formula=copies),
    Case("Split", "scalar", [()], num_tops=3, formula=copies),
    Case("Split", "vector", [(5,)], num_tops=3, formula=copies),
    Case("Split", "one", [(2, 3, 4)], formula=lambda b, w, p: b),
    Case("Tile", "image", [(2, 3, 4, 5)], {"tiles": 3}, formula=tiled),
    Case("Tile", "rows", [(2, 3)], {"tiles": 2}, formula=tiled),
    Case("Tile", "once", [(2, 3, 4)], {"tiles": 1}, formula=tiled),
    Case("Tile", "axis-0", [(2, 3, 4)], {"tiles": 4, "axis": 0}, formula=tiled),
    Case("Tile", "axis-last", [(2, 3, 4, 5)], {"tiles": 2, "axis": -1}, formula=tiled),
    Case("Tile", "volume", [(2, 3, 4, 5, 6)], {"tiles": 2, "axis": 3}, formula=tiled),
    Case("Tile", "vector", [(4,)], {"tiles": 3, "axis": 0}, formula=tiled),
    permute("channels-last", (2, 3, 4, 5), (0, 2, 3, 1), [0, 2, 3, 1]),
    permute("rows-last", (2, 3, 4, 5), (3, 1, 2, 0), [3, 1, 2, 0]),
    permute("one-named", (2, 3, 4, 5), (2, 0, 1, 3), 2),
    permute("two-named", (2, 3, 4, 5, 6), (0, 4, 1, 2, 3), [0, 4]),
    permute("none-named", (2, 3, 4), (0, 1, 2), []),
    permute("scalar", (), (), []),
    permute("vector", (5,), (0,), 0),
    permute("matrix", (2, 3), (1, 0), [1]),
    permute("six-axes", (2, 3, 4, 1, 5, 6), (5, 0, 4, 1, 3, 2), [5, 0, 4, 1, 3, 2]),
    Case("ShuffleChannel", "image", [(2, 6, 4, 5)], {"group": 3}, formula=shuffled),
    Case("ShuffleChannel", "two-groups", [(3, 8, 2, 5)], {"group": 2}, formula=shuffled),
    Case("ShuffleChannel", "rows", [(3, 6)], {"group": 2}, formula=shuffled),
    Case("ShuffleChannel", "volume", [(2, 6, 3, 4, 5)], {"group": 2}, formula=shuffled),
    Case("ShuffleChannel", "one-group", [(2, 6, 4)], formula=shuffled),
    Case("ShuffleChannel", "groups-of-one", [(2, 5, 4)], {"group": 5}, formula=shuffled),
    pad("image", (2, 3, 4, 5), [(0, 0), (0, 0), (1, 1), (1, 1)], pad=1),
    pad("each-axis", (2, 3, 4, 5), [(0, 0), (0, 0), (2, 2), (1, 1)], pad=[2, 1]),
    pad("sides", (2, 3, 4, 5), [(0, 0), (0, 0), (1, 2), (0, 3)], pad=[[1, 2], [0, 3]], value=-0.5),
    pad("one-pair", (2, 3, 4, 5), [(0, 0), (0, 0), (1, 2), (1, 2)], pad=[[1, 2]], value=7),
    pad("volume", (2, 3, 4, 2, 5), [(0, 0), (0, 0), (1, 0), (0, 2), (3, 1)], pad=[[1, 0], [0, 2], [3, 1]]),
    pad("nothing", (2, 3, 4), [(0, 0)] * 3, pad=0),
    pad("rows", (2, 3), [(1, 1), (2, 0)], pad=[1, [2, 0]], axis=0, value=1.5),
    pad("vector", (4,), [(2, 1)], pad=[[2, 1]], axis=0),
    pad("reflect", (2, 3, 4, 5), [(0, 0), (0, 0), (3, 2), (1, 4)], mode="REFLECT", pad=[[3, 2], [1, 4]]),
    pad("reflect-line", (2, 3, 5), [(0, 0), (0, 0), (2, 2)], mode="reflect", pad=2),
    pad("reflect-volume", (2, 3, 4, 2, 5), [(0, 0), (0, 0), *[(1, 1)] * 3], mode="REFLECT", pad=1),
    pad("reflect-channels", (2, 4, 3), [(0, 0), (2, 3), (1, 0)], mode="REFLECT", pad=[[2, 3], [1, 0]], axis=-2),
    pad("reflect-vector", (4,), [(3, 2)], mode="REFLECT", pad=[[3, 2]], axis=0, no_zero_rows="mirrors rows"),
    pad("edge", (2, 3, 4, 5), [(0, 0), (0, 0), (3, 6), (1, 2)], mode="EDGE", pad=[[3, 6], [1, 2]]),
    pad("edge-line", (2, 3, 1), [(0, 0), (0, 0), (2, 4)], mode="edge", pad=[[2, 4]]),
    pad("edge-volume", (2, 3, 4, 2, 5), [(0, 0), (0, 0), *[(2, 2)] * 3], mode="EDGE", pad=2),
    pad("edge-rows", (2, 3), [(2, 1), (0, 3)], mode="EDGE", pad=[[2, 1], [0, 3]], axis=0, no_zero_rows="repeats rows"),
    Case("Silence", "one", [(2, 3, 4, 5)], num_tops=0, formula=lambda b, w, p: []),
    Case("Silence", "scalar", [()], num_tops=0, formula=lambda b, w, p: []),
    Case("Silence", "vector", [(5,)], num_tops=0, formula=lambda b, w, p: []),
    Case("Silence", "line and volume", [(2, 3, 5), (2, 3, 4, 6, 5)], num_tops=0, formula=lambda b, w, p: []),
    Case("Silence", "volume", [(2, 3, 4, 6, 5)], num_tops=0, formula=lambda b, w, p: []),
    Case("Silence", "two", [(2, 3), (4,)], num_tops=0, formula=lambda b, w, p: []),
]
