"""What is done to samples before a net sees them, written once for training and for use.

Order, as in Caffe's transformer: channels are put in the net's order, the mean is subtracted, the result is scaled:
`(x - mean_value) * scale`. A `mean_value` a channel is given in the net's order of channels.

Source: Caffe's data_transformer.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from layerkit.blob import Array, shape_text
from layerkit.errors import DataError, ShapeError
from layerkit.layer import SampleInfo


@dataclass(frozen=True)
class Pipeline:
    """What is done to a batch of samples: the first array is cropped, mirrored and transformed, others are copied."""

    info: SampleInfo
    crop_size: int = 0
    mirror: bool = False
    anywhere: bool = False
    """Whether the crop's place is random; otherwise it is in the middle."""
    generator: Callable[..., np.random.Generator] | None = None

    def apply(self, arrays: Sequence[Array], epochs: Array, indices: Array, out: Sequence[Array]) -> None:
        """Write the transformed batch, (k, *shape) each, into `out`; what is random is a function of epoch and index.

        Raises ShapeError where a crop does not fit.
        """
        for array, into in zip(arrays[1:], out[1:], strict=True):
            np.copyto(into, array, casting="unsafe")
        if not self.crop_size and not self.mirror:
            self._finish(arrays[0], out[0])
            return
        for row, (epoch, index) in enumerate(zip(epochs.tolist(), indices.tolist(), strict=True)):
            assert self.generator is not None
            image, rng = arrays[0][row], self.generator(epoch, index)
            if self.crop_size:
                image = crop(image, self.crop_size, rng if self.anywhere else None)
            if self.mirror and rng.random() < 0.5:
                image = image[:, :, ::-1]
            self._finish(image[np.newaxis], out[0][row : row + 1])

    def _finish(self, samples: Array, out: Array) -> None:
        if samples.shape != out.shape:
            sizes = f"it is {shape_text(samples.shape[1:])}, not {shape_text(out.shape[1:])} as the first"
            raise ShapeError(f"{sizes}; give all images one size, by new_height and new_width or a crop")
        apply(samples, self.info.model_copy(update={"shape": list(samples.shape[1:])}), out=out)


def crop(image: Array, size: int, rng: np.random.Generator | None) -> Array:
    """A square of this side out of an image (C, H, W): where `rng` says, or the middle. Raises ShapeError."""
    room = [length - size for length in image.shape[1:]]
    if min(room) < 0:
        height, width = image.shape[1:]
        raise ShapeError(f"crop_size {size} does not fit into an image of {height}x{width}", "crop_size")
    y, x = (int(rng.integers(each + 1)) if rng is not None else each // 2 for each in room)
    return image[:, y : y + size, x : x + size]


def check(info: SampleInfo) -> None:
    """Raise ShapeError, naming the parameter, where samples of this shape cannot be transformed so."""
    channels = info.shape[0] if info.shape else None
    if len(info.mean_value) > 1 and len(info.mean_value) != channels:
        what = f"samples of shape {shape_text(info.shape)}"
        raise ShapeError(f"mean_value has {len(info.mean_value)} values, which do not fit {what}", "mean_value")
    if info.channel_order == "BGR" and (channels != 3 or len(info.shape) != 3):
        what = f"samples of shape {shape_text(info.shape)} have no three channels to reverse"
        raise ShapeError(f"channel_order: {what}", "channel_order")


def apply(raw: npt.ArrayLike, info: SampleInfo, out: Array | None = None) -> Array:
    """Transformed samples: `raw`, (N, *info.shape) of any real type with channels as stored, into `out`.

    `out` is (N, *info.shape) in any memory layout; without it, a new float32 array. Raises ShapeError where shapes do
    not fit, DataError where `raw` is not numeric.
    """
    raw = np.asarray(raw)
    if raw.dtype.kind not in "biuf":
        raise DataError(f"samples hold values of type {raw.dtype}, but a net takes real numbers")
    if raw.shape[1:] != tuple(info.shape) or raw.ndim == 0:
        raise ShapeError(
            f"samples must have the shape {shape_text(['N', *info.shape])}, but are {shape_text(raw.shape)}"  # type: ignore[list-item]
        )
    if out is None:
        out = np.empty(raw.shape, np.float32)
    if out.shape != raw.shape:
        raise ShapeError(f"{shape_text(raw.shape)} samples do not fit into {shape_text(out.shape)}")
    if info.channel_order == "BGR":
        raw = raw[:, ::-1]
    if info.mean_value:
        mean = np.array(info.mean_value, out.dtype)
        if len(mean) > 1:
            mean = mean.reshape(-1, *(1 for _ in info.shape[1:]))  # one a channel: (C, 1, 1)
        np.subtract(raw, mean, out=out, dtype=out.dtype, casting="unsafe")
        if info.scale != 1:
            np.multiply(out, out.dtype.type(info.scale), out=out)
    elif info.scale != 1:
        np.multiply(raw, out.dtype.type(info.scale), out=out, dtype=out.dtype, casting="unsafe")
    else:
        np.copyto(out, raw, casting="unsafe")
    return out
