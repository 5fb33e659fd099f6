"""Cases of CTCLoss. The formula tries every sequence of classes and keeps those that spell the labels."""

import itertools
import math

import numpy as np

from layerkit.checks import Case


def spelt(classes, blank):
    """What is left when repetitions are drawn together, and blanks left out."""
    return [c for c, _ in itertools.groupby(classes) if c != blank]


def ctc(bottoms, weights, p):
    x, labels, *lengths = bottoms
    total = 0.0
    for n in range(x.shape[1]):
        steps = int(lengths[0][n]) if lengths else len(x)
        row = labels[n].tolist()
        wanted = (
            row[: int(lengths[1][n])] if len(lengths) == 2 else list(itertools.takewhile(lambda k: k != p.padding, row))
        )
        powers = np.exp(x[:steps, n])
        shares = powers / powers.sum(axis=1, keepdims=True)
        likely = sum(
            math.prod(shares[t, c] for t, c in enumerate(way))
            for way in itertools.product(range(x.shape[2]), repeat=steps)
            if spelt(way, p.blank) == wanted
        )
        loss = -math.log(likely) if likely else 0 if p.zero_infinity else math.inf
        total += loss / max(1, len(wanted)) if p.normalization == "LENGTH" else loss
    return [total / (1 if p.normalization == "NONE" else x.shape[1])]


def case(name, x, *others, **params):
    bottoms = [x, *(np.array(other) for other in others)]
    return Case("CTCLoss", name, bottoms, params, formula=ctc, no_zero_rows="axis 0 is time in x, sequences elsewhere")


CASES = [
    case("plain", (5, 2, 3), [[1, 2], [2, 1]]),
    case("equal labels", (5, 2, 3), [[1, 1, 2], [2, 2, 2]]),
    case("padded", (5, 3, 4), [[1, 3], [2, -1], [-1, -1]]),
    case("padded with something else", (5, 2, 3), [[1, 255, 7], [2, 1, 255]], padding=255),
    case("padded with the blank", (5, 2, 3), [[1, 0, 0], [2, 1, 0]], padding=0),
    case("no labels", (4, 2, 3), np.zeros((2, 0))),
    case("another blank", (5, 2, 4), [[0, 1], [3, 0]], blank=2),
    case("last blank", (4, 2, 3), [[0, 1], [0, 0]], blank=2),
    case("just enough steps", (3, 2, 3), [[1, 1], [2, 1]]),
    case("one step", (1, 2, 3), [[1], [2]]),
    case("steps", (5, 3, 3), [[1, 2], [2, 1], [2, -1]], [5, 3, 2]),
    case("steps and labels", (5, 3, 3), [[1, 2], [2, 1], [2, 2]], [5, 3, 2], [2, 1, 0]),
    case("no steps for no labels", (4, 2, 3), [[1, 2], [-1, -1]], [4, 0]),
    case("sum", (5, 3, 3), [[1, 2], [2, 1], [2, -1]], normalization="NONE"),
    case("by length", (5, 3, 4), [[1, 3], [2, -1], [-1, -1]], normalization="LENGTH"),
    case("impossible counts as zero", (3, 3, 4), [[1, 1, 2], [2, 1, 3], [2, -1, -1]], zero_infinity=True),
]
