"""Images in another size: Pillow's resampling, which smooths what shrinks, and plain bilinear as OpenCV does it."""

from __future__ import annotations

import numpy as np

from layerkit.blob import Array
from layerkit.datasets.picture import Interpolation, Picture
from layerkit.datasets.transforms.base import BYTE, FLOAT, Samples


def resample(
    samples: Samples,
    height: int,
    width: int,
    interpolation: Interpolation = "bilinear",
    *,
    parts: Array | None = None,
    box: tuple[float, float, float, float] | None = None,
) -> None:
    """Bring the data, images (k, C, H, W), to another size, (k, C, height, width), smoothed where they shrink.

    `parts` says what part of each image is used, whole pixels (k, 4): top, left, height, width. `box`, top, left,
    bottom and right in fractions of pixels, says what becomes of the new size, where smoothing may look beyond. Bytes
    stay bytes, all else becomes float32. Needs Pillow: raises DataError where it is not there.
    """
    if samples.picture is not None:
        picture = samples.picture if parts is None else samples.picture.cut(*parts[0].tolist())
        samples.picture = picture.resized(height, width, interpolation, box)
        return
    images = samples.data
    dtype = BYTE if images.dtype == BYTE else FLOAT
    count, channels = images.shape[:2]
    out = np.empty((count, height, width, channels), dtype)  # as Pillow has them
    together = dtype == BYTE and channels in (1, 3)
    groups = [slice(None)] if together else [slice(c, c + 1) for c in range(channels)]
    for i in range(count):
        top, left, high, wide = (0, 0, *images.shape[2:]) if parts is None else parts[i].tolist()
        part = images[i, :, top : top + high, left : left + wide].astype(dtype, copy=False)
        for group in groups:
            made = Picture.of(part[group]).resized(height, width, interpolation, box)
            out[i, :, :, group] = made.pixels().transpose(1, 2, 0)
    samples.data = out.transpose(0, 3, 1, 2)


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
