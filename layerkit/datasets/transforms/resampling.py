"""Images in another size: Pillow's resampling, which smooths what shrinks, and plain bilinear as OpenCV does it."""

from __future__ import annotations

from typing import Literal

import numpy as np

from layerkit.blob import Array
from layerkit.datasets.optional import need
from layerkit.datasets.transforms.base import BYTE, FLOAT

Interpolation = Literal["nearest", "bilinear", "bicubic"]


def resample(
    images: Array, height: int, width: int, interpolation: Interpolation = "bilinear", boxes: Array | None = None
) -> Array:
    """Images (k, C, H, W) in another size, (k, C, height, width), smoothed where they shrink.

    `boxes` says what part of each image is used, whole pixels (k, 4): top, left, height, width. Bytes stay bytes, all
    else becomes float32. Needs Pillow: raises DataError where it is not there.
    """
    pillow = need("PIL.Image", "pillow", "resizing images")
    method = pillow.Resampling[interpolation.upper()]
    images = images.transpose(0, 2, 3, 1)  # as Pillow has them
    dtype = BYTE if images.dtype == BYTE else FLOAT
    count, *sides, channels = images.shape
    out = np.empty((count, height, width, channels), dtype)
    groups = [slice(None)] if dtype == BYTE and channels in (1, 3) else [slice(c, c + 1) for c in range(channels)]
    for i in range(count):
        top, left, high, wide = (0, 0, *sides) if boxes is None else boxes[i].tolist()
        part = images[i, top : top + high, left : left + wide]
        for group in groups:
            pixels = np.ascontiguousarray(part[:, :, group], dtype)
            picture = pillow.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
            made = np.asarray(picture.resize((width, height), method))
            out[i, :, :, group] = made if made.ndim == 3 else made[:, :, np.newaxis]
    return out.transpose(0, 3, 1, 2)


def bilinear(images: Array, height: int, width: int) -> Array:
    """Images (..., H, W) in another size: each pixel lies between the four that its centre falls among.

    Nothing is smoothed, so a much smaller image skips pixels. Bytes stay bytes, all else becomes float32.

    Source: OpenCV's INTER_LINEAR, to within 1 of 255.
    """
    above, below, v = _between(images.shape[-2], height)
    left, right, u = _between(images.shape[-1], width)
    rows = images[..., above, :] * (1 - v)[:, np.newaxis] + images[..., below, :] * v[:, np.newaxis]  # (..., height, W)
    resized: Array = rows[..., left] * (1 - u) + rows[..., right] * u
    return np.floor(resized + 0.5).astype(BYTE) if images.dtype == BYTE else resized.astype(FLOAT)


def _between(length: int, new: int) -> tuple[Array, Array, Array]:
    """For each of `new` pixels' centres: the pixels before and after it, and how far it is from the first."""
    centres = np.clip((np.arange(new) + 0.5) * (length / new) - 0.5, 0, length - 1)
    before = np.floor(centres).astype(np.int64)
    return before, np.minimum(before + 1, length - 1), centres - before
