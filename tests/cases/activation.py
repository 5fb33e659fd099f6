"""Cases of the activations."""

import math

import numpy as np

from layerkit.checks import Case


def power(bottoms, weights, p):
    with np.errstate(all="ignore"):
        return [np.power(p.shift + p.scale * bottoms[0], p.power)]


def leaky(bottoms, weights, p):
    x = bottoms[0]
    return [np.where(x > 0, x, p.negative_slope * x)]


def up_to_6(bottoms, weights, p):
    x = bottoms[0]
    return [np.where(x < 0, 0, np.where(x > 6, 6, x))]


def logistic(bottoms, weights, p):
    return [1 / (1 + np.exp(-bottoms[0]))]


def each(function):
    """A formula that takes a number and the parameters, as one for whole bottoms."""

    def formula(bottoms, weights, p):
        return [np.reshape([function(float(v), p) for v in bottoms[0].ravel()], bottoms[0].shape)]

    return formula


def elu(x, p):
    return x if x > 0 else p.alpha * (math.exp(x) - 1)


def bnll(x, p):
    return math.log(1 + math.exp(x))


def clip(x, p):
    return sorted([p.min, x, p.max])[1]


def exponential(x, p):
    return (math.e if p.base == -1 else p.base) ** (p.shift + p.scale * x)


def logarithm(x, p):
    return math.log(p.shift + p.scale * x, math.e if p.base == -1 else p.base)


def swish(x, p):
    return x / (1 + math.exp(-p.beta * x))


def gelu(x, p):
    if p.approximate == "TANH":
        return x / 2 * (1 + math.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3)))
    return x / 2 * math.erfc(-x / 2**0.5)


def hard_swish(x, p):
    return 0 if x < -3 else x if x > 3 else x * (x + 3) / 6


def softplus(x, p):
    return x if p.beta * x > p.threshold else math.log(1 + math.exp(p.beta * x)) / p.beta


def prelu(bottoms, weights, p):
    """Each element with its channel's slope, looked up by its index."""
    (x,), (slope,) = bottoms, weights
    y = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        y[place] = x[place] if x[place] > 0 else x[place] * (slope if p.channel_shared else slope[place[1]])
    return [y]


def softmax(bottoms, weights, p):
    rows = np.moveaxis(bottoms[0], p.axis, -1)
    out = [np.exp(row) / np.exp(row).sum() for row in rows.reshape(-1, rows.shape[-1])]
    return [np.moveaxis(np.reshape(out, rows.shape), -1, p.axis)]


def share_kept(bottoms, weights, p):
    return [bottoms[0] * (1 if p.scale_train else 1 - p.dropout_ratio)]


def further(type_, formula, shapes, params=None, **options):
    """Rows for other numbers of axes."""
    return [Case(type_, f"{len(x)}-axes", [x], params or {}, formula=formula, **options) for x in shapes]


VECTOR, LINE, VOLUME = (7,), (3, 4, 5), (2, 3, 4, 6, 5)
DRAWN = "which values are dropped is drawn; test_dropout.py checks the share and the values that stay"

