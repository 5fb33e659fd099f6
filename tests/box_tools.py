"""Boxes as a reader of the papers would do them, one at a time in plain numbers: what the formulas of cases share."""

from __future__ import annotations

import math

import numpy as np


def iou(a, b, pixel=0.0):
    """Intersection over union of two boxes; in pixels (1) a box is one wider than its corners are apart."""
    if a[0] > b[2] or a[1] > b[3] or a[2] < b[0] or a[3] < b[1]:
        return 0.0
    width = min(a[2], b[2]) - max(a[0], b[0]) + pixel
    height = min(a[3], b[3]) - max(a[1], b[1]) + pixel
    both = width * height
    return both / (area(a, pixel) + area(b, pixel) - both) if both > 0 else 0.0


def area(a, pixel=0.0):
    if a[2] < a[0] or a[3] < a[1]:
        return 0.0
    return (a[2] - a[0] + pixel) * (a[3] - a[1] + pixel)


def encoded(code, prior, box, variance):
    """What a net should predict so that `decoded` gives the box."""
    width, height = prior[2] - prior[0], prior[3] - prior[1]
    if code == "CORNER":
        values = [box[i] - prior[i] for i in range(4)]
    elif code == "CORNER_SIZE":
        values = [(box[i] - prior[i]) / (width, height)[i % 2] for i in range(4)]
    else:
        values = [
            ((box[0] + box[2]) / 2 - (prior[0] + prior[2]) / 2) / width,
            ((box[1] + box[3]) / 2 - (prior[1] + prior[3]) / 2) / height,
            math.log((box[2] - box[0]) / width),
            math.log((box[3] - box[1]) / height),
        ]
    return [values[i] / variance[i] for i in range(4)]


def decoded(code, prior, offsets, variance):
    width, height = prior[2] - prior[0], prior[3] - prior[1]
    t = [offsets[i] * variance[i] for i in range(4)]
    if code == "CORNER":
        return [prior[i] + t[i] for i in range(4)]
    if code == "CORNER_SIZE":
        return [prior[i] + t[i] * (width, height)[i % 2] for i in range(4)]
    x, y = (prior[0] + prior[2]) / 2 + t[0] * width, (prior[1] + prior[3]) / 2 + t[1] * height
    width, height = width * math.exp(t[2]), height * math.exp(t[3])
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def priors_for(height, width, shapes, trailing=()):
    """`draw(rng)` of priors (1, 2, height width shapes 4), with axes of 1 behind if `trailing` says so.

    Some reach out of the image; all variances differ.
    """

    def draw(rng):
        boxes = []
        for row in range(height):
            for column in range(width):
                for i in range(shapes):
                    x, y = (column + 0.5) / width, (row + 0.5) / height
                    half = 0.14 + 0.09 * i + rng.uniform(0, 0.02, 2)
                    boxes.append([x - half[0], y - half[1], x + half[0], y + half[1]])
        count = len(boxes)
        priors = [[[value for box in boxes for value in box], rng.uniform(0.1, 0.3, 4 * count)]]
        return np.reshape(priors, (1, 2, 4 * count, *trailing))

    return draw
