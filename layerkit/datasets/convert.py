"""Samples from any source into any writer: the work of Caffe's convert_imageset.

Source: Caffe's tools/convert_imageset.cpp; grey is ITU-R BT.601's, in Pillow's integers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from layerkit.blob import Array, Shape, shape_text
from layerkit.datasets import images
from layerkit.datasets.placing import Writer
from layerkit.datasets.reading import blocks
from layerkit.datasets.source import Source
from layerkit.datasets.stream import by_file
from layerkit.errors import DataError

_LUMA = np.array([19595, 38470, 7471])  # of 65536: how bright red, green and blue are


@dataclass(frozen=True)
class Changes:
    """What is done to images on the way."""

    size: tuple[int, int] | None = None
    """Height and width that they are resized to, as Caffe does it."""
    gray: bool = False
    """Whether three channels become one."""

    def apply(self, batch: Array) -> Array:
        """Changed images, (k, C, H, W) of bytes; other arrays only where nothing is to be done. Raises DataError."""
        if self.size is None and not self.gray:
            return batch
        if batch.ndim != 4 or batch.dtype != np.uint8:
            found = f"{shape_text(batch.shape[1:])} of {batch.dtype}"
            raise DataError(f"only images of bytes, channels x height x width, can be changed, not samples {found}")
        if self.gray and batch.shape[1] != 1:
            batch = to_gray(batch)
        if self.size is not None and batch.shape[2:] != self.size:
            batch = np.stack([images.resize(image, *self.size) for image in batch])
        return batch


def convert(
    source: Source,
    writer: Writer,
    indices: Array,
    changes: Changes,
    *,
    one_size: bool,
    advance: Callable[[int], object] = lambda count: None,
    skip: Callable[[int, DataError], object] | None = None,
) -> int:
    """Append the samples `indices` to the writer; returns how many there were. Neither is closed.

    With `one_size` all images must end up with the size of the first. `advance` is told how many were appended; `skip`
    as of `blocks`. Raises DataError.
    """
    written = 0
    first: Mapping[str, Shape] = {}
    for block in blocks(source, indices, skip):
        arrays = dict(block.arrays)
        name = next(iter(arrays))
        arrays[name] = changes.apply(arrays[name])
        shapes = {each: array.shape[1:] for each, array in arrays.items()}
        first = first or shapes
        if one_size and shapes != first:
            found = f"it is {shape_text(shapes[name])}, but the first is {shape_text(first[name])}"
            raise DataError(f"{source.place(int(block.indices[0]))}: {found}; --resize HxW gives all images one size")
        writer.append(**arrays)
        written += len(block.indices)
        advance(len(block.indices))
    return written


def order(source: Source, shuffle: bool, seed: int) -> Array:
    """The numbers of all samples, int64 (n,), at random where they are shuffled; those of a file stay together."""
    if not shuffle:
        return np.arange(len(source))
    rng = np.random.default_rng(seed)
    return rng.permutation(len(source)) if source.starts is None else by_file(source.starts)(rng)


def to_gray(batch: Array) -> Array:
    """Images (k, 3, H, W) of bytes in red, green, blue as (k, 1, H, W). Raises DataError for another number of channels."""
    if batch.shape[1] != 3:
        raise DataError(f"images of {batch.shape[1]} channels have no colours to make grey")
    bright = np.einsum("kchw,c->khw", batch.astype(np.int32), _LUMA)
    return ((bright + 0x8000) >> 16).astype(np.uint8)[:, np.newaxis]
