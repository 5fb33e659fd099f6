"""Cases of the losses that compare samples or numbers. The formulas visit one sample or number at a time."""

import math

import numpy as np

from cases.loss import classes
from layerkit.checks import Case


def pairs_of(bottoms):
    return zip(bottoms[0].ravel(), bottoms[1].ravel(), strict=True)


def euclidean(bottoms, weights, params):
    return [sum((a - b) ** 2 for a, b in pairs_of(bottoms)) / 2 / len(bottoms[0])]


def huber(bottoms, weights, params):
    total, delta = 0.0, params.delta
    for a, b in pairs_of(bottoms):
        error = abs(a - b)
        total += error**2 / 2 if error <= delta else delta * error - delta**2 / 2
    return [total / {"FULL": bottoms[0].size, "BATCH_SIZE": len(bottoms[0]), "NONE": 1}[params.normalization]]


def contrastive(bottoms, weights, params):
    total = 0.0
    for a, b, similar in zip(*bottoms, strict=True):
        square = sum((one - other) ** 2 for one, other in zip(a.ravel(), b.ravel(), strict=True))
        if similar:
            total += square
        elif params.legacy_version:
            total += max(0, params.margin - square)
        else:
            total += max(0, params.margin - math.sqrt(square)) ** 2
    return [total / 2 / len(bottoms[0])]


def hinge(bottoms, weights, params):
    total = 0.0
    for scores, label in zip(*bottoms, strict=True):
        for k, score in enumerate(scores.ravel()):
            total += max(0, 1 - (1 if k == label else -1) * score) ** int(params.norm[1])
    return [total / len(bottoms[0])]


def logistic(bottoms, weights, params):
    samples = zip(*bottoms, strict=True)
    return [-sum(math.log(max(p.ravel()[int(label.item())], 1e-20)) for p, label in samples) / len(bottoms[0])]


def kl(bottoms, weights, params):
    given, t = (np.moveaxis(each, params.axis, -1).reshape(-1, each.shape[params.axis]) for each in bottoms)
    total = 0.0
    for row, targets in zip(given, t, strict=True):
        q = row if params.prediction == "PROBABILITIES" else np.exp(row)
        q = q / q.sum() if params.prediction == "SCORES" else q
        total += sum(target * math.log(target / one) for target, one in zip(targets, q, strict=True) if target)
    return [total / {"FULL": len(t), "BATCH_SIZE": len(bottoms[0]), "NONE": 1}[params.normalization]]


def distributions(*shape, axis=1, zeros=True):
    """Probabilities that sum to 1 along the axis, some of them exactly 0."""

    def draw(rng):
        p = rng.uniform(0.1, 1, shape)
        p.flat[:: 7 if zeros else p.size + 1] *= not zeros
        return p / p.sum(axis, keepdims=True)

    return draw


def losses(type_, formula, **common):
    def case(name, *bottoms, no_zero_rows="", **params):
        return Case(type_, name, bottoms, params, formula=formula, no_zero_rows=no_zero_rows, **common)

    return case


LINE, MAP, DEEP = (3, 4, 5), (2, 4, 5, 3), (2, 4, 5, 3, 6)
EPSILON = 3e-4  # ContrastiveLoss adds Caffe's 1e-4 to a distance, in the gradient only

plain = losses("EuclideanLoss", euclidean)
robust = losses("Huber", huber)
near = losses("ContrastiveLoss", contrastive, gradient_tolerance=EPSILON)
margin = losses("HingeLoss", hinge, kinks=(-1.0, 1.0))
multinomial = losses("MultinomialLogisticLoss", logistic, span=(0.05, 1.0))
divergence = losses("KLDivergence", kl)