CASES = [
    Case("ReLU", "rows", [(3, 5)], formula=leaky),
    Case("ReLU", "image", [(2, 3, 4, 5)], formula=leaky),
    Case("ReLU", "volume", [(2, 3, 4, 5, 6)], formula=leaky),
    Case("ReLU", "scalar", [()], formula=leaky),
    Case("ReLU", "leaky", [(2, 3, 4, 5)], {"negative_slope": 0.13}, formula=leaky),
    Case("ReLU", "steep", [(2, 3, 5)], {"negative_slope": 1.7}, formula=leaky),
    Case("ReLU", "negative-slope", [(2, 3, 4, 5)], {"negative_slope": -0.4}, formula=leaky),
    Case("ReLU6", "rows", [(3, 5)], formula=up_to_6, span=(-4.0, 9.0), kinks=(0.0, 6.0)),
    Case("ReLU6", "image", [(2, 3, 4, 5)], formula=up_to_6, span=(-4.0, 9.0), kinks=(0.0, 6.0)),
    Case("ReLU6", "volume", [(2, 3, 4, 5, 6)], formula=up_to_6, span=(-4.0, 9.0), kinks=(0.0, 6.0)),
    Case("ReLU6", "scalar", [()], formula=up_to_6, span=(1.0, 5.0)),
    Case("Sigmoid", "rows", [(3, 5)], formula=logistic),
    Case("Sigmoid", "image", [(2, 3, 4, 5)], formula=logistic),
    Case("Sigmoid", "scalar", [()], formula=logistic),
    Case("Sigmoid", "wide", [(4, 7)], formula=logistic, span=(-30.0, 30.0)),
    Case("TanH", "rows", [(3, 5)], formula=lambda b, w, p: [np.tanh(b[0])]),
    Case("TanH", "image", [(2, 3, 4, 5)], formula=lambda b, w, p: [np.tanh(b[0])]),
    Case("TanH", "scalar", [()], formula=lambda b, w, p: [np.tanh(b[0])]),
    Case("Power", "identity", [(2, 3, 4, 5)], formula=power),
    Case("Power", "linear", [(3, 5)], {"scale": -3, "shift": 0.5}, formula=power),
    Case("Power", "square", [(2, 3, 4, 5)], {"power": 2, "scale": 0.5, "shift": 1.5}, formula=power),
    Case("Power", "square-scalar", [()], {"power": 2}, formula=power),
    Case("Power", "cube-unshifted", [(2, 3, 4)], {"power": 3, "scale": 0.7}, formula=power),
    Case("Power", "root", [(2, 3, 4, 5)], {"power": 0.37, "scale": 0.83, "shift": 2.4}, formula=power),
    Case("Power", "root-unshifted", [(3, 5)], {"power": 0.5}, formula=power, span=(0.1, 3.0)),
    Case("Power", "reciprocal", [(3, 5)], {"power": -1, "shift": 3}, formula=power),
    Case("Power", "power-0", [(2, 3, 4, 5)], {"power": 0, "shift": -2.4}, formula=lambda b, w, p: [np.ones_like(b[0])]),
    Case(
        "Power",
        "scale-0",
        [(2, 3, 5)],
        {"power": 3, "scale": 0, "shift": 1.5},
        formula=lambda b, w, p: [np.full(b[0].shape, 3.375)],
    ),
    Case("AbsVal", "rows", [(3, 5)], formula=each(lambda x, p: abs(x))),
    Case("AbsVal", "image", [(2, 3, 4, 5)], formula=each(lambda x, p: abs(x))),
    Case("AbsVal", "volume", [(2, 3, 4, 5, 6)], formula=each(lambda x, p: abs(x))),
    Case("AbsVal", "scalar", [()], formula=each(lambda x, p: abs(x))),
    Case("BNLL", "rows", [(3, 5)], formula=each(bnll)),
    Case("BNLL", "image", [(2, 3, 4, 5)], formula=each(bnll)),
    Case("BNLL", "volume", [(2, 3, 4, 5, 6)], formula=each(bnll)),
    Case("BNLL", "scalar", [()], formula=each(bnll)),
    Case("BNLL", "wide", [(4, 7)], formula=each(bnll), span=(-30.0, 60.0)),
    Case("Clip", "rows", [(3, 5)], {"min": -0.6, "max": 1.1}, formula=each(clip), kinks=(-0.6, 1.1)),
    Case("Clip", "image", [(2, 3, 4, 5)], {"min": 0.3, "max": 1}, formula=each(clip), kinks=(0.3, 1.0)),
    Case("Clip", "volume", [(2, 3, 4, 5, 6)], {"min": -1, "max": 0}, formula=each(clip), kinks=(-1.0, 0.0)),
    Case("Clip", "scalar", [()], {"min": -3, "max": 3}, formula=each(clip)),
    Case("Clip", "one-value", [(2, 3, 5)], {"min": 0.5, "max": 0.5}, formula=each(clip), kinks=(0.5,)),
    Case("ELU", "rows", [(3, 5)], formula=each(elu)),
    Case("ELU", "image", [(2, 3, 4, 5)], {"alpha": 0.4}, formula=each(elu)),
    Case("ELU", "volume", [(2, 3, 4, 5, 6)], {"alpha": 1.7}, formula=each(elu)),
    Case("ELU", "scalar", [()], formula=each(elu)),
    Case("ELU", "alpha-0", [(2, 3, 5)], {"alpha": 0}, formula=each(elu)),
    Case("ELU", "negative-alpha", [(2, 3, 4, 5)], {"alpha": -0.8}, formula=each(elu)),
    Case("ELU", "wide", [(4, 7)], formula=each(elu), span=(-40.0, 20.0)),
    Case("Exp", "rows", [(3, 5)], formula=each(exponential)),
    Case("Exp", "image", [(2, 3, 4, 5)], {"base": 2, "scale": 3, "shift": 1}, formula=each(exponential)),
    Case("Exp", "volume", [(2, 3, 4, 5, 6)], {"scale": -0.5, "shift": 0.7}, formula=each(exponential)),
    Case("Exp", "scalar", [()], {"base": 0.3}, formula=each(exponential)),
    Case("Exp", "base-1", [(2, 3, 5)], {"base": 1}, formula=each(exponential)),
    Case("Log", "rows", [(3, 5)], formula=each(logarithm), span=(0.2, 3.0)),
    Case("Log", "image", [(2, 3, 4, 5)], {"base": 2, "scale": 0.3, "shift": 1.5}, formula=each(logarithm)),
    Case("Log", "volume", [(2, 3, 4, 5, 6)], {"scale": -2, "shift": 5}, formula=each(logarithm)),
    Case("Log", "scalar", [()], {"base": 0.1, "shift": 4}, formula=each(logarithm)),
    Case("Swish", "rows", [(3, 5)], formula=each(swish)),
    Case("Swish", "image", [(2, 3, 4, 5)], {"beta": 1.7}, formula=each(swish)),
    Case("Swish", "volume", [(2, 3, 4, 5, 6)], {"beta": -0.6}, formula=each(swish)),
    Case("Swish", "scalar", [()], formula=each(swish)),
    Case("Swish", "beta-0", [(2, 3, 5)], {"beta": 0}, formula=each(swish)),
    Case("Swish", "wide", [(4, 7)], formula=each(swish), span=(-30.0, 30.0)),
    Case("Threshold", "rows", [(3, 5)], formula=each(lambda x, p: float(x > p.threshold))),
    Case("Threshold", "image", [(2, 3, 4, 5)], {"threshold": 0.5}, formula=each(lambda x, p: float(x > p.threshold))),
    Case("Threshold", "volume", [(2, 3, 4, 5, 6)], formula=each(lambda x, p: float(x > p.threshold))),
    Case("Threshold", "scalar", [()], {"threshold": -2.5}, formula=each(lambda x, p: 1.0)),
    Case("PReLU", "rows", [(5, 3)], formula=prelu),
    Case("PReLU", "sequences", [(4, 3, 5)], formula=prelu),
    Case("PReLU", "image", [(2, 3, 4, 5)], {"filler": {"type": "uniform", "max": 0.4}}, formula=prelu),
    Case("PReLU", "volume", [(2, 3, 4, 6, 5)], formula=prelu),
    Case("PReLU", "shared", [(2, 3, 4, 5)], {"channel_shared": True}, formula=prelu),
    Case("PReLU", "shared-vector", [(7,)], {"channel_shared": True}, formula=prelu),
    Case("PReLU", "shared-scalar", [()], {"channel_shared": True}, formula=prelu),
    Case("GELU", "rows", [(3, 5)], formula=each(gelu)),
    Case("GELU", "image", [(2, 3, 4, 5)], formula=each(gelu)),
    Case("GELU", "volume", [(2, 3, 4, 5, 6)], formula=each(gelu)),
    Case("GELU", "scalar", [()], formula=each(gelu)),
    Case("GELU", "wide", [(40, 50)], formula=each(gelu), span=(-12.0, 12.0)),
    Case("GELU", "tanh", [(2, 3, 4, 5)], {"approximate": "TANH"}, formula=each(gelu)),
    Case("GELU", "tanh-scalar", [()], {"approximate": "tanh"}, formula=each(gelu)),
    Case("GELU", "tanh-wide", [(4, 7)], {"approximate": "TANH"}, formula=each(gelu), span=(-12.0, 12.0)),
    Case("HardSwish", "rows", [(3, 5)], formula=each(hard_swish), span=(-5.0, 6.0), kinks=(-3.0, 3.0)),
    Case("HardSwish", "image", [(2, 3, 4, 5)], formula=each(hard_swish), span=(-5.0, 6.0), kinks=(-3.0, 3.0)),
    Case("HardSwish", "volume", [(2, 3, 4, 5, 6)], formula=each(hard_swish), span=(-5.0, 6.0), kinks=(-3.0, 3.0)),
    Case("HardSwish", "scalar", [()], formula=each(hard_swish)),
    Case("Softplus", "rows", [(3, 5)], formula=each(softplus)),
    Case("Softplus", "image", [(2, 3, 4, 5)], {"beta": 2.3}, formula=each(softplus)),
    Case("Softplus", "volume", [(2, 3, 4, 5, 6)], {"beta": 0.4}, formula=each(softplus)),
    Case("Softplus", "scalar", [()], formula=each(softplus)),
    Case("Softplus", "wide", [(4, 7)], formula=each(softplus), span=(-30.0, 60.0), kinks=(20.0,)),
    Case("Softplus", "threshold", [(2, 3, 5)], {"beta": 1.5, "threshold": 1}, formula=each(softplus), kinks=(2 / 3,)),
    Case("Softmax", "rows", [(3, 5)], formula=softmax),
    Case("Softmax", "image", [(2, 4, 3, 5)], formula=softmax),
    Case("Softmax", "volume", [(2, 4, 3, 5, 6)], formula=softmax),
    Case("Softmax", "axis-last", [(2, 4, 3, 5)], {"axis": -1}, formula=softmax),
    Case("Softmax", "axis-2", [(2, 4, 3)], {"axis": 2}, formula=softmax),
    Case("Softmax", "vector", [(7,)], {"axis": 0}, formula=softmax),
    Case("Softmax", "wide", [(3, 5)], formula=softmax, span=(-300.0, 300.0)),
    Case("Dropout", "train", [(2, 3, 4, 5)], no_formula=DRAWN),
    Case("Dropout", "train-ratio", [(4, 7)], {"dropout_ratio": 0.3}, no_formula=DRAWN),
    Case("Dropout", "train-unscaled", [(2, 3, 5)], {"dropout_ratio": 0.3, "scale_train": False}, no_formula=DRAWN),
    Case("Dropout", "train-nothing", [(3, 5)], {"dropout_ratio": 0}, formula=lambda b, w, p: b),
    Case("Dropout", "test", [(2, 3, 4, 5)], {"dropout_ratio": 0.3}, phase="test", formula=share_kept),
    Case("Dropout", "predict", [(2, 3, 5)], {"dropout_ratio": 0.3}, phase="predict", formula=share_kept),
    Case(
        "Dropout",
        "test-unscaled",
        [(2, 3, 4, 5)],
        {"dropout_ratio": 0.3, "scale_train": False},
        phase="test",
        formula=share_kept,
    ),
    *further("ReLU", leaky, [VECTOR]),
    *further("ReLU6", up_to_6, [VECTOR, LINE], span=(-4.0, 9.0), kinks=(0.0, 6.0)),
    *further("Sigmoid", logistic, [VECTOR, LINE, VOLUME]),
    *further("TanH", lambda b, w, p: [np.tanh(b[0])], [VECTOR, LINE, VOLUME]),
    *further("Power", power, [VECTOR, VOLUME], {"power": 2, "shift": 1.5}),
    *further("AbsVal", each(lambda x, p: abs(x)), [VECTOR, LINE]),
    *further("BNLL", each(bnll), [VECTOR, LINE]),
    *further("Clip", each(clip), [VECTOR], {"min": -0.6, "max": 1.1}, kinks=(-0.6, 1.1)),
    *further("ELU", each(elu), [VECTOR]),
    *further("Exp", each(exponential), [VECTOR]),
    *further("Log", each(logarithm), [VECTOR, LINE], span=(0.2, 3.0)),
    *further("Swish", each(swish), [VECTOR]),
    *further("Threshold", each(lambda x, p: float(x > p.threshold)), [VECTOR, LINE]),
    *further("GELU", each(gelu), [VECTOR, LINE]),
    *further("HardSwish", each(hard_swish), [VECTOR, LINE], span=(-5.0, 6.0), kinks=(-3.0, 3.0)),
    *further("Softplus", each(softplus), [VECTOR]),
    *further("Dropout", share_kept, [(), VECTOR, VOLUME], {"dropout_ratio": 0.3}, phase="test"),
    Case("Dropout", "train-volume", [VOLUME], no_formula=DRAWN),
    Case("Dropout", "train-vector", [VECTOR], no_formula=DRAWN),
    Case("Dropout", "train-scalar", [()], no_formula=DRAWN),
]
