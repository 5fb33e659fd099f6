"""Samples from any source into a file or folder of another format: the work of Caffe's convert_imageset.

Source: Caffe's tools/convert_imageset.cpp; grey is ITU-R BT.601's, in Pillow's integers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from layerkit.blob import Array, Shape, shape_text
from layerkit.datasets.files.decode import Encoding
from layerkit.datasets.reading import blocks
from layerkit.datasets.source import Source
from layerkit.datasets.stream import by_file, shuffled
from layerkit.datasets.transforms.resampling import bilinear
from layerkit.datasets.writing.formats import format_of
from layerkit.datasets.writing.placing import expect_free, whole
from layerkit.errors import DataError

_LUMA = np.array([19595, 38470, 7471])  # of 65536: how bright red, green and blue are


@dataclass(frozen=True)
class Changes:
    """What is done to images on the way."""

    size: tuple[int, int] | None = None
    """Height and width that they are resized to, as Caffe does it."""
    gray: bool = False
    """Whether red, green and blue become one channel."""

    def apply(self, batch: Array) -> Array:
        """Changed images, (k, C, H, W). Raises DataError for what are none; without changes anything is one."""
        if self.gray:
            batch = to_gray(batch)
        if self.size is None:
            return batch
        if batch.ndim != 4:
            raise DataError(
                f"only images, channels x height x width, can be resized, not {shape_text(batch.shape[1:])}"
            )
        return batch if batch.shape[2:] == self.size else bilinear(batch, *self.size)

    def expect_no_map(self, arrays: Mapping[str, Array]) -> None:
        """Raise DataError where the first of the arrays is resized and another says something of each pixel."""
        data, *others = arrays.items()
        for name, array in others:
            if self.size is not None and array.ndim > 2 and array.shape[-2:] == data[1].shape[-2:]:
                raise DataError(f"{name!r} says something of each pixel of {data[0]!r}, so these cannot be resized")


def convert(
    source: Source,
    target: Path,
    indices: Array,
    changes: Changes,
    *,
    encoding: Encoding | None = None,
    force: bool = False,
    advance: Callable[[int], object] = lambda count: None,
    skip: Callable[[int, DataError], object] | None = None,
) -> int:
    """Write the samples `indices`, in this order, to a file or folder whose name says its format; returns how many.

    It appears whole or not at all, and takes the place of another one only with `force`. `encoding` says how images
    are stored. `advance` is told how many samples were written; `skip` is as of `blocks`. Raises DataError.
    """
    form = format_of(target)
    if encoding is not None and not form.encodes:
        raise DataError(f"{str(target)!r} is to be {form.name}, which holds no images encoded as {encoding}")
    expect_free(target, force, form.ours)
    written = 0
    first: Mapping[str, Shape] = {}
    with whole(form.make(target, source.header.class_names, encoding)) as writer:
        for block in blocks(source, indices, skip):
            arrays = dict(block.arrays)
            data = next(iter(arrays))
            arrays[data] = changes.apply(arrays[data])
            changes.expect_no_map(block.arrays)
            shapes = {name: array.shape[1:] for name, array in arrays.items()}
            first = first or shapes
            if form.one_size and shapes != first:
                found = f"it is {shape_text(shapes[data])}, but the first is {shape_text(first[data])}"
                hint = f"{form.name} takes one size: give it by --resize HxW"
                raise DataError(f"{source.place(int(block.indices[0]))}: {found}; {hint}")
            writer.append(**arrays)
            written += len(block.indices)
            advance(len(block.indices))
        if not written:
            raise DataError("there are no samples to write")
    return written


def order(source: Source, shuffle: bool, seed: int) -> Array:
    """The numbers of all samples, int64 (n,), at random where they are shuffled; those of a file stay together."""
    if not shuffle:
        return np.arange(len(source))
    drawn = shuffled(len(source)) if source.starts is None else by_file(source.starts)
    return drawn(np.random.default_rng(seed))


def to_gray(batch: Array) -> Array:
    """Images of bytes, (k, 1|3, H, W) in red, green, blue, as (k, 1, H, W). Raises DataError for anything else."""
    if batch.ndim != 4 or batch.dtype != np.uint8 or batch.shape[1] not in (1, 3):
        found = f"{shape_text(batch.shape[1:])} of {batch.dtype}"
        raise DataError(f"only images of 1 or 3 channels of bytes can be made grey, not samples {found}")
    if batch.shape[1] == 1:
        return batch
    bright: Array = np.einsum("kchw,c->khw", batch.astype(np.int32), _LUMA)
    return ((bright + 0x8000) >> 16).astype(np.uint8)[:, np.newaxis]
