"""Families that take samples of any shape as vectors: a linear classifier, a perceptron of layers, a regression."""

from __future__ import annotations

from layerkit.errors import UsageError
from layerkit.starters.facts import Facts
from layerkit.starters.model import Model


def linear(facts: Facts) -> Model:
    """Scores that are sums of weighted values."""
    expect_classes(facts, "linear")
    return Model("A linear classifier", _SCORES.format(facts=facts, first=" bottom: data,"), 0.01)


def mlp(facts: Facts) -> Model:
    """Two hidden layers."""
    expect_classes(facts, "mlp")
    return Model("A net of fully connected layers", _hidden() + _SCORES.format(facts=facts, first=""), 0.003)


def regression(facts: Facts) -> Model:
    """Two hidden layers, and amounts in the place of scores."""
    if facts.task != "numbers":
        raise UsageError(f"the model family 'regression' needs labels that are numbers, but has {facts.words}")
    return Model("A regression", _hidden() + _AMOUNTS.format(facts=facts, shape=_label_shape(facts)), 0.003)


def expect_classes(facts: Facts, family: str) -> None:
    """Raise UsageError for samples without classes."""
    if facts.task != "classes":
        other = {"numbers": "regression", "text": "rnn"}[facts.task]
        raise UsageError(f"the model family {family!r} needs classes, but has {facts.words}; try --model {other}")


def scores(facts: Facts) -> str:
    """What stands at the end of every classifier."""
    return _SCORES.format(facts=facts, first="")


def _hidden() -> str:
    return """\
    # Two layers of weights with a bend between them; msra keeps the size of the numbers from layer to layer.
    - {name: fc1, type: InnerProduct, bottom: data, num_output: 128, weight_filler: msra}
    - {name: relu1, type: ReLU}
    - {name: fc2, type: InnerProduct, num_output: 64, weight_filler: msra}
    - {name: relu2, type: ReLU}

"""


def _label_shape(facts: Facts) -> str:
    return "[-1]" if facts.classes == 1 else f"[-1, {facts.classes}]"


_SCORES = """\
    # A score for each of the {facts.classes} classes, and the loss of those scores.
    - {{name: scores, type: InnerProduct,{first} num_output: {facts.classes}, weight_filler: xavier}}
    - {{name: loss, type: SoftmaxWithLoss, bottom: [scores, label]}}
    - {{name: accuracy, type: Accuracy, bottom: [scores, label], include: test}}
"""

_AMOUNTS = """\
    # What is learned are labels of mean 0 and spread 1; `prediction` is in the labels' own unit again.
    - {{name: scores, type: InnerProduct, num_output: {facts.classes}, weight_filler: xavier}}
    - {{name: scaled, type: Reshape, bottom: scores, shape: {shape}}}
    - {{name: prediction, type: Power, bottom: scaled, scale: {facts.label_std:.4g}, shift: {facts.label_mean:.4g}}}
    - {{name: target, type: Expression, bottom: label,
       expr: "(label - ({facts.label_mean:.4g})) / {facts.label_std:.4g}"}}
    - {{name: loss, type: EuclideanLoss, bottom: [scaled, target]}}
    - {{name: mae, type: MeanAbsoluteError, bottom: [prediction, label], include: test}}
"""
