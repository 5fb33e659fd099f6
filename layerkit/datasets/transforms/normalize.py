"""Values shifted and scaled, channel by channel: the one pass over memory that makes floats of bytes."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from layerkit.blob import Array, shape_text
from layerkit.datasets.transforms.base import FLOAT, Layout, Samples, Transform, channels_last
from layerkit.errors import ShapeError

_BLOCK = 1 << 18  # elements that are gone over twice while they are in a core's cache


class Normalize(Transform):
    """(x - mean) / std, with one mean and std for all values or one for each channel."""

    type: Literal["normalize"] = "normalize"
    mean: list[float] = Field([0.0], min_length=1, description="What is subtracted, in the samples' own units.")
    std: list[Annotated[float, Field(gt=0)]] = Field(
        [1.0], min_length=1, description="What is divided by after that, in the samples' own units."
    )

    def plan(self, layout: Layout) -> Layout:
        shape = layout.shapes[0]
        for name in ("mean", "std"):
            values = getattr(self, name)
            if len(values) > 1 and (not shape or len(values) != shape[0]):
                what = f"samples of shape {shape_text(shape)}"
                raise ShapeError(f"{name} has {len(values)} values, which do not fit the channels of {what}")
        return layout.with_data(dtype=FLOAT)

    def apply(self, samples: Samples) -> None:
        given, out = samples.data, samples.floats(samples.data.shape)
        shift(given, np.array(self.mean), 1 / np.array(self.std), out)
        samples.data = out


def shift(given: Array, mean: Array, factor: Array, out: Array) -> None:
    """Write (given - mean) * factor into `out`, both (k, C, ...); mean and factor have one value or one a channel.

    Either may lie in memory in any way, and they may be the same array.
    """
    mean, factor = (values.astype(out.dtype) for values in (mean, factor))
    shifts, scales = any(mean.tolist()), any(value != 1 for value in factor.tolist())
    if max(len(mean), len(factor)) == 1:
        mean, factor = mean[0], factor[0]
    elif given.ndim == 4 and channels_last(given) and channels_last(out):
        k, c, h, w = out.shape
        given, out = (images.transpose(0, 2, 3, 1).reshape(k, h, w * c) for images in (given, out))
        mean, factor = (np.tile(np.broadcast_to(values, c), w) for values in (mean, factor))  # one a value of a line
    elif out.ndim == 4 and (channels_last(given) or channels_last(out)):
        for c, (less, times) in enumerate(np.broadcast(mean, factor)):
            _combine(given[:, c], less if shifts else None, times if scales else None, out[:, c])
        return
    else:
        mean, factor = (values.reshape(-1, *(1 for _ in out.shape[2:])) for values in (mean, factor))  # (C, 1, 1)
    _combine(given, mean if shifts else None, factor if scales else None, out)


def _combine(given: Array, mean: Array | None, factor: Array | None, out: Array) -> None:
    """Write (given - mean) * factor into `out`; mean and factor fit a row of these. A block of rows at a time."""
    if mean is None and factor is None and given is out:
        return
    rows = max(1, _BLOCK * len(out) // max(1, out.size))
    for start in range(0, len(out), rows):
        source, target = given[start : start + rows], out[start : start + rows]
        if mean is not None:
            np.subtract(source, mean, out=target, dtype=out.dtype, casting="unsafe")
        else:
            np.copyto(target, source, casting="unsafe")
        if factor is not None:
            np.multiply(target, factor, out=target)
