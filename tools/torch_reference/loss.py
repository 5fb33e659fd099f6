"""Losses that PyTorch has too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from layerkit.blob import Array
from torch_reference.recording import Recording, Tensors

MAP = (2, 4, 5, 3)
WEIGHTS = [0.5, 2.0, 0.0, 1.25]


def labels(classes: int, *shape: int) -> Callable[[np.random.Generator], Array]:
    """Labels of that shape, of so many classes."""
    return lambda rng: rng.integers(0, classes, shape)


def distributions(*shape: int) -> Callable[[np.random.Generator], Array]:
    """Probabilities along axis 1, some of them 0."""

    def draw(rng: np.random.Generator) -> Array:
        p = rng.uniform(0.1, 1, shape)
        p.flat[::7] = 0
        return p / p.sum(1, keepdims=True)

    return draw


def positive(*shape: int) -> Callable[[np.random.Generator], Array]:
    """Numbers of 0.05 to 1."""
    return lambda rng: rng.uniform(0.05, 1, shape)


def cross_entropy(name: str, scores: Any, label: Any, params: Mapping[str, Any], **options: Any) -> Recording:
    """A row of SoftmaxWithLoss, and what PyTorch calls its parameters."""

    def compute(bottoms: Tensors, weights: Mapping[str, Any]) -> Any:
        x = bottoms[0]
        own = {key: torch.tensor(each, dtype=x.dtype) if key == "weight" else each for key, each in options.items()}
        return functional.cross_entropy(x, bottoms[1].long(), **own)

    return Recording("SoftmaxWithLoss", name, [scores, label], compute, params)


def infogain(bottoms: Tensors, weights: Mapping[str, Any]) -> Any:
    """The rows of the matrix are what PyTorch calls class probabilities."""
    x, label, matrix = bottoms
    return functional.cross_entropy(x, matrix[label.long()])


def kl(normalization: str, log_q: Callable[[Any], Any]) -> Callable[[Tensors, Mapping[str, Any]], Any]:
    """The divergence, from a function that makes bottom 0 logarithms."""

    def compute(bottoms: Tensors, weights: Mapping[str, Any]) -> Any:
        q, t = log_q(bottoms[0]), bottoms[1]
        if normalization == "FULL":
            return functional.kl_div(q, t, reduction="none").sum(1).mean()
        return functional.kl_div(q, t, reduction="batchmean")

    return compute


RECORDINGS = [
    cross_entropy("plain", (5, 4), labels(4, 5), {}),
    cross_entropy("ignore", (5, 4), np.array([0, 255, 3, 1, 255]), {"ignore_label": 255}, ignore_index=255),
    cross_entropy("weights", (5, 4), labels(4, 5), {"class_weights": WEIGHTS}, weight=WEIGHTS),
    cross_entropy(
        "weights, map, ignore",
        MAP,
        labels(4, 2, 5, 3),
        {"class_weights": WEIGHTS, "ignore_label": 1},
        weight=WEIGHTS,
        ignore_index=1,
    ),
    cross_entropy("smoothing", (5, 4), labels(4, 5), {"label_smoothing": 0.1}, label_smoothing=0.1),
    cross_entropy(
        "smoothing, map, ignore",
        MAP,
        labels(4, 2, 5, 3),
        {"label_smoothing": 0.3, "ignore_label": 1},
        label_smoothing=0.3,
        ignore_index=1,
    ),
    cross_entropy(
        "smoothing, weights",
        (5, 4),
        labels(4, 5),
        {"label_smoothing": 0.3, "class_weights": WEIGHTS},
        label_smoothing=0.3,
        weight=WEIGHTS,
    ),
    cross_entropy(
        "smoothing, weights, map, ignore",
        MAP,
        labels(4, 2, 5, 3),
        {"label_smoothing": 0.3, "class_weights": WEIGHTS, "ignore_label": 1},
        label_smoothing=0.3,
        weight=WEIGHTS,
        ignore_index=1,
    ),
    Recording("InfogainLoss", "plain", [(5, 4), labels(4, 5), (4, 4)], infogain),
    Recording(
        "MultinomialLogisticLoss",
        "plain",
        [positive(5, 4), labels(4, 5)],
        lambda bottoms, weights: functional.nll_loss(bottoms[0].log(), bottoms[1].long()),
    ),
    Recording(
        "SigmoidCrossEntropyLoss",
        "full",
        [MAP, positive(*MAP)],
        lambda bottoms, weights: functional.binary_cross_entropy_with_logits(bottoms[0], bottoms[1]),
        {"normalization": "FULL"},
    ),
    Recording("Huber", "plain", [(5, 4), (5, 4)], lambda bottoms, weights: functional.huber_loss(*bottoms)),
    Recording(
        "Huber",
        "small delta",
        [MAP, MAP],
        lambda bottoms, weights: functional.huber_loss(*bottoms, delta=0.25),
        {"delta": 0.25},
    ),
    Recording(
        "Huber",
        "none",
        [(5, 4), (5, 4)],
        lambda bottoms, weights: functional.huber_loss(*bottoms, reduction="sum", delta=1.5),
        {"normalization": "NONE", "delta": 1.5},
    ),
    Recording("KLDivergence", "plain", [positive(5, 4), distributions(5, 4)], kl("BATCH_SIZE", torch.log)),
    Recording(
        "KLDivergence",
        "logarithms",
        [(5, 4), distributions(5, 4)],
        kl("BATCH_SIZE", lambda x: x),
        {"prediction": "LOG_PROBABILITIES"},
    ),
    Recording(
        "KLDivergence",
        "scores, map",
        [MAP, distributions(*MAP)],
        kl("BATCH_SIZE", lambda x: x.log_softmax(1)),
        {"prediction": "SCORES"},
    ),
    Recording(
        "KLDivergence",
        "scores, map, full",
        [MAP, distributions(*MAP)],
        kl("FULL", lambda x: x.log_softmax(1)),
        {"prediction": "SCORES", "normalization": "FULL"},
    ),
]
