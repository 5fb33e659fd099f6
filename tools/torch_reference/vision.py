"""Layers of images that PyTorch has too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from torch_reference.recording import Recording, Tensors

IMAGES = (2, 3, 4, 5)


def transposed(name: str, shape: Sequence[int], params: Mapping[str, Any]) -> Recording:
    """A Deconvolution as PyTorch's transposed convolution."""
    function = {3: functional.conv_transpose1d, 4: functional.conv_transpose2d, 5: functional.conv_transpose3d}
    options = {
        {"pad": "padding", "group": "groups"}.get(key, key): value
        for key, value in params.items()
        if key in ("stride", "pad", "dilation", "group")
    }

    def compute(bottoms: Tensors, weights: Mapping[str, Any]) -> Any:
        return function[len(shape)](bottoms[0], weights["weight"], weights.get("bias"), **options)

    return Recording("Deconvolution", name, [shape], compute, params)


def resized(name: str, shape: Sequence[int], size: Sequence[int], params: Mapping[str, Any]) -> Recording:
    """An Interp as PyTorch's linear interpolation with aligned corners."""
    mode = {3: "linear", 4: "bilinear", 5: "trilinear"}[len(shape)]

    def compute(bottoms: Tensors, weights: Mapping[str, Any]) -> Any:
        return functional.interpolate(bottoms[0], tuple(size), mode=mode, align_corners=True)

    return Recording("Interp", name, [shape], compute, params)


def by_mask(type_: str, name: str, size: Sequence[int], params: Mapping[str, Any]) -> Recording:
    """An Upsample or Unpooling by a mask as PyTorch's max_unpool2d, with the places of a max pooling of 2 by 2."""

    def mask(rng: np.random.Generator) -> Any:
        shape = (*IMAGES[:2], *(2 * n for n in IMAGES[2:]))
        places = functional.max_pool2d(torch.tensor(rng.normal(size=shape)), 2, return_indices=True)[1].numpy()
        row, column = np.divmod(places, shape[3])
        return (row * size[1] + column).astype(float)  # as if the pooling had been of an image of this size

    def compute(bottoms: Tensors, weights: Mapping[str, Any]) -> Any:
        return functional.max_unpool2d(bottoms[0], bottoms[1].long(), 2, output_size=tuple(size))

    return Recording(type_, name, [IMAGES, mask], compute, params)


def nearest(name: str, shape: Sequence[int], scale: int) -> Recording:
    """An Upsample with one bottom as PyTorch's interpolation by nearest neighbours."""

    def compute(bottoms: Tensors, weights: Mapping[str, Any]) -> Any:
        return functional.interpolate(bottoms[0], scale_factor=scale, mode="nearest")

    return Recording("Upsample", name, [shape], compute, {"scale": scale})


def unfolded(name: str, params: Mapping[str, Any]) -> Recording:
    """An Im2col as PyTorch's unfold, whose places lie on one axis."""
    options = {{"pad": "padding"}.get(key, key): value for key, value in params.items() if key != "kernel_size"}

    def counts() -> list[int]:
        found = []
        for i, n in enumerate(IMAGES[2:]):
            k, stride, pad, dilation = (
                _of_axis(params.get(key, default), i)
                for key, default in (("kernel_size", 1), ("stride", 1), ("pad", 0), ("dilation", 1))
            )
            found.append((n + 2 * pad - dilation * (k - 1) - 1) // stride + 1)
        return found

    def compute(bottoms: Tensors, weights: Mapping[str, Any]) -> Any:
        columns = functional.unfold(bottoms[0], params["kernel_size"], **options)
        return columns.reshape(*columns.shape[:2], *counts())

    return Recording("Im2col", name, [IMAGES], compute, params)


def _of_axis(value: int | Sequence[int], axis: int) -> int:
    return value if isinstance(value, int) else value[axis]


RECORDINGS = [
    transposed("2d", IMAGES, {"num_output": 6, "kernel_size": 3}),
    transposed("2d, stride, pad", IMAGES, {"num_output": 6, "kernel_size": [4, 3], "stride": [3, 2], "pad": [1, 0]}),
    transposed("2d, dilation", IMAGES, {"num_output": 6, "kernel_size": 2, "dilation": [2, 3], "stride": 2}),
    transposed(
        "2d, group, no bias",
        (2, 6, 4, 5),
        {"num_output": 4, "kernel_size": 3, "group": 2, "stride": 2, "pad": 1, "bias_term": False},
    ),
    transposed("1d", (2, 3, 5), {"num_output": 4, "kernel_size": 3, "stride": 2, "pad": 1, "dilation": 2}),
    transposed("1d, group", (2, 6, 5), {"num_output": 4, "kernel_size": 3, "group": 2}),
    transposed("3d", (2, 3, 2, 3, 4), {"num_output": 5, "kernel_size": [2, 3, 1], "stride": [1, 2, 3]}),
    transposed("3d, group, dilation", (2, 4, 2, 3, 3), {"num_output": 6, "kernel_size": 2, "group": 2, "dilation": 2}),
    resized("larger", IMAGES, (7, 11), {"height": 7, "width": 11}),
    resized("smaller", (2, 3, 6, 9), (4, 2), {"height": 4, "width": 2}),
    resized("zoom_factor", IMAGES, (10, 13), {"zoom_factor": 3}),
    resized("shrink_factor", (2, 3, 7, 10), (3, 4), {"shrink_factor": 3}),
    resized("1d", (2, 3, 5), (9,), {"zoom_factor": 2}),
    resized("3d", (2, 3, 3, 4, 2), (5, 7, 3), {"zoom_factor": 2}),
    by_mask("Upsample", "mask", (8, 10), {"scale": 2}),
    by_mask("Upsample", "mask, size", (9, 11), {"upsample_h": 9, "upsample_w": 11}),
    by_mask("Unpooling", "mask", (8, 10), {"kernel_size": 2, "stride": 2}),
    by_mask("Unpooling", "mask, size", (9, 11), {"kernel_size": 2, "stride": 2, "unpool_h": 9, "unpool_w": 11}),
    nearest("nearest", IMAGES, 2),
    nearest("nearest, 3d", (2, 3, 2, 4, 3), 3),
    unfolded("plain", {"kernel_size": 3}),
    unfolded("all", {"kernel_size": [2, 3], "stride": [2, 1], "pad": [1, 2], "dilation": [2, 1]}),
]
