"""Rules of the losses: what they say of a batch, for nets that keep them in the predict phase."""

from __future__ import annotations

import math

import numpy as np

from layerkit.convert.onnx.here import Here
from layerkit.convert.onnx.rules import rule
from layerkit.convert.onnx.rules.answers import (
    Labels,
    difference,
    divided,
    normalization,
    samples,
    size,
    square,
    total,
)
from layerkit.convert.onnx.values import Value

TINY = float(np.finfo(np.float32).tiny)


@rule("SoftmaxWithLoss")
def _softmax_with_loss(here: Here, x: Value, given: Value) -> list[Value]:
    p = here.params
    labels = Labels(here, given, p.axis, p.ignore_label)
    weights = np.array(p.class_weights or np.ones(labels.classes))
    gains = labels.one_hot()
    counted = labels.count()
    if p.class_weights:
        gains = here.op("Mul", gains, labels.along(weights))
        counted = total(here, labels.counted(gains))
    if p.label_smoothing:
        spread = labels.along(weights * (p.label_smoothing / labels.classes))
        gains = here.op("Add", gains * (1 - p.label_smoothing), spread)
    logarithms = here.op("Max", here.op("LogSoftmax", x, axis=labels.axis), float(np.log(TINY)))
    loss = -total(here, labels.counted(here.op("Mul", gains, logarithms)))
    tops = [divided(here, loss, labels.divisor(x, counted)), here.op("Softmax", x, axis=labels.axis)]
    return tops[: here.layer.num_tops]


@rule("InfogainLoss")
def _infogain_loss(here: Here, x: Value, given: Value, *matrix: Value) -> list[Value]:
    p = here.params
    labels = Labels(here, given, p.axis, p.ignore_label)
    square_shape = (labels.classes, labels.classes)
    if matrix:
        prices = here.reshape(matrix[0], here.bottoms[2], square_shape)
    else:
        here.layer.open()
        prices = here.constant(here.layer._from_file(labels.classes).reshape(square_shape))  # type: ignore[attr-defined]
    rank = len(here.bottoms[0])
    order = [*range(labels.axis), rank - 1, *range(labels.axis, rank - 1)]
    gains = here.op("Transpose", here.op("Gather", prices, labels.whole), perm=order)
    shares = here.op("Softmax", x, axis=labels.axis)
    logarithms = here.op("Log", here.op("Max", shares, 1e-20))
    loss = -total(here, labels.counted(here.op("Mul", gains, logarithms)))
    return [divided(here, loss, labels.divisor(x, labels.count())), shares][: here.layer.num_tops]


@rule("SigmoidCrossEntropyLoss")
def _sigmoid_cross_entropy_loss(here: Here, x: Value, given: Value) -> Value:
    p = here.params
    targets = here.reshape(given, here.bottoms[1], here.bottoms[0])
    losses = here.op("Sub", here.op("Softplus", x), here.op("Mul", x, targets))
    valid = size(here, x)
    if p.ignore_label is not None:
        label = here.constant(p.ignore_label, "int64")
        kept = here.numbers(here.op("Not", here.op("Equal", here.integers(targets), label)))
        losses, valid = here.op("Mul", losses, kept), total(here, kept)
    kind = normalization(here, "BATCH_SIZE")
    by = {"FULL": size(here, x), "VALID": valid, "BATCH_SIZE": samples(here, x), "NONE": here.constant(1)}[kind]
    return divided(here, total(here, losses), by)


@rule("KLDivergence")
def _kl_divergence(here: Here, given: Value, targets: Value) -> Value:
    p = here.params
    axis = p.axis % len(here.bottoms[0])
    if p.prediction == "SCORES":
        log_q = here.op("LogSoftmax", given, axis=axis)
    else:
        log_q = given if p.prediction == "LOG_PROBABILITIES" else here.op("Log", here.op("Max", given, TINY))
    log_t = here.op("Log", here.op("Max", targets, TINY))
    terms = here.op("Mul", targets, here.op("Sub", log_t, log_q))
    loss = total(here, here.op("Where", here.op("Equal", targets, 0.0), 0.0, terms))
    by = {"FULL": size(here, given) / here.length(here.bottoms[0][axis]), "BATCH_SIZE": samples(here, given)}
    return loss if p.normalization == "NONE" else divided(here, loss, by[p.normalization])


@rule("EuclideanLoss")
def _euclidean_loss(here: Here, a: Value, b: Value) -> Value:
    return divided(here, total(here, square(here, difference(here, a, b))), samples(here, a)) * 0.5


@rule("Huber")
def _huber(here: Here, a: Value, b: Value) -> Value:
    p = here.params
    error = difference(here, a, b)
    bounded = here.op("Clip", error, -float(p.delta), float(p.delta))
    loss = total(here, here.op("Mul", bounded, here.op("Sub", error, bounded * 0.5)))
    by = {"FULL": size(here, a), "BATCH_SIZE": samples(here, a), "NONE": here.constant(1)}[p.normalization]
    return divided(here, loss, by)


@rule("SmoothL1Loss")
def _smooth_l1_loss(here: Here, a: Value, b: Value, *weights: Value) -> Value:
    curve = here.params.sigma**2
    error = here.op("Sub", a, b)
    error = here.op("Mul", error, weights[0]) if weights else error
    slope = here.op("Clip", error * curve, -1.0, 1.0)
    losses = here.op("Mul", slope, here.op("Sub", error, slope / (2 * curve)))
    losses = here.op("Mul", losses, weights[1]) if len(weights) > 1 else losses
    return divided(here, total(here, losses), samples(here, a))


@rule("ContrastiveLoss")
def _contrastive_loss(here: Here, a: Value, b: Value, given: Value) -> Value:
    p, rank = here.params, len(here.bottoms[0])
    apart = here.op("Sub", a, b)
    distance = square(here, apart)
    distance = here.op("ReduceSum", distance, list(range(1, rank)), keepdims=0) if rank > 1 else distance  # (N,)
    if p.legacy_version:
        push = here.op("Relu", p.margin - distance)
    else:
        push = square(here, here.op("Relu", p.margin - here.op("Sqrt", distance)))
    similar = here.op("Cast", here.op("Reshape", given, [-1]), to=9)
    return divided(here, total(here, here.op("Where", similar, distance, push)), samples(here, a)) * 0.5


@rule("HingeLoss")
def _hinge_loss(here: Here, x: Value, given: Value) -> Value:
    flat = here.op("Flatten", x, axis=1)
    own = _own(here, given)
    hinge = here.op("Relu", here.op("Mul", flat, 1 - own * 2) + 1.0)
    loss = total(here, hinge if here.params.norm == "L1" else square(here, hinge))
    return divided(here, loss, samples(here, x))


@rule("MultinomialLogisticLoss")
def _multinomial_logistic_loss(here: Here, x: Value, given: Value) -> Value:
    flat = here.op("Flatten", x, axis=1)
    logarithms = here.op("Log", here.op("Max", flat, 1e-20))
    return divided(here, -total(here, here.op("Mul", _own(here, given), logarithms)), samples(here, x))


def _own(here: Here, given: Value) -> Value:
    """1 for each sample's own class, else 0, (N, C), with the classes counted over all its axes."""
    classes = here.constant(math.prod(here.shape(0, 1)[1:]), "int64")
    labels = here.integers(here.op("Reshape", given, [-1]))
    return here.op("OneHot", labels, classes, here.constant([0, 1]), axis=1)
