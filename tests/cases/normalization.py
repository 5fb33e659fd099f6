"""Cases of the normalization layers."""

import numpy as np

from layerkit.checks import Case


def lrn(bottoms, weights, p):
    """One place at a time: its window is cut out of the bottom, and what would lie beyond the border is not there."""
    x, half = bottoms[0], p.local_size // 2
    y = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        reach = [slice(max(0, i - half), i + half + 1) for i in place]
        if p.norm_region == "ACROSS_CHANNELS":
            window, n, k = x[(place[0], reach[1], *place[2:])], p.local_size, p.k
        else:
            window, n, k = x[(*place[:2], *reach[2:])], p.local_size ** (x.ndim - 2), 1
        y[place] = x[place] / (k + p.alpha * np.square(window).sum() / n) ** p.beta
    return [y]


def channels(x):
    """The values of each channel: a 1-axis bottom is one channel."""
    return np.moveaxis(x, 1, 0).reshape(x.shape[1], -1) if x.ndim > 1 else x[None]


def normalized(x, means, variances, eps):
    around = (1, -1, *[1] * (x.ndim - 2)) if x.ndim > 1 else (1,)
    return (x - np.reshape(means, around)) / np.sqrt(np.reshape(variances, around) + eps)


def by_batch(bottoms, weights, p):
    values = [list(channel) for channel in channels(bottoms[0])]
    means = [sum(channel) / len(channel) for channel in values]
    squares = [sum(v * v for v in channel) / len(channel) for channel in values]
    return [normalized(bottoms[0], means, np.subtract(squares, np.square(means)), p.eps)]


def by_statistics(bottoms, weights, p):
    mean, variance, (seen,) = weights
    return [normalized(bottoms[0], mean / seen, variance / seen, p.eps)]


def by_nothing(bottoms, weights, p):
    return [bottoms[0] / np.sqrt(p.eps)]


def scale(bottoms, weights, p):
    """Every element of the top with its own factor and term, looked up by the element's index."""
    x, learned = bottoms[0], list(weights)
    factor = bottoms[1] if len(bottoms) == 2 else learned.pop(0)
    term = learned.pop(0) if p.bias_term else np.zeros_like(factor)
    first = p.axis % x.ndim
    if len(bottoms) == 1:
        assert factor.shape == (x.shape[first:] if p.num_axes == -1 else x.shape[first : first + p.num_axes])
    y = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        at = place[first : first + factor.ndim]
        y[place] = x[place] * factor[at] + term[at]
    return [y]


FIRST = {"mean": np.zeros(3), "variance": np.zeros(3), "scale_factor": np.zeros(1)}
UNSEEN = {"scale_factor": np.zeros(1)}  # beside which mean and variance, though not 0, count as 0
NO_SMALL_ROWS = "bottom 1 has the shape of axis 1 on, which has rows"

WITHIN = {"norm_region": "WITHIN_CHANNEL"}

