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


def answers(bottoms, params):
    """(label, prediction) of each place that counts."""
    x, labels = bottoms
    rows = np.moveaxis(x, params.axis, -1).reshape(-1, x.shape[params.axis])
    pairs = [(int(label), list(row).index(max(row))) for row, label in zip(rows, labels.ravel(), strict=True)]
    return [(label, prediction) for label, prediction in pairs if label != params.ignore_label]


def confusion(bottoms, weights, params):
    matrix = np.zeros([bottoms[0].shape[params.axis]] * 2)
    for label, prediction in answers(bottoms, params):
        matrix[label, prediction] += 1
    if params.normalize:
        matrix = np.array([row / sum(row) if any(row) else row for row in matrix])
    return [matrix]


def by_class(bottoms, params):
    """(places where it is both label and prediction, is predicted, is the label) of each class."""
    number = bottoms[0].shape[params.axis]
    if params.threshold is None:
        pairs = answers(bottoms, params)
        return [
            (pairs.count((c, c)), sum(said == c for _, said in pairs), sum(label == c for label, _ in pairs))
            for c in range(number)
        ]
    scores, targets = bottoms[0], bottoms[1].reshape(bottoms[0].shape)
    found = []
    for c in range(number):
        places = zip(*(np.take(each, c, params.axis).ravel() for each in (scores, targets)), strict=True)
        pairs = [(score > params.threshold, target == 1) for score, target in places if target != params.ignore_label]
        found.append((pairs.count((True, True)), sum(said for said, _ in pairs), sum(label for _, label in pairs)))
    return found


def share(part, whole):
    return part / whole if whole else 0.0


def precision_recall(bottoms, weights, params):
    counts = by_class(bottoms, params)
    if params.average == "MICRO":
        counts = [tuple(map(sum, zip(*counts, strict=True)))]
    elif params.average == "MACRO":
        counts = [each for each in counts if any(each)]
    rows = [
        [share(both, predicted), share(both, labelled), share(2 * both, predicted + labelled)]
        for both, predicted, labelled in counts
    ]
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return list(columns) if params.average == "NONE" else [share(sum(each), len(each)) for each in columns]


def iou(bottoms, weights, params):
    pairs = answers(bottoms, params)
    ious, occur = [], 0
    for c in range(bottoms[0].shape[params.axis]):
        union = [pair for pair in pairs if c in pair]
        ious.append(share(sum(pair == (c, c) for pair in union), len(union)))
        occur += bool(union)
    return [share(sum(ious), occur), ious]


def absolute(bottoms, weights, params):
    errors = [abs(a - b) for a, b in zip(bottoms[0].ravel(), bottoms[1].ravel(), strict=True)]
    return [sum(errors) / len(errors)]


def squared(bottoms, weights, params):
    errors = [(a - b) ** 2 for a, b in zip(bottoms[0].ravel(), bottoms[1].ravel(), strict=True)]
    return [(sum(errors) / len(errors)) ** (0.5 if params.root else 1)]


def first(tops, formula):
    return lambda *given: formula(*given)[:tops]


def classes(number, *shape):
    return lambda rng: rng.integers(0, number, shape)


def case(name, scores, labels, *, num_tops=1, no_zero_rows="", **params):
    formula = accuracy if num_tops == 2 else accuracy_alone
    return Case("Accuracy", name, [scores, labels], params, "test", num_tops, formula, no_zero_rows=no_zero_rows)


def metric(type_, formula):
    def case(name, *bottoms, num_tops=1, no_zero_rows="", **params):
        of_tops = first(num_tops, formula)
        return Case(type_, name, bottoms, params, "test", num_tops, of_tops, no_zero_rows=no_zero_rows)

    return case


def yes_or_no(*shape):
    return lambda rng: rng.integers(0, 2, shape)


def signs(*shape):
    return lambda rng: rng.integers(-1, 2, shape)


matrix = metric("ConfusionMatrix", confusion)
pr = metric("PrecisionRecall", precision_recall)
overlap = metric("MeanIoU", iou)
mae = metric("MeanAbsoluteError", absolute)
mse = metric("MeanSquaredError", squared)

AXIS0 = "axis 0 holds the classes"
DEEP, DEEP_LABELS = (2, 4, 5, 3, 6), classes(4, 2, 5, 3, 6)
LAST, LAST_LABELS = (3, 5, 2, 4), classes(4, 3, 5, 2)
FEW, FEW_LABELS = (3, 7), np.array([2, 5, 2])  # most classes do not occur
LINE, LINE_LABELS = (3, 4, 5), classes(4, 3, 5)
MAP, MAP_LABELS = (3, 4, 5, 2), classes(4, 3, 5, 2)

