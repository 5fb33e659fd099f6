"""What the tests of `layerkit train` share: a short run, and a look at the weights that it left."""

import itertools
from typing import Any

import numpy as np

from layerkit import arrayfile

MLP = "configs/mlp.yaml"


def sets(**values: Any) -> list[str]:
    """Options that override fields of the solver."""
    return list(itertools.chain.from_iterable(("--set", f"solver.{key}={value}") for key, value in values.items()))


SHORT = sets(max_iter=20, test_interval=10, snapshot=10, display=10)


def weights(path: str) -> dict[str, np.ndarray]:
    return arrayfile.load(path)[0]


def same(a: str, b: str) -> bool:
    """Whether two snapshots hold the same weights, to the last bit."""
    one, other = weights(a), weights(b)
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)