CASES = [
    Case("LRN", "image", [(2, 7, 3, 4)], formula=lrn),
    Case("LRN", "parameters", [(2, 6, 4, 3)], {"local_size": 3, "alpha": 0.7, "beta": 0.6, "k": 2}, formula=lrn),
    Case("LRN", "alexnet", [(3, 8, 2, 5)], {"local_size": 5, "alpha": 0.0001, "beta": 0.75}, formula=lrn),
    Case("LRN", "rows", [(3, 8)], {"alpha": 2}, formula=lrn),
    Case("LRN", "volume", [(2, 6, 3, 5, 4)], formula=lrn),
    Case("LRN", "size-1", [(2, 5, 3)], {"local_size": 1}, formula=lrn),
    Case("LRN", "wider-than-channels", [(2, 3, 5, 4)], {"local_size": 9}, formula=lrn),
    Case("LRN", "negative-beta", [(2, 5, 3, 4)], {"beta": -0.5}, formula=lrn),
    Case("LRN", "within", [(2, 3, 5, 7)], {**WITHIN, "local_size": 3, "alpha": 0.7, "beta": 0.6}, formula=lrn),
    Case("LRN", "within-k-unused", [(2, 3, 6, 4)], {**WITHIN, "k": 5}, formula=lrn),
    Case("LRN", "within-line", [(2, 3, 8)], {**WITHIN, "local_size": 3}, formula=lrn),
    Case("LRN", "within-volume", [(2, 3, 4, 6, 5)], {**WITHIN, "local_size": 3}, formula=lrn),
    Case("LRN", "within-wider-than-image", [(3, 2, 4, 5)], {**WITHIN, "local_size": 11}, formula=lrn),
    Case("BatchNorm", "image", [(4, 3, 2, 5)], formula=by_batch),
    Case("BatchNorm", "first-batch", [(4, 3, 2, 5)], formula=by_batch, weights=FIRST),
    Case("BatchNorm", "rows", [(7, 4)], {"eps": 0.1}, formula=by_batch),
    Case("BatchNorm", "sequences", [(4, 3, 5)], {"moving_average_fraction": 0.9}, formula=by_batch),
    Case("BatchNorm", "volume", [(3, 2, 4, 6, 5)], formula=by_batch),
    Case("BatchNorm", "one-axis", [(7,)], formula=by_batch),
    Case("BatchNorm", "one-value", [(1, 4)], {"eps": 0.5}, formula=by_batch),
    Case("BatchNorm", "far-from-0", [(5, 3, 4, 2)], formula=by_batch, span=(90.0, 95.0)),
    Case("BatchNorm", "test", [(4, 3, 2, 5)], {"eps": 0.01}, phase="test", formula=by_statistics),
    Case("BatchNorm", "predict", [(4, 3)], phase="predict", formula=by_statistics),
    Case("BatchNorm", "test-one-axis", [(7,)], phase="test", formula=by_statistics),
    Case("BatchNorm", "test-nothing-seen", [(4, 3, 5)], phase="test", formula=by_nothing, weights=UNSEEN),
    Case("BatchNorm", "train-global", [(4, 3, 2, 5)], {"use_global_stats": True}, formula=by_statistics),
    Case("BatchNorm", "test-batch", [(4, 3, 2, 5)], {"use_global_stats": False}, phase="test", formula=by_batch),
    Case("Scale", "image", [(4, 3, 2, 5)], formula=scale),
    Case("Scale", "rows", [(4, 3)], {"filler": "xavier"}, formula=scale),
    Case("Scale", "volume", [(2, 3, 4, 6, 5)], {"bias_term": True}, formula=scale),
    Case("Scale", "bias", [(4, 3, 2, 5)], {"bias_term": True, "bias_filler": {"value": 0.5}}, formula=scale),
    Case("Scale", "axis-0", [(4, 3, 2)], {"axis": 0, "num_axes": 2, "bias_term": True}, formula=scale),
    Case("Scale", "axis-last", [(4, 3, 2, 5)], {"axis": -1, "bias_term": True}, formula=scale),
    Case("Scale", "two-axes", [(4, 3, 2, 5)], {"num_axes": 2, "bias_term": True}, formula=scale),
    Case("Scale", "axis-2-on", [(4, 3, 2, 5)], {"axis": -2, "num_axes": -1, "bias_term": True}, formula=scale),
    Case("Scale", "all-axes", [(4, 3, 2, 5)], {"axis": 0, "num_axes": -1, "bias_term": True}, formula=scale),
    Case("Scale", "scalar", [(4, 3, 2, 5)], {"num_axes": 0, "bias_term": True}, formula=scale),
    Case("Scale", "scalar-no-axis-1", [(4,)], {"num_axes": 0}, formula=scale),
    Case("Scale", "vector", [(4,)], {"axis": 0}, formula=scale),
    Case("Scale", "by-bottom", [(4, 3, 2, 5), (3, 2)], formula=scale, no_zero_rows=NO_SMALL_ROWS),
    Case("Scale", "by-bottom-bias", [(4, 3, 2), (3,)], {"bias_term": True}, formula=scale, no_zero_rows=NO_SMALL_ROWS),
    Case("Scale", "by-bottom-rows", [(4, 3, 2, 5), (4, 3)], {"axis": 0, "bias_term": True}, formula=scale),
    Case("Scale", "by-bottom-whole", [(4, 3, 2, 5), (4, 3, 2, 5)], {"axis": 0}, formula=scale),
    Case("Scale", "by-bottom-scalar", [(4, 3, 2), ()], {"bias_term": True}, formula=scale),
    Case("Scale", "by-bottom-scalar-no-axis-1", [(4,), ()], formula=scale),
]
