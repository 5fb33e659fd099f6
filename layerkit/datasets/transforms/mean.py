"""Mean images, which are subtracted from samples: read from Caffe's .binaryproto, from .npy or from .npz."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from layerkit import arrayfile
from layerkit.blob import Array, shape_text
from layerkit.datasets.files import blobproto
from layerkit.errors import DataError, SnapshotError


def read_mean(path: str) -> Array:
    """The mean image, float32 (C, H, W) with channels in the net's order; 1 in front of its shape is left out.

    An .npz file holds one array, or one by the name `mean`. Raises DataError for a file that is missing, damaged, of
    another kind, or holds something else.
    """
    mean = _read(path)
    if mean.ndim == 4 and len(mean) == 1:
        mean = mean[0]
    if mean.ndim != 3 or mean.dtype.kind not in "biuf" or 0 in mean.shape:
        raise DataError(f"{path!r} holds {mean.dtype} of {shape_text(mean.shape)}, not channels x height x width")
    if not np.isfinite(mean).all():
        raise DataError(f"{path!r} holds values that are not finite")
    return mean.astype(np.float32)


def _read(path: str) -> Array:
    suffix = Path(path).suffix.lower()
    if suffix == ".binaryproto":
        return blobproto.load(path)
    if suffix not in (".npy", ".npz"):
        raise DataError(f"mean_file {path!r} must be a .binaryproto, .npy or .npz file")
    try:
        if suffix == ".npy":
            return arrayfile.load_one(path)
        arrays, _ = arrayfile.load(path)
    except SnapshotError as error:
        raise DataError(str(error)) from None
    if "mean" not in arrays and len(arrays) != 1:
        raise DataError(f"{path!r} must hold one array, or one by the name 'mean', but has: {', '.join(arrays)}")
    return arrays["mean"] if "mean" in arrays else next(iter(arrays.values()))
