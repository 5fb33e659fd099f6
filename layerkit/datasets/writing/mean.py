"""The mean of all samples of a source: the work of Caffe's compute_image_mean."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from layerkit import arrayfile
from layerkit.blob import Array, shape_text
from layerkit.datasets.files import blobproto
from layerkit.datasets.reading import blocks
from layerkit.datasets.source import Source
from layerkit.datasets.writing.convert import Changes
from layerkit.errors import DataError

SUFFIXES = (".binaryproto", ".npy")


def mean_image(
    source: Source,
    name: str,
    changes: Changes,
    advance: Callable[[int], object] = lambda count: None,
    skip: Callable[[DataError], object] | None = None,
) -> Array:
    """The mean of the samples of the array `name`, changed so, float64 (*sample shape), with channels as stored.

    `advance` is told how many samples were looked at. Samples that cannot be read, or are of another shape than the
    first, are left out where `skip` is given, which is then told what is wrong. Raises DataError for one otherwise.
    """
    total: Array | None = None
    count = 0

    def left_out(index: int, error: DataError) -> None:
        if skip is None:
            raise error
        skip(error)
        advance(1)

    for block in blocks(source, skip=left_out):
        data = changes.apply(block.arrays[name])
        if total is None:
            total = np.zeros(data.shape[1:])
        if data.shape[1:] != total.shape:
            index = int(block.indices[0])
            found = f"it is {shape_text(data.shape[1:])}, but the first is {shape_text(total.shape)}"
            left_out(index, DataError(f"{source.place(index)}: {found}; --resize HxW gives all images one size"))
            continue
        total += data.sum(axis=0, dtype=np.float64)
        count += len(data)
        advance(len(data))
    if total is None:
        raise DataError("there are no samples to take the mean of")
    return np.asarray(total / count)


def as_image(mean: Array, channel_order: str) -> Array:
    """A mean image, float32 (C, H, W), with three channels in this order, RGB or BGR.

    Raises DataError for samples that are no images.
    """
    if mean.ndim != 3:
        raise DataError(f"a mean image needs samples of channels x height x width, not {shape_text(mean.shape)}")
    return (mean[::-1] if channel_order == "BGR" and len(mean) == 3 else mean).astype(np.float32)


def expect_suffix(path: Path) -> None:
    """Raise DataError unless the name is one of a file of a mean image."""
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"cannot write {str(path)!r}: its name must end in {' or '.join(SUFFIXES)}")


def save(path: Path, image: Array) -> None:
    """Write a mean image (C, H, W), atomically: a `.binaryproto` as (1, C, H, W), as Caffe does, or an `.npy` file.

    Raises DataError for another name, SnapshotError where it cannot be written.
    """
    expect_suffix(path)
    if path.suffix.lower() == ".binaryproto":
        blobproto.save(path, image[np.newaxis])
    else:
        content = io.BytesIO()
        np.save(content, image)
        arrayfile.write_bytes(path, content.getvalue())
