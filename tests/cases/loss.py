"""Cases of the losses with classes. The formulas visit one place at a time, as the definition does."""

import math
from pathlib import Path

import numpy as np

from layerkit.checks import Case


def divide(total, params, default, samples, places, valid):
    mode = params.normalization or {None: default, True: "VALID", False: "BATCH_SIZE"}[params.normalize]
    return total / ({"FULL": places, "VALID": valid, "BATCH_SIZE": samples, "NONE": 1}[mode] or 1)


def softmax_loss(bottoms, weights, params):
    x, labels = bottoms
    axis = params.axis % x.ndim
    rows = np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])
    n, e = len(rows[0]), params.label_smoothing
    w = params.class_weights or [1] * n
    total, valid, probabilities = 0.0, 0, np.zeros_like(rows)
    for i, (row, label) in enumerate(zip(rows, labels.ravel(), strict=True)):
        powers = [math.exp(score) for score in row]
        probabilities[i] = np.array(powers) / sum(powers)
        if label != params.ignore_label:
            share = [e / n + (1 - e) * (c == label) for c in range(n)]
            total -= sum(share[c] * w[c] * math.log(probabilities[i, c]) for c in range(n) if share[c])
            valid += w[int(label)]
    places_then_classes = [n for i, n in enumerate(x.shape) if i != axis] + [x.shape[axis]]
    probabilities = np.moveaxis(probabilities.reshape(places_then_classes), -1, axis)
    return [divide(total, params, "VALID", math.prod(x.shape[:axis]), len(rows), valid), probabilities]


def softmax_loss_alone(bottoms, weights, params):
    return softmax_loss(bottoms, weights, params)[:1]


def infogain_loss(bottoms, weights, params):
    x, labels = bottoms[:2]
    axis = params.axis % x.ndim
    rows = np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])
    matrix = bottoms[2].reshape(-1, x.shape[axis]) if len(bottoms) == 3 else np.load(params.source).astype(float)
    total, valid = 0.0, 0
    for row, label in zip(rows, labels.ravel(), strict=True):
        if label != params.ignore_label:
            powers = [math.exp(score) for score in row]
            total -= sum(matrix[int(label), c] * math.log(powers[c] / sum(powers)) for c in range(len(row)))
            valid += 1
    loss = divide(total, params, "VALID", math.prod(x.shape[:axis]), len(rows), valid)
    return [loss, np.exp(x) / np.exp(x).sum(axis, keepdims=True)]


def infogain_loss_alone(bottoms, weights, params):
    return infogain_loss(bottoms, weights, params)[:1]


def sigmoid_loss(bottoms, weights, params):
    total, valid = 0.0, 0
    for x, t in zip(bottoms[0].ravel(), bottoms[1].ravel(), strict=True):
        if params.ignore_label is None or int(t) != params.ignore_label:
            p = 1 / (1 + math.exp(-x))
            total -= t * math.log(p) + (1 - t) * math.log(1 - p)
            valid += 1
    return [divide(total, params, "BATCH_SIZE", len(bottoms[0]), bottoms[0].size, valid)]


def classes(number, *shape):
    """Labels of that shape, of so many classes; the first two classes do occur."""

    def draw(rng):
        labels = rng.integers(0, number, shape)
        labels.flat[:2] = 0, 1
        return labels

    return draw


def targets(*shape):
    """Probabilities, some of them exactly 0 and 1."""
    return lambda rng: np.clip(rng.uniform(-0.5, 1.5, shape), 0, 1)


def signs(*shape):
    return lambda rng: rng.integers(-1, 2, shape)


def softmax(name, scores, labels, *, num_tops=1, no_zero_rows="", **params):
    formula = softmax_loss if num_tops == 2 else softmax_loss_alone
    bottoms = [scores, labels]
    return Case("SoftmaxWithLoss", name, bottoms, params, num_tops=num_tops, formula=formula, no_zero_rows=no_zero_rows)


def sigmoid(name, scores, answers, **params):
    return Case("SigmoidCrossEntropyLoss", name, [scores, answers], params, formula=sigmoid_loss)


def infogain(name, scores, labels, *matrix, num_tops=1, no_zero_rows="", **params):
    formula = infogain_loss if num_tops == 2 else infogain_loss_alone
    bottoms = [scores, labels, *matrix]
    return Case("InfogainLoss", name, bottoms, params, num_tops=num_tops, formula=formula, no_zero_rows=no_zero_rows)


