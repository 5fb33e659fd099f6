"""The mean of all samples of a source: the work of Caffe's compute_image_mean."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from layerkit.blob import Array, shape_text
from layerkit.datasets.reading import blocks
from layerkit.datasets.source import Source
from layerkit.errors import DataError


def mean_image(source: Source, advance: Callable[[int], object] = lambda count: None) -> Array:
    """The mean of the first array's samples, float64 (*sample shape), with channels as stored.

    `advance` is told how many samples were added. Raises DataError, naming the first sample that is of another shape.
    """
    name = next(iter(source.header.shapes))
    total: Array | None = None
    for block in blocks(source):
        data = block.arrays[name]
        if total is None:
            total = np.zeros(data.shape[1:])
        if data.shape[1:] != total.shape:
            found = f"it is {shape_text(data.shape[1:])}, but the first is {shape_text(total.shape)}"
            raise DataError(f"{source.place(int(block.indices[0]))}: {found}; a mean needs images of one size")
        total += data.sum(axis=0, dtype=np.float64)
        advance(len(data))
    if total is None:
        raise DataError("there are no samples to take the mean of")
    return np.asarray(total / len(source))


def as_image(mean: Array, channel_order: str) -> Array:
    """A mean image, float32 (C, H, W), with three channels in this order, RGB or BGR.

    Raises DataError for samples that are no images.
    """
    if mean.ndim != 3:
        raise DataError(f"a mean image needs samples of channels x height x width, not {shape_text(mean.shape)}")
    return (mean[::-1] if channel_order == "BGR" and len(mean) == 3 else mean).astype(np.float32)
