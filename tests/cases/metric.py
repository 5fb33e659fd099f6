"""Cases of the metric family. The formulas visit one place at a time, as the definition does."""

import numpy as np

from layerkit.checks import Case


def accuracy(bottoms, weights, params):
    x, labels = bottoms
    axis = params.axis % x.ndim
    rows = np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])
    right, seen = np.zeros((2, x.shape[axis]))
    for row, label in zip(rows, labels.ravel().astype(int), strict=True):
        if label == params.ignore_label:
            continue
        better = [k for k, score in enumerate(row) if k != label and score >= row[label]]
        right[label] += len(better) < params.top_k
        seen[label] += 1
    return [right.sum() / max(1, seen.sum()), right / np.maximum(1, seen)]


def accuracy_alone(bottoms, weights, params):
    return accuracy(bottoms, weights, params)[:1]


def classes(number, *shape):
    return lambda rng: rng.integers(0, number, shape)


def case(name, scores, labels, *, num_tops=1, no_zero_rows="", **params):
    formula = accuracy if num_tops == 2 else accuracy_alone
    return Case("Accuracy", name, [scores, labels], params, "test", num_tops, formula, no_zero_rows=no_zero_rows)


MAP, MAP_LABELS = (3, 4, 5, 2), classes(4, 3, 5, 2)

CASES = [
    case("plain", (9, 4), classes(4, 9)),
    case("labels with axes of one", (9, 4), classes(4, 9, 1, 1)),
    case("top 3", (9, 4), classes(4, 9), top_k=3),
    case("top all", (9, 4), classes(4, 9), top_k=4),
    case("map", MAP, MAP_LABELS),
    case("map, top 2, labels with a channel", MAP, classes(4, 3, 1, 5, 2), top_k=2),
    case("five axes", (2, 4, 5, 3, 6), classes(4, 2, 5, 3, 6)),
    case("axis from behind", (3, 5, 2, 4), classes(4, 3, 5, 2), axis=-1),
    case("axis 2", (3, 2, 5, 4), classes(5, 3, 2, 4), axis=2, top_k=2),
    case("axis 0", (4, 7), classes(4, 7), axis=0, no_zero_rows="axis 0 holds the classes"),
    case("ignore", MAP, MAP_LABELS, ignore_label=1),
    case("ignore a label that is no class", (5, 4), np.array([3, 255, 0, 255, 2]), ignore_label=255),
    case("ignore everything", (5, 4), np.full(5, 2), ignore_label=2, num_tops=2),
    case("per class", MAP, MAP_LABELS, num_tops=2),
    case("per class, top 2, ignore", MAP, MAP_LABELS, num_tops=2, top_k=2, ignore_label=0),
    case("a class that does not occur", (5, 4), np.array([3, 0, 0, 3, 2]), num_tops=2),
    case("ties", np.array([[1, 1, 0], [2, 0, 2], [0, 0, 0], [1, 0, 0]]), np.array([0, 2, 1, 0])),
    case("ties, top 2", np.array([[1, 1, 0], [2, 0, 2], [0, 0, 0], [1, 0, 0]]), np.array([0, 2, 1, 0]), top_k=2),
]
