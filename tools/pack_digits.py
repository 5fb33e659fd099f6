"""Packs scikit-learn's UCI digits into layerkit/datasets/bundled/digits.npz; run once, and again for a new split.

    pip install scikit-learn      (needed by this script alone)
    python tools/pack_digits.py

The file holds `data` (1797, 8, 8) and `label` (1797,) as uint8, the 1,437 training samples first, and the `credit`.
The split is stratified (each digit gives a fifth of its samples to the test part, within one) and both parts are
shuffled, all from one fixed seed, so running this again gives the same arrays.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TARGET = Path(__file__).parents[1] / "layerkit" / "datasets" / "bundled" / "digits.npz"
TEST, SEED = 360, 20240
CREDIT = (
    'E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998, '
    "https://doi.org/10.24432/C50P49, CC BY 4.0"
)


def main() -> int:
    """Write the file and print its size."""
    digits = load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    assert np.array_equal(images, digits.images)
    train, test = split(labels, np.random.default_rng(SEED))
    order = np.concatenate([train, test])
    np.savez_compressed(TARGET, data=images[order], label=labels[order], credit=np.array(CREDIT.encode()))
    print(f"{TARGET}: {len(train)} train, {len(test)} test, {TARGET.stat().st_size} bytes")
    return 0


def split(labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and the test samples; the classes with the largest remainders give the last ones."""
    counts = np.bincount(labels)
    share = counts * TEST / len(labels)
    take = np.floor(share).astype(int)
    take[np.argsort(take - share, kind="stable")[: TEST - take.sum()]] += 1
    test = np.concatenate([rng.permutation(np.flatnonzero(labels == k))[:n] for k, n in enumerate(take)])
    train = np.setdiff1d(np.arange(len(labels)), test)
    return rng.permutation(train), rng.permutation(test)


if __name__ == "__main__":
    sys.exit(main())
