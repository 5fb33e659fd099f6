"""Cases of the activations."""

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


def softmax(bottoms, weights, p):
    rows = np.moveaxis(bottoms[0], p.axis, -1)
    out = [np.exp(row) / np.exp(row).sum() for row in rows.reshape(-1, rows.shape[-1])]
    return [np.moveaxis(np.reshape(out, rows.shape), -1, p.axis)]


def share_kept(bottoms, weights, p):
    return [bottoms[0] * (1 if p.scale_train else 1 - p.dropout_ratio)]


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
]
