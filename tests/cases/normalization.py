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


def scaled(formula):
    """The same with scale and bias behind it, which are the last two weights; each channel's looked up by its index."""

    def with_scale(bottoms, weights, p):
        *before, factors, terms = weights
        (n,) = formula(bottoms, before, p)
        y = np.zeros_like(n)
        for place in np.ndindex(n.shape):
            channel = place[1] if n.ndim > 1 else 0
            y[place] = n[place] * factors[channel] + terms[channel]
        return [y]

    return with_scale


def by_nothing(bottoms, weights, p):
    return [bottoms[0] / np.sqrt(p.eps)]


def scale(bottoms, weights, p):
    """Every element of the top with its own factor and term, looked up by the element's index."""
    x, learned = bottoms[0], list(weights)
    factor = bottoms[1] if len(bottoms) == 2 else learned.pop(0)
    term = learned.pop(0) if p.bias_term else np.zeros_like(factor)
    first = p.axis % max(1, x.ndim)  # of a scalar nothing is looked up
    if len(bottoms) == 1:
        assert factor.shape == (x.shape[first:] if p.num_axes == -1 else x.shape[first : first + p.num_axes])
    y = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        at = place[first : first + factor.ndim]
        y[place] = x[place] * factor[at] + term[at]
    return [y]


def mvn(bottoms, weights, p):
    """One row of values at a time: all of a sample, or one channel of it."""
    x = bottoms[0]
    y = np.zeros_like(x)
    rows = [(i,) for i in range(x.shape[0])] if p.across_channels else list(np.ndindex(x.shape[:2]))
    for row in rows:
        values = x[row].ravel()
        centred = values - sum(values) / values.size
        deviation = (sum(centred**2) / values.size) ** 0.5 + p.eps if p.normalize_variance else 1
        y[row] = np.reshape(centred / deviation, x[row].shape)
    return [y]


def normalize(bottoms, weights, p):
    """Every element divided by the norm of what stands beside it, which is cut out of the bottom."""
    (x,), (factor,) = bottoms, weights
    y = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        beside = x[place[0]] if p.across_spatial else x[(place[0], slice(None), *place[2:])]
        norm = (sum(v * v for v in beside.ravel()) + p.eps) ** 0.5
        y[place] = x[place] / norm * (factor if p.channel_shared else factor[place[1]])
    return [y]


def layer_norm(bottoms, weights, p):
    (x,), axis = bottoms, p.axis % bottoms[0].ndim
    y = np.zeros_like(x)
    for row in np.ndindex(x.shape[:axis]):
        values = list(x[row].ravel())
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / len(values)
        n = (x[row] - mean) / (variance + p.eps) ** 0.5
        y[row] = n * weights[0] + weights[1] if p.affine else n
    return [y]


def rms_norm(bottoms, weights, p):
    (x,), axis = bottoms, p.axis % bottoms[0].ndim
    y = np.zeros_like(x)
    for row in np.ndindex(x.shape[:axis]):
        values = list(x[row].ravel())
        n = x[row] / (sum(v * v for v in values) / len(values) + p.eps) ** 0.5
        y[row] = n * weights[0] if p.affine else n
    return [y]


def group_norm(bottoms, weights, p):
    (x,) = bottoms
    y, size = np.zeros_like(x), x.shape[1] // p.num_groups
    for sample, channel in np.ndindex(x.shape[:2]):
        first = channel - channel % size
        values = list(x[sample, first : first + size].ravel())
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / len(values)
        n = (x[sample, channel] - mean) / (variance + p.eps) ** 0.5
        y[sample, channel] = n * weights[0][channel] + weights[1][channel] if p.affine else n
    return [y]


FIRST = {"mean": np.zeros(3), "variance": np.zeros(3), "scale_factor": np.zeros(1)}
UNSEEN = {"scale_factor": np.zeros(1)}  # beside which mean and variance, though not 0, count as 0
NO_SMALL_ROWS = "bottom 1 has the shape of axis 1 on, which has rows"

