"""Class labels: one whole number for each place, lying as floats in a blob."""

from __future__ import annotations

import math

import numpy as np

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import DataError, ShapeError
from layerkit.layer import canonical_axis


def check_labels(scores: Shape, labels: Shape, axis: int) -> int:
    """The class axis of `scores`, counted from the front. Raises ShapeError unless there is one label for each place.

    The places are the scores' axes without the class axis; the labels may group those behind the first differently.
    """
    axis = canonical_axis(axis, scores)
    places = scores[:axis] + scores[axis + 1 :]
    if np.prod(places) != np.prod(labels) or (axis > 0 and labels[:1] != places[:1]):
        raise ShapeError(
            f"scores of shape {shape_text(scores)} with classes on axis {axis} need labels of shape "
            f"{shape_text(places)}, not {shape_text(labels)}",
            "bottom",
        )
    if not scores[axis]:
        raise ShapeError(f"scores of shape {shape_text(scores)} have no classes on axis {axis}", "axis")
    return axis


def check_sample_labels(scores: Shape, labels: Shape) -> int:
    """How many scores a sample has, C. Raises ShapeError unless there is one label for each sample of (N, ...)."""
    if len(scores) < 2 or scores[0] != math.prod(labels) or labels[:1] != scores[:1]:
        raise ShapeError(
            f"scores of shape {shape_text(scores)} need samples along axis 0, each with several scores, "
            f"and a label for each sample, but the labels are {shape_text(labels)}",
            "bottom",
        )
    classes = math.prod(scores[1:])
    if not classes:
        raise ShapeError(f"scores of shape {shape_text(scores)} have no classes", "bottom")
    return classes


def places_of(labels: Array, scores: Shape) -> tuple[Array, ...]:
    """The index of each sample's own score in scores of shape (N, ...), whose classes are counted in C order."""
    return (np.arange(len(labels)), *np.unravel_index(labels, scores[1:]))


def read_labels(labels: Array, classes: int, ignore_label: int | None, out: Array) -> None:
    """Write the labels as integers into `out` (the same places), -1 for those to ignore.

    Raises DataError for a label that is no whole number or no class, with its value and position.
    """
    with np.errstate(invalid="ignore"):  # NaN becomes some integer, and differs from it
        whole = labels.astype(np.int64)
    ignored = whole == ignore_label if ignore_label is not None else np.zeros(labels.shape, bool)
    wrong = (whole != labels) | (((whole < 0) | (whole >= classes)) & ~ignored)
    if wrong.any():
        position = tuple(int(i) for i in np.argwhere(wrong)[0])
        value = labels[position]
        fault = f"is outside 0..{classes - 1}" if np.isfinite(value) and value % 1 == 0 else "is not a whole number"
        raise DataError(f"label {value:g} at position {position} {fault}")
    whole[ignored] = -1
    out[...] = whole.reshape(out.shape)
