"""Images as pycaffe has them: floats of 0..1, height x width x channels, red first; resized and cropped."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from layerkit.blob import Array, shape_text
from layerkit.datasets.optional import need
from layerkit.datasets.transforms.resampling import bilinear
from layerkit.errors import DataError, UsageError

Size = Sequence[int] | Array


def load_image(filename: str | os.PathLike[str] | io.BufferedIOBase, color: bool = True) -> Array:
    """An image file as float32 of 0..1: (H, W, 3) in red, green, blue, or (H, W, 1) for a grey one without `color`.

    Raises DataError for a file that is missing or no image.
    """
    pillow = need("PIL.Image", "pillow", "reading images")
    try:
        with pillow.open(filename) as image:
            plain = "transparency" not in image.info and image.mode in ("1", "L", "I;16", "RGB")
            pixels = np.asarray(image if plain and image.mode != "1" else image.convert(_mode(image)))
    except Exception as error:  # of a broken file Pillow's decoders raise whatever they stumble over
        raise DataError(f"{filename!r} is no image that can be read: {error}") from error
    scaled = pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
    if scaled.ndim == 2:
        scaled = scaled[:, :, np.newaxis]
    return np.tile(scaled, (1, 1, 3)) if color and scaled.shape[2] == 1 else scaled


def _mode(image: Any) -> str:
    return "L" if image.mode in ("1", "L", "LA") and "transparency" not in image.info else "RGB"


def resize_image(im: npt.ArrayLike, new_dims: Size, interp_order: int = 1) -> Array:
    """An image (H, W, K) in another size, `new_dims` = (height, width), float32; order 0 is nearest, 1 linear.

    Nothing is smoothed. As in Caffe, images of 1 or 3 channels are resized by the pixels' centres, and others so that
    the corners' pixels stay. Raises UsageError for another order, which would need SciPy.
    """
    image = np.asarray(im, np.float32)
    height, width = (int(each) for each in new_dims)
    if interp_order not in (0, 1):
        raise UsageError(f"images are resized by order 0 (nearest) or 1 (linear), not {interp_order}")
    if image.shape[-1] in (1, 3) and interp_order == 1:
        return bilinear(image.transpose(2, 0, 1), height, width).transpose(1, 2, 0)
    centred = image.shape[-1] in (1, 3)
    for axis, new in enumerate((height, width)):
        image = _along(image, axis, new, interp_order, centred=centred)
    return image.astype(np.float32)


def _along(image: Array, axis: int, new: int, order: int, *, centred: bool) -> Array:
    """The image with `new` pixels along one axis."""
    length = image.shape[axis]
    steps = np.arange(new)
    at = (steps + 0.5) * (length / new) - 0.5 if centred else steps * ((length - 1) / max(new - 1, 1))
    at = np.clip(at, 0, length - 1)
    if order == 0:
        nearest: Array = image.take(np.floor(at + 0.5).astype(int), axis)
        return nearest
    before = np.floor(at).astype(int)
    weight = (at - before).reshape([-1 if i == axis else 1 for i in range(image.ndim)])
    after = np.minimum(before + 1, length - 1)
    mixed: Array = image.take(before, axis) * (1 - weight) + image.take(after, axis) * weight
    return mixed


def oversample(images: Sequence[Array] | Array, crop_dims: Size) -> Array:
    """Ten crops of each image (H, W, K): the four corners, the centre, and these mirrored; (10 N, h, w, K), float32.

    Raises UsageError where a crop is larger than the images.
    """
    high, wide = (int(each) for each in crop_dims)
    height, width = images[0].shape[:2]
    if high > height or wide > width:
        raise UsageError(f"images of {shape_text((height, width))} have no crops of {shape_text((high, wide))}")
    places = [(y, x) for y in (0, height - high) for x in (0, width - wide)]
    places.append((int(height / 2 - high / 2), int(width / 2 - wide / 2)))
    crops = []
    for image in images:
        five = [image[y : y + high, x : x + wide] for y, x in places]
        crops += [*five, *(crop[:, ::-1] for crop in five)]
    return np.stack(crops).astype(np.float32)


def centre_crop(images: Array, crop_dims: Size) -> Array:
    """The middle of each image of (N, H, W, K)."""
    (height, width), (high, wide) = images.shape[1:3], (int(each) for each in crop_dims)
    y, x = int(height / 2 - high / 2), int(width / 2 - wide / 2)
    return images[:, y : y + high, x : x + wide]
