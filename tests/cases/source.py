"""Cases of the layers that make arrays of themselves."""

import numpy as np

from layerkit.checks import Case

DRAWN = "its tops are drawn at random; their distribution is tested on its own"
NOISE = {"type": "gaussian", "std": 2.0}


def filled(*tops):
    """The formula of tops that are each a value in a shape."""
    return lambda bottoms, weights, p: [np.full(shape, value) for value, shape in tops]


def dummy(name, *tops, **params):
    return Case("DummyData", name, params=params, num_tops=len(tops), formula=filled(*tops))


def weight(bottoms, weights, p):
    return [np.array(weights[0]).reshape(p.shape)]


CASES = [
    dummy("zeros", (0, (2, 3, 4, 5)), shape=[2, 3, 4, 5]),
    dummy("one-value", (1.5, (4, 3)), shape=[[4, 3]], data_filler={"value": 1.5}),
    dummy("scalar", (3, ()), shape=[], data_filler={"value": 3.0}),
    dummy("alike", (2, (4, 3)), (2, (4, 3)), shape=[4, 3], data_filler={"value": 2.0}),
    dummy("each", (1, (4, 3, 2)), (-2, (4,)), shape=[[4, 3, 2], [4]], data_filler=[{"value": 1.0}, {"value": -2.0}]),
    dummy("no-rows", (1, (0, 3)), shape=[0, 3], data_filler={"value": 1.0}),
    dummy("old", (0, (2, 3, 4, 5)), num=2, channels=3, height=4, width=5),
    dummy(
        "old-each",
        (0.5, (2, 3, 4, 5)),
        (0.5, (6, 3, 7, 5)),
        num=[2, 6],
        channels=3,
        height=[4, 7],
        width=[5],
        data_filler={"value": 0.5},
    ),
    Case("DummyData", "noise", params={"shape": [2, 3, 4, 5], "data_filler": NOISE}, no_formula=DRAWN),
    Case("DummyData", "xavier", params={"shape": [4, 3, 2], "data_filler": "xavier"}, no_formula=DRAWN),
    Case(
        "DummyData",
        "mixed",
        params={"shape": [[2, 3, 4, 5], [2]], "data_filler": [NOISE, {"value": 1.0}]},
        num_tops=2,
        no_formula=DRAWN,
    ),
    Case("Parameter", "matrix", params={"shape": [2, 3]}, formula=weight),
    Case("Parameter", "image", params={"shape": [2, 3, 4, 5], "filler": "xavier"}, formula=weight),
    Case("Parameter", "volume", params={"shape": [2, 3, 4, 6, 5]}, formula=weight),
    Case("Parameter", "vector", params={"shape": 4}, formula=weight),
    Case("Parameter", "scalar", params={"shape": []}, formula=weight),
]