MATRIX_FILE = {"source": str(Path(__file__).with_name("infogain.npy"))}  # 4x4
ONE_MATRIX = "axis 0 of the matrix is no axis of samples"
MAP, MAP_LABELS = (2, 4, 5, 3), classes(4, 2, 5, 3)
DEEP, DEEP_LABELS = (2, 4, 5, 3, 6), classes(4, 2, 5, 3, 6)
AXIS0 = "axis 0 holds the classes"

CASES = [
    softmax("plain", (5, 4), classes(4, 5)),
    softmax("labels with axes of one", (5, 4), classes(4, 5, 1, 1)),
    softmax("two classes", (5, 2), classes(2, 5)),
    softmax("map", MAP, MAP_LABELS),
    softmax("map, labels with a channel", MAP, classes(4, 2, 1, 5, 3)),
    softmax("five axes", DEEP, DEEP_LABELS),
    softmax("axis 2", (2, 3, 5, 4), classes(5, 2, 3, 4), axis=2),
    softmax("axis from behind", (2, 3, 5, 4), classes(4, 2, 3, 5), axis=-1),
    softmax("axis 2, batch size", (2, 3, 5, 4), classes(5, 2, 3, 4), axis=2, normalization="BATCH_SIZE"),
    softmax("axis 0", (4, 3, 5), classes(4, 3, 5), axis=0, no_zero_rows=AXIS0),
    softmax("axis 0, batch size", (4, 3), classes(4, 3), axis=0, normalization="BATCH_SIZE", no_zero_rows=AXIS0),
    softmax("ignore", MAP, MAP_LABELS, ignore_label=1),
    softmax("ignore a label that is no class", (5, 4), np.array([3, 255, 0, 255, 2]), ignore_label=255),
    softmax("ignore minus one", (5, 4), np.array([3, -1, 0, 1, 2]), ignore_label=-1),
    softmax("ignore everything", (5, 4), np.full(5, 2), ignore_label=2),
    softmax("ignore, full", MAP, MAP_LABELS, ignore_label=1, normalization="FULL"),
    softmax("ignore, valid", MAP, MAP_LABELS, ignore_label=1, normalization="VALID"),
    softmax("ignore, batch size", MAP, MAP_LABELS, ignore_label=1, normalization="batch_size"),
    softmax("ignore, none", MAP, MAP_LABELS, ignore_label=1, normalization="NONE"),
    softmax("normalize", MAP, MAP_LABELS, ignore_label=1, normalize=True),
    softmax("do not normalize", MAP, MAP_LABELS, ignore_label=1, normalize=False),
    softmax("normalization before normalize", MAP, MAP_LABELS, normalize=False, normalization="FULL"),
    softmax("probabilities", MAP, MAP_LABELS, num_tops=2),
    softmax("probabilities, ignore, axis", (2, 3, 5, 4), classes(5, 2, 3, 4), num_tops=2, axis=2, ignore_label=0),
    softmax("weights", (5, 4), classes(4, 5), class_weights=[0.5, 2, 0, 1.25]),
    softmax("weights, map", MAP, MAP_LABELS, class_weights=[0.5, 2, 0.25, 1.25]),
    softmax("weights, five axes", DEEP, DEEP_LABELS, class_weights=[0.5, 2, 0.25, 1.25]),
    softmax(
        "weights, axis 2, ignore",
        (2, 3, 5, 4),
        classes(5, 2, 3, 4),
        axis=2,
        class_weights=[1, 2, 3, 4, 5],
        ignore_label=1,
    ),
    softmax("weights of less than one", (5, 4), classes(4, 5), class_weights=[0.01, 0.02, 0.03, 0.04]),
    softmax("weights that are all zero", (5, 4), classes(4, 5), class_weights=[0, 0, 0, 0]),
    softmax("weights, full", MAP, MAP_LABELS, class_weights=[0.5, 2, 0.25, 1.25], normalization="FULL"),
    softmax("weights, batch size", MAP, MAP_LABELS, class_weights=[0.5, 2, 0.25, 1.25], normalization="BATCH_SIZE"),
    softmax("weights, none", MAP, MAP_LABELS, class_weights=[0.5, 2, 0.25, 1.25], normalization="NONE"),
    softmax("smoothing", (5, 4), classes(4, 5), label_smoothing=0.1),
    softmax("smoothing alone", (5, 4), classes(4, 5), label_smoothing=1.0),
    softmax("smoothing, map, ignore", MAP, MAP_LABELS, label_smoothing=0.3, ignore_label=1),
    softmax("smoothing, five axes", DEEP, DEEP_LABELS, label_smoothing=0.3),
    softmax("smoothing, axis 0", (4, 3, 5), classes(4, 3, 5), axis=0, label_smoothing=0.3, no_zero_rows=AXIS0),
    softmax("smoothing, weights", MAP, MAP_LABELS, label_smoothing=0.3, class_weights=[0.5, 2, 0, 1.25]),
    softmax(
        "smoothing, weights, ignore, probabilities",
        (2, 3, 5, 4),
        classes(5, 2, 3, 4),
        num_tops=2,
        axis=2,
        label_smoothing=0.3,
        class_weights=[0.5, 2, 0, 1.25, 3],
        ignore_label=0,
    ),
    infogain("plain", (5, 4), classes(4, 5), (4, 4), no_zero_rows=ONE_MATRIX),
    infogain("file", (5, 4), classes(4, 5), **MATRIX_FILE),
    infogain("file, map", MAP, MAP_LABELS, **MATRIX_FILE),
    infogain("file, five axes", DEEP, DEEP_LABELS, **MATRIX_FILE),
    infogain("map, Caffe's shape of the matrix", MAP, MAP_LABELS, (1, 1, 4, 4), no_zero_rows=ONE_MATRIX),
    infogain("axis 2", (2, 3, 5, 4), classes(5, 2, 3, 4), (5, 5), axis=2, no_zero_rows=ONE_MATRIX),
    infogain("axis from behind", (2, 3, 5, 4), classes(4, 2, 3, 5), axis=-1, **MATRIX_FILE),
    infogain("axis 0", (4, 3, 5), classes(4, 3, 5), axis=0, no_zero_rows=AXIS0, **MATRIX_FILE),
    infogain("ignore", MAP, MAP_LABELS, ignore_label=1, **MATRIX_FILE),
    infogain("ignore everything", (5, 4), np.full(5, 2), ignore_label=2, **MATRIX_FILE),
    infogain("ignore, full", MAP, MAP_LABELS, ignore_label=1, normalization="FULL", **MATRIX_FILE),
    infogain("ignore, valid", MAP, MAP_LABELS, ignore_label=1, normalization="VALID", **MATRIX_FILE),
    infogain("ignore, batch size", MAP, MAP_LABELS, ignore_label=1, normalization="BATCH_SIZE", **MATRIX_FILE),
    infogain("ignore, none", MAP, MAP_LABELS, ignore_label=1, normalization="NONE", **MATRIX_FILE),
    infogain("do not normalize", MAP, MAP_LABELS, normalize=False, **MATRIX_FILE),
    infogain("probabilities, ignore", MAP, MAP_LABELS, num_tops=2, ignore_label=0, **MATRIX_FILE),
    sigmoid("plain", (4, 5), targets(4, 5)),
    sigmoid("map", MAP, targets(*MAP)),
    sigmoid("five axes", DEEP, targets(*DEEP)),
    sigmoid("targets of another shape", (4, 5, 3), targets(4, 15)),
    sigmoid("one axis", (7,), targets(7)),
    sigmoid("ignore", (4, 5), signs(4, 5), ignore_label=-1),
    sigmoid("ignore zero", (4, 5), targets(4, 5), ignore_label=0),
    sigmoid("ignore everything", (4, 5), np.ones((4, 5)), ignore_label=1, normalization="VALID"),
    sigmoid("ignore, full", (4, 5), signs(4, 5), ignore_label=-1, normalization="FULL"),
    sigmoid("ignore, valid", (4, 5), signs(4, 5), ignore_label=-1, normalization="VALID"),
    sigmoid("ignore, batch size", (4, 5), signs(4, 5), ignore_label=-1, normalization="BATCH_SIZE"),
    sigmoid("ignore, none", (4, 5), signs(4, 5), ignore_label=-1, normalization="NONE"),
    sigmoid("normalize", (4, 5), signs(4, 5), ignore_label=-1, normalize=True),
    sigmoid("do not normalize", (4, 5), signs(4, 5), ignore_label=-1, normalize=False),
]
