"""Rules of the metrics: their values for one batch."""

from __future__ import annotations

from layerkit.convert.onnx.here import Here
from layerkit.convert.onnx.rules import rule
from layerkit.convert.onnx.rules.answers import Labels, difference, divided, size, square, total
from layerkit.convert.onnx.values import Value


@rule("Accuracy")
def _accuracy(here: Here, x: Value, given: Value) -> list[Value]:
    p = here.params
    labels = Labels(here, given, p.axis, p.ignore_label)
    score = here.op("GatherElements", x, here.op("Unsqueeze", labels.whole, [labels.axis]), axis=labels.axis)
    as_good = here.op("ReduceSum", here.numbers(here.op("GreaterOrEqual", x, score)), [labels.axis])
    right = labels.counted(here.numbers(as_good < p.top_k + 0.5))  # the label itself is one of them
    seen = labels.counted(labels.one_hot())
    of_class = labels.by_class(here.op("Mul", seen, right))
    by_class = divided(here, of_class, labels.by_class(seen))
    return [divided(here, total(here, right), total(here, seen)), by_class][: here.layer.num_tops]


@rule("ConfusionMatrix")
def _confusion_matrix(here: Here, x: Value, given: Value) -> Value:
    labels = Labels(here, given, here.params.axis, here.params.ignore_label)
    rank = len(here.bottoms[0])
    last = [i for i in range(rank) if i != labels.axis] + [labels.axis]
    true, said = (
        here.op("Reshape", here.op("Transpose", values, perm=last), [-1, labels.classes])
        for values in (labels.counted(labels.one_hot()), _predicted(here, labels, x))
    )
    counts = here.op("MatMul", here.op("Transpose", true, perm=[1, 0]), said)
    return divided(here, counts, here.op("ReduceSum", counts, [1])) if here.params.normalize else counts


@rule("MeanIoU")
def _mean_iou(here: Here, x: Value, given: Value) -> list[Value]:
    labelled, predicted, both = _tally(here, x, given)
    union = here.op("Sub", here.op("Add", labelled, predicted), both)
    by_class = divided(here, both, union)
    return [_over_occurring(here, by_class, union), by_class][: here.layer.num_tops]


@rule("PrecisionRecall")
def _precision_recall(here: Here, x: Value, given: Value) -> list[Value]:
    sums = _tally(here, x, given) if here.params.threshold is None else _yes_or_no(here, x, given)
    if here.params.average == "MICRO":
        sums = [total(here, each) for each in sums]
    labelled, predicted, both = sums
    either = here.op("Add", labelled, predicted)
    values = [divided(here, both, predicted), divided(here, both, labelled), divided(here, both * 2, either)]
    if here.params.average == "MACRO":
        values = [_over_occurring(here, each, either) for each in values]
    return values[: here.layer.num_tops]


@rule("MeanAbsoluteError")
def _mean_absolute_error(here: Here, a: Value, b: Value) -> Value:
    return divided(here, total(here, here.op("Abs", difference(here, a, b))), size(here, a))


@rule("MeanSquaredError")
def _mean_squared_error(here: Here, a: Value, b: Value) -> Value:
    mean = divided(here, total(here, square(here, difference(here, a, b))), size(here, a))
    return here.op("Sqrt", mean) if here.params.root else mean


def _predicted(here: Here, labels: Labels, x: Value) -> Value:
    """1 for the class with the largest score, the first of equal ones, else 0: (..., C, ...)."""
    return labels.one_hot(here.op("ArgMax", x, axis=labels.axis, keepdims=0))


def _tally(here: Here, x: Value, given: Value) -> list[Value]:
    """At how many places a class is the label, is predicted, and is both, (C,) each."""
    labels = Labels(here, given, here.params.axis, here.params.ignore_label)
    true, said = labels.one_hot(), _predicted(here, labels, x)
    return [labels.by_class(labels.counted(each)) for each in (true, said, here.op("Mul", true, said))]


def _yes_or_no(here: Here, x: Value, given: Value) -> list[Value]:
    """The same for independent answers, each with a label 0 or 1 of its own."""
    p, rank = here.params, len(here.bottoms[0])
    labels = here.reshape(given, here.bottoms[1], here.bottoms[0])
    said = here.numbers(x > p.threshold)
    if p.ignore_label is not None:
        said = here.op("Where", here.op("Equal", labels, float(p.ignore_label)), 0.0, said)
    true = here.numbers(here.op("Equal", labels, 1.0))
    if p.ignore_label == 1:
        true = true * 0.0
    others = [i for i in range(rank) if i != p.axis % rank]
    return [
        here.op("ReduceSum", each, others, keepdims=0, noop_with_empty_axes=1)
        for each in (true, said, here.op("Mul", true, said))
    ]


def _over_occurring(here: Here, values: Value, occurrences: Value) -> Value:
    """The mean of the classes' values over the classes that occur; the others are 0."""
    return divided(here, total(here, values), total(here, here.numbers(occurrences > 0.0)))
