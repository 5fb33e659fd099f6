"""What is done to samples before a net sees them, written once for training and for use.

Order, as in Caffe's transformer: channels are put in the net's order, the mean is subtracted, the result is scaled:
`(x - mean_value) * scale`. A `mean_value` a channel is given in the net's order of channels.

Source: Caffe's data_transformer.cpp.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from layerkit.blob import Array, shape_text
from layerkit.errors import DataError, ShapeError
from layerkit.layer import SampleInfo


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
