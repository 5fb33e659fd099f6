"""Cases of the layers that choose some of their bottoms' values."""

import numpy as np

from layerkit.checks import Case


def cut(*start):
    """The formula of a Crop whose part begins there, one number an axis."""

    def formula(bottoms, weights, p):
        x, like = bottoms
        axis = p.axis % x.ndim
        y = np.empty(x.shape[:axis] + like.shape[axis:])
        for place in np.ndindex(y.shape):
            y[place] = x[tuple(at + first for at, first in zip(place, start, strict=True))]
        return [y]

    return formula


def crop(name, x, like, start, no_zero_rows="", **params):
    return Case("Crop", name, [x, like], params, formula=cut(*start), no_zero_rows=no_zero_rows)


def reindexed(bottoms, weights, p):
    x, index = bottoms
    return [np.array([x[int(number)] for number in index])]


def filtered(bottoms, weights, p):
    *data, selector = bottoms
    kept = [n for n, entry in enumerate(selector.ravel()) if entry != 0]
    return [np.stack([x[n] for n in kept]) if kept else x[:0] for x in data]


def largest(values, p):
    """Pairs of index and value, the largest first; of equal ones the one further behind."""
    order = sorted(range(len(values)), key=lambda i: (values[i], i), reverse=True)
    return [(i, values[i]) for i in order[: p.top_k]]


def arg_max(bottoms, weights, p):
    x = bottoms[0]
    if p.axis is None:
        rows = [list(zip(*largest(sample.ravel().tolist(), p), strict=True)) for sample in x]
        found = np.array(rows)[:, : 2 if p.out_max_val else 1]  # (N, 2 or 1, top_k)
        return [found.reshape(*found.shape, *[1] * (x.ndim - 3))]
    axis = p.axis % x.ndim
    places = x.shape[:axis] + x.shape[axis + 1 :]
    y = np.empty((p.top_k, *places))
    for place in np.ndindex(places):
        values = x[(*place[:axis], slice(None), *place[axis:])].tolist()
        for k, pair in enumerate(largest(values, p)):
            y[(k, *place)] = pair[1 if p.out_max_val else 0]
    return [np.moveaxis(y, 0, axis)]


def best(name, x, no_zero_rows="", **params):
    return Case("ArgMax", name, [x], params, formula=arg_max, no_zero_rows=no_zero_rows)


def ties(rng):
    """Small whole numbers, many of them equal."""
    return rng.integers(0, 3, (3, 4, 5))


OFFSET_ROWS = "cuts rows out of more rows"
SOME = np.array([0, 1.5, 0, -1, 1])

CASES = [
    crop("spatial", (2, 3, 6, 7), (1, 5, 4, 2), (0, 0, 1, 1), offset=1),
    crop("no-offset", (2, 3, 6, 7), (1, 5, 4, 2), (0, 0, 0, 0)),
    crop("offsets", (2, 4, 6, 7), (1, 3, 4, 2), (0, 1, 0, 5), axis=1, offset=[1, 0, 5]),
    crop("last-axis", (2, 4, 6, 7), (1, 1, 1, 3), (0, 0, 0, 2), axis=-1, offset=2),
    crop("rows", (4, 5), (2, 3), (1, 2), OFFSET_ROWS, axis=0, offset=[1, 2]),
    crop("vector", (6,), (4,), (2,), OFFSET_ROWS, axis=0, offset=2),
    crop("volume", (2, 3, 6, 7, 4), (1, 1, 4, 2, 3), (0, 0, 2, 4, 1), offset=[2, 4, 1]),
    crop("line", (2, 3, 6), (5, 1, 4), (0, 0, 2), offset=2),
    crop("nothing", (2, 3, 6, 7), (1, 1, 6, 7), (0, 0, 0, 0)),
    crop("to-nothing", (2, 3, 6, 7), (1, 1, 6, 0), (0, 0, 0, 7), offset=[0, 7]),
    Case("BatchReindex", "image", [(4, 3, 2, 5), np.array([3, 0, 0, 2, 3, 3])], formula=reindexed),
    Case("BatchReindex", "permutation", [(4, 3), np.array([2, 0, 3, 1])], formula=reindexed),
    Case("BatchReindex", "fewer", [(4, 3, 2), np.array([1])], formula=reindexed),
    Case("BatchReindex", "vector", [(4,), np.array([1, 1, 3])], formula=reindexed),
    Case("BatchReindex", "volume", [(3, 2, 4, 6, 5), np.array([2, 0, 2, 1])], formula=reindexed),
    Case("Filter", "image", [(5, 3, 2, 4), SOME], formula=filtered),
    Case("Filter", "rows", [(5, 3), SOME], formula=filtered),
    Case("Filter", "volume", [(5, 3, 2, 4, 6), SOME], formula=filtered),
    Case("Filter", "line", [(5, 3, 2), SOME], formula=filtered),
    Case("Filter", "vector", [(5,), SOME], formula=filtered),
    Case("Filter", "selector-with-axes", [(5, 3), SOME.reshape(5, 1, 1, 1)], formula=filtered),
    Case("Filter", "several", [(5, 3, 2, 4), (5,), (5, 6), SOME], num_tops=3, formula=filtered),
    Case("Filter", "all", [(5, 3), np.ones(5)], formula=filtered),
    Case("Filter", "none", [(5, 3, 2, 4), (5, 6), np.zeros(5)], num_tops=2, formula=filtered),
    best("image", (2, 3, 4, 5)),
    best("rows", (4, 3)),
    best("vector", (4,)),
    best("line", (2, 3, 4), top_k=3),
    best("volume", (2, 3, 4, 5, 2), top_k=2),
    best("with-values", (2, 3, 4, 5), out_max_val=True, top_k=3),
    best("with-values-rows", (4, 5), out_max_val=True),
    best("with-values-volume", (2, 3, 4, 5, 2), out_max_val=True, top_k=2),
    best("axis", (2, 3, 4, 5), axis=1),
    best("axis-top-k", (2, 5, 4, 3), axis=1, top_k=2),
    best("axis-last", (2, 3, 4, 5), axis=-1, top_k=4),
    best("axis-values", (2, 5, 4, 3), axis=1, top_k=2, out_max_val=True),
    best("axis-volume", (2, 3, 4, 6, 5), axis=3, top_k=2),
    best("axis-0", (4, 3), axis=0, top_k=2, no_zero_rows="looks along the rows"),
    best("ties", ties, top_k=5),
    best("ties-axis", ties, axis=2, top_k=3, out_max_val=True),
    best("ties-axis-index", ties, axis=1, top_k=3),
]