CASES = [
    case("plain", (9, 4), classes(4, 9)),
    case("labels with axes of one", (9, 4), classes(4, 9, 1, 1)),
    case("top 3", (9, 4), classes(4, 9), top_k=3),
    case("top all", (9, 4), classes(4, 9), top_k=4),
    case("line", LINE, LINE_LABELS),
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
    matrix("plain", (9, 4), classes(4, 9)),
    matrix("labels with axes of one", (9, 4), classes(4, 9, 1, 1)),
    matrix("line", LINE, LINE_LABELS),
    matrix("map", MAP, MAP_LABELS),
    matrix("five axes", DEEP, DEEP_LABELS),
    matrix("axis from behind", LAST, LAST_LABELS, axis=-1),
    matrix("axis 0", (4, 7), classes(4, 7), axis=0, no_zero_rows=AXIS0),
    matrix("ignore", MAP, MAP_LABELS, ignore_label=1),
    matrix("ignore a label that is no class", (5, 4), np.array([3, 255, 0, 255, 2]), ignore_label=255),
    matrix("normalize", MAP, MAP_LABELS, normalize=True),
    matrix("normalize, classes that do not occur", FEW, FEW_LABELS, normalize=True),
    pr("plain", (9, 4), classes(4, 9), num_tops=3),
    pr("precision alone", (9, 4), classes(4, 9)),
    pr("precision and recall", (9, 4), classes(4, 9), num_tops=2),
    pr("line", LINE, LINE_LABELS, num_tops=3),
    pr("map", MAP, MAP_LABELS, num_tops=3),
    pr("five axes", DEEP, DEEP_LABELS, num_tops=3),
    pr("axis from behind", LAST, LAST_LABELS, num_tops=3, axis=-1),
    pr("axis 0", (4, 7), classes(4, 7), num_tops=3, axis=0, no_zero_rows=AXIS0),
    pr("ignore", MAP, MAP_LABELS, num_tops=3, ignore_label=1),
    pr("ignore everything", (5, 4), np.full(5, 2), num_tops=3, ignore_label=2),
    pr("classes that do not occur", FEW, FEW_LABELS, num_tops=3),
    pr("micro", MAP, MAP_LABELS, num_tops=3, average="MICRO"),
    pr("micro, ignore", MAP, MAP_LABELS, num_tops=3, average="MICRO", ignore_label=2),
    pr("by class", MAP, MAP_LABELS, num_tops=3, average="NONE"),
    pr("by class, classes that do not occur", FEW, FEW_LABELS, num_tops=3, average="none"),
    pr("threshold, one answer", (9, 1), yes_or_no(9), num_tops=3, threshold=0.25),
    pr("threshold, one axis", (7,), yes_or_no(7), num_tops=3, threshold=0.0, axis=0, no_zero_rows=AXIS0),
    pr("threshold, several answers", (9, 4), yes_or_no(9, 4), num_tops=3, threshold=0.0),
    pr("threshold, by answer", (9, 4), yes_or_no(9, 4), num_tops=3, threshold=-0.5, average="NONE"),
    pr("threshold, micro, ignore", (9, 4), signs(9, 4), num_tops=3, threshold=0.0, average="MICRO", ignore_label=-1),
    pr("threshold, map, ignore", MAP, signs(*MAP), num_tops=3, threshold=0.0, ignore_label=-1),
    pr("threshold, axis from behind", MAP, yes_or_no(*MAP), num_tops=3, threshold=0.0, axis=-1, average="NONE"),
    overlap("plain", (9, 4), classes(4, 9)),
    overlap("line", LINE, LINE_LABELS),
    overlap("map", MAP, MAP_LABELS),
    overlap("map, labels with a channel", MAP, classes(4, 3, 1, 5, 2), num_tops=2),
    overlap("five axes", DEEP, DEEP_LABELS, num_tops=2),
    overlap("axis from behind", LAST, LAST_LABELS, num_tops=2, axis=-1),
    overlap("axis 0", (4, 7), classes(4, 7), axis=0, no_zero_rows=AXIS0),
    overlap("ignore", MAP, MAP_LABELS, num_tops=2, ignore_label=1),
    overlap("ignore everything", (5, 4), np.full(5, 2), num_tops=2, ignore_label=2),
    overlap("classes that do not occur", FEW, FEW_LABELS, num_tops=2),
    mae("plain", (4, 3), (4, 3)),
    mae("map", MAP, MAP),
    mae("five axes", DEEP, DEEP),
    mae("one axis", (7,), (7,)),
    mae("another shape", (4, 3, 2), (4, 6, 1, 1)),
    mse("plain", (4, 3), (4, 3)),
    mse("map", MAP, MAP),
    mse("five axes", DEEP, DEEP),
    mse("one axis", (7,), (7,)),
    mse("another shape", (4, 3, 2), (4, 6, 1, 1)),
    mse("root", (4, 3), (4, 3), root=True),
    mse("root, map", MAP, MAP, root=True),
]