ROWS_ARE_NORMALIZED = "the weights have the shape of axis 0 on, which has rows"
AFFINE = {"scale_bias": True}
SSD = {"across_spatial": False, "channel_shared": False, "scale_filler": {"value": 20}}
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
    Case("BatchNorm", "affine", [(4, 3, 2, 5)], AFFINE, formula=scaled(by_batch)),
    Case("BatchNorm", "affine-rows", [(7, 4)], AFFINE, formula=scaled(by_batch)),
    Case("BatchNorm", "affine-sequences", [(4, 3, 5)], AFFINE, formula=scaled(by_batch)),
    Case("BatchNorm", "affine-volume", [(3, 2, 4, 6, 5)], AFFINE, formula=scaled(by_batch)),
    Case("BatchNorm", "affine-one-axis", [(7,)], AFFINE, formula=scaled(by_batch)),
    Case("BatchNorm", "affine-test", [(4, 3, 2, 5)], AFFINE, phase="test", formula=scaled(by_statistics)),
    Case("BatchNorm", "affine-test-one-axis", [(7,)], AFFINE, phase="test", formula=scaled(by_statistics)),
    Case(
        "BatchNorm",
        "affine-global",
        [(4, 3, 2, 5)],
        {
            **AFFINE,
            "use_global_stats": True,
            "scale_filler": {"type": "uniform", "min": 0.5, "max": 2},
            "bias_filler": {"value": 0.3},
        },
        formula=scaled(by_statistics),
    ),
    Case("MVN", "image", [(2, 3, 4, 5)], formula=mvn),
    Case("MVN", "across", [(2, 3, 4, 5)], {"across_channels": True}, formula=mvn),
    Case("MVN", "mean-only", [(2, 3, 4, 5)], {"normalize_variance": False}, formula=mvn),
    Case(
        "MVN",
        "mean-only-across",
        [(2, 3, 5)],
        {"normalize_variance": False, "across_channels": True},
        formula=mvn,
    ),
    Case("MVN", "eps", [(2, 3, 4, 5)], {"eps": 0.3}, formula=mvn),
    Case("MVN", "eps-across", [(4, 5, 3)], {"eps": 0.3, "across_channels": True}, formula=mvn),
    Case("MVN", "sequences", [(4, 3, 5)], formula=mvn),
    Case("MVN", "volume", [(2, 3, 4, 6, 5)], formula=mvn),
    Case("MVN", "rows-mean-only", [(4, 3)], {"normalize_variance": False}, formula=mvn),
    Case("MVN", "rows-across", [(3, 7)], {"across_channels": True}, formula=mvn),
    Case("MVN", "far-from-0", [(2, 3, 4, 5)], formula=mvn, span=(90.0, 95.0)),
    Case("Normalize", "image", [(2, 3, 4, 5)], formula=normalize),
    Case("Normalize", "ssd", [(2, 5, 4, 3)], SSD, formula=normalize),
    Case("Normalize", "places", [(2, 3, 4, 5)], {"across_spatial": False}, formula=normalize),
    Case("Normalize", "scales", [(2, 3, 4, 5)], {"channel_shared": False}, formula=normalize),
    Case("Normalize", "eps", [(2, 3, 4, 5)], {"eps": 2}, formula=normalize),
    Case("Normalize", "eps-places", [(2, 3, 4, 5)], {"across_spatial": False, "eps": 2}, formula=normalize),
    Case("Normalize", "rows", [(4, 3)], {"channel_shared": False}, formula=normalize),
    Case("Normalize", "sequences", [(4, 3, 5)], {"across_spatial": False}, formula=normalize),
    Case("Normalize", "volume", [(2, 3, 4, 6, 5)], SSD, formula=normalize),
    Case("LayerNorm", "rows", [(4, 7)], formula=layer_norm),
    Case("LayerNorm", "sequences", [(4, 3, 7)], formula=layer_norm),
    Case("LayerNorm", "image", [(2, 3, 4, 5)], {"axis": 1}, formula=layer_norm),
    Case("LayerNorm", "image-axis-last", [(2, 3, 4, 5)], formula=layer_norm),
    Case("LayerNorm", "volume", [(2, 3, 4, 6, 5)], {"axis": -2}, formula=layer_norm),
    Case("LayerNorm", "vector", [(7,)], formula=layer_norm),
    Case("LayerNorm", "axis-0", [(4, 3)], {"axis": 0}, formula=layer_norm, no_zero_rows=ROWS_ARE_NORMALIZED),
    Case("LayerNorm", "two-axes", [(4, 3, 7)], {"axis": 1, "eps": 0.1}, formula=layer_norm),
    Case("LayerNorm", "plain", [(4, 3, 7)], {"affine": False, "eps": 0.5}, formula=layer_norm),
    Case("LayerNorm", "plain-image", [(2, 3, 4, 5)], {"affine": False, "axis": 1}, formula=layer_norm),
    Case("LayerNorm", "wide", [(3, 40)], formula=layer_norm, span=(90.0, 95.0)),
    Case("RMSNorm", "rows", [(4, 7)], formula=rms_norm),
    Case("RMSNorm", "sequences", [(4, 3, 7)], formula=rms_norm),
    Case("RMSNorm", "image", [(2, 3, 4, 5)], {"axis": 1}, formula=rms_norm),
    Case("RMSNorm", "volume", [(2, 3, 4, 6, 5)], {"axis": -2}, formula=rms_norm),
    Case("RMSNorm", "vector", [(7,)], formula=rms_norm),
    Case("RMSNorm", "axis-0", [(4, 3)], {"axis": 0}, formula=rms_norm, no_zero_rows=ROWS_ARE_NORMALIZED),
    Case("RMSNorm", "eps", [(4, 3, 7)], {"axis": 1, "eps": 0.5}, formula=rms_norm),
    Case("RMSNorm", "plain", [(2, 3, 4, 5)], {"affine": False}, formula=rms_norm),
    Case("GroupNorm", "image", [(2, 6, 4, 5)], {"num_groups": 3}, formula=group_norm),
    Case("GroupNorm", "rows", [(3, 8)], {"num_groups": 2}, formula=group_norm),
    Case("GroupNorm", "sequences", [(3, 4, 5)], {"num_groups": 2, "eps": 0.1}, formula=group_norm),
    Case("GroupNorm", "volume", [(2, 6, 3, 5, 4)], {"num_groups": 2}, formula=group_norm),
    Case("GroupNorm", "one-group", [(2, 3, 4, 5)], {"num_groups": 1}, formula=group_norm),
    Case("GroupNorm", "instances", [(2, 3, 4, 5)], {"num_groups": 3}, formula=group_norm),
    Case("GroupNorm", "plain", [(2, 6, 4, 5)], {"num_groups": 3, "affine": False}, formula=group_norm),
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
    Case("Scale", "scalar-to-scalar", [()], {"num_axes": 0, "bias_term": True}, formula=scale),
    Case("Scale", "vector", [(4,)], {"axis": 0}, formula=scale),
    Case("Scale", "by-bottom", [(4, 3, 2, 5), (3, 2)], formula=scale, no_zero_rows=NO_SMALL_ROWS),
    Case("Scale", "by-bottom-bias", [(4, 3, 2), (3,)], {"bias_term": True}, formula=scale, no_zero_rows=NO_SMALL_ROWS),
    Case("Scale", "by-bottom-rows", [(4, 3, 2, 5), (4, 3)], {"axis": 0, "bias_term": True}, formula=scale),
    Case("Scale", "by-bottom-whole", [(4, 3, 2, 5), (4, 3, 2, 5)], {"axis": 0}, formula=scale),
    Case("Scale", "by-bottom-scalar", [(4, 3, 2), ()], {"bias_term": True}, formula=scale),
    Case("Scale", "by-bottom-scalar-no-axis-1", [(4,), ()], formula=scale),
]