CASES = [
    plain("plain", (4, 3, 2), (4, 3, 2)),
    plain("rows", (4, 3), (4, 3)),
    plain("map", MAP, MAP),
    plain("five axes", DEEP, DEEP),
    plain("one axis", (7,), (7,)),
    plain("another shape", (4, 3, 2), (4, 6, 1, 1)),
    robust("plain", (4, 3), (4, 3)),
    robust("one axis", (7,), (7,)),
    robust("map, small delta", MAP, MAP, delta=0.25),
    robust("five axes, large delta", DEEP, DEEP, delta=3.0),
    robust("another shape, batch size", (4, 3, 2), (4, 6, 1, 1), normalization="BATCH_SIZE"),
    robust("none", (4, 3), (4, 3), normalization="none", delta=0.5),
    near("plain", (5, 3), (5, 3), np.array([1, 0, 0, 1, 0])),
    near("all similar", (5, 3), (5, 3), np.ones(5)),
    near("margin", (5, 3), (5, 3), np.array([1, 0, 0, 1, 0]), margin=3.0),
    near("labels with axes of one", (5, 3), (5, 3), np.array([0, 0, 1, 1, 0]).reshape(5, 1, 1), margin=4.0),
    near("one axis", (5,), (5,), np.array([1, 0, 0, 1, 0]), margin=4.0),
    near("map", MAP, MAP, np.array([0, 1]), margin=20.0),
    near("five axes", DEEP, DEEP, np.array([0, 1]), margin=50.0),
    near("legacy", (5, 3), (5, 3), np.array([1, 0, 0, 1, 0]), legacy_version=True),
    near("legacy, margin", (5, 3), (5, 3), np.array([1, 0, 0, 1, 0]), legacy_version=True, margin=7.0),
    near("legacy, map", MAP, MAP, np.array([0, 1]), legacy_version=True, margin=500.0),
    margin("plain", (5, 4), classes(4, 5)),
    margin("L2", (5, 4), classes(4, 5), norm="L2"),
    margin("labels with axes of one", (5, 4), classes(4, 5, 1, 1)),
    margin("three axes", LINE, classes(20, 3)),
    margin("map", MAP, classes(60, 2)),
    margin("map, L2", MAP, classes(60, 2), norm="L2"),
    margin("five axes", DEEP, classes(360, 2), norm="l2"),
    multinomial("plain", (5, 4), classes(4, 5)),
    multinomial("labels with axes of one", (5, 4), classes(4, 5, 1, 1)),
    multinomial("three axes", LINE, classes(20, 3)),
    multinomial("map", MAP, classes(60, 2)),
    multinomial("five axes", DEEP, classes(360, 2)),
    divergence("plain", distributions(5, 4, zeros=False), distributions(5, 4)),
    divergence("map", distributions(*MAP, zeros=False), distributions(*MAP)),
    divergence("five axes", distributions(*DEEP, zeros=False), distributions(*DEEP)),
    divergence("three axes", distributions(*LINE, zeros=False), distributions(*LINE)),
    divergence(
        "one axis",
        distributions(5, axis=0, zeros=False),
        distributions(5, axis=0),
        axis=0,
        normalization="FULL",
        no_zero_rows="axis 0 holds the classes",
    ),
    divergence("logarithms", (5, 4), distributions(5, 4), prediction="LOG_PROBABILITIES"),
    divergence("logarithms, map", MAP, distributions(*MAP), prediction="LOG_PROBABILITIES", normalization="FULL"),
    divergence("scores", (5, 4), distributions(5, 4), prediction="scores"),
    divergence("scores, map", MAP, distributions(*MAP), prediction="SCORES"),
    divergence("scores, five axes", DEEP, distributions(*DEEP), prediction="SCORES", normalization="FULL"),
    divergence("scores, axis 2", MAP, distributions(*MAP, axis=2), prediction="SCORES", axis=2),
    divergence(
        "scores, last axis", MAP, distributions(*MAP, axis=3), prediction="SCORES", axis=-1, normalization="FULL"
    ),
    divergence(
        "scores, targets that do not sum to 1", (5, 4), lambda rng: rng.uniform(0, 2, (5, 4)), prediction="SCORES"
    ),
    divergence(
        "scores, axis 0",
        (4, 3),
        distributions(4, 3, axis=0),
        prediction="SCORES",
        axis=0,
        no_zero_rows="axis 0 holds the classes",
    ),
    divergence("none", distributions(5, 4, zeros=False), distributions(5, 4), normalization="NONE"),
]
