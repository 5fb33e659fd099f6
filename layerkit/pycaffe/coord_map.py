"""How the coordinates of one blob of a NetSpec lie in another's, to crop one to the other.

A map is (axis, scale, shift): along the axes from `axis` on, position x in a layer's bottom is scale x + shift in its
top; `axis` is None where every axis stays as it is.

Source: pycaffe's coord_map.py, for FCN (Long et al., Fully Convolutional Networks, 2015).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from layerkit.blob import Array
from layerkit.pycaffe.net_spec import Function, Top, layers

Map = tuple[int | None, Any, Any]

_SAME: Map = (None, 1, 0)
PASS_THROUGH_LAYERS = [
    "AbsVal", "BatchNorm", "Bias", "BNLL", "Dropout", "Eltwise", "ELU", "Log", "LRN", "Exp", "MVN", "Power", "ReLU",
    "PReLU", "Scale", "Sigmoid", "Split", "TanH", "Threshold",
]  # fmt: skip
"""Types that leave every position where it is."""
_BY_SIDE = {"pad_h", "pad_w", "kernel_h", "kernel_w", "stride_h", "stride_w"}


class UndefinedMapException(Exception):  # noqa: N818  its name is pycaffe's
    """A layer whose bottom and top have no positions in common."""


class AxisMismatchException(Exception):  # noqa: N818
    """Two maps along other axes."""


class CropException(ValueError, AssertionError):  # noqa: N818
    """Blobs that cannot be cropped to each other. Caffe raises AssertionError."""


def conv_params(fn: Function) -> tuple[int, Array, Array, Array]:
    """Of a convolution or pooling: its first spatial axis minus one, strides, windows as dilated, and paddings.

    Raises ValueError for parameters that are said per side (kernel_h ...).
    """
    params = fn.params.get("convolution_param", fn.params)
    if said := _BY_SIDE & set(params):
        raise ValueError(f"{fn.type_name}: cropping needs kernel_size, stride and pad, not {', '.join(sorted(said))}")
    kernel, stride, pad, dilation = (
        np.array(params.get(name, usual), ndmin=1)
        for name, usual in (("kernel_size", None), ("stride", 1), ("pad", 0), ("dilation", 1))
    )
    return params.get("axis", 1), stride, (kernel - 1) * dilation + 1, pad


def crop_params(fn: Function) -> tuple[int, Array]:
    """Of a Crop: its first cropped axis and its offsets."""
    params = fn.params.get("crop_param", fn.params)
    return params.get("axis", 2), np.array(params.get("offset", 0), ndmin=1)


def coord_map(fn: Function) -> Map:
    """The map from a layer's first bottom to its tops. Raises UndefinedMapException where there is none."""
    if fn.type_name in PASS_THROUGH_LAYERS:
        return _SAME
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset
    if fn.type_name not in ("Convolution", "Pooling", "Im2col", "Deconvolution"):
        raise UndefinedMapException(f"{fn.type_name} has no map of coordinates")
    axis, stride, window, pad = conv_params(fn)
    if fn.type_name == "Deconvolution":
        return axis, stride, (window - 1) / 2 - pad
    return axis, 1 / stride, (pad - (window - 1) / 2) / stride


def compose(base_map: Map, next_map: Map) -> Map:
    """First `next_map`, then `base_map`. Raises AxisMismatchException."""
    axis, scale, shift = base_map
    other, further, move = next_map
    if None not in (axis, other) and axis != other:
        raise AxisMismatchException(f"one map begins at axis {axis}, the other at axis {other}")
    return other if axis is None else axis, scale * further, scale * move + shift


def inverse(coord_map: Map) -> Map:
    """The map the other way."""
    axis, scale, shift = coord_map
    return axis, 1 / scale, -shift / scale


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """The map from one blob to another, by way of a blob that both come from. Raises RuntimeError where there is none.

    All ways between two blobs are taken to give the same.
    """
    above = _maps_from_ancestors(top_from)
    found: list[Top] = []

    def meets(top: Top) -> bool:
        found.extend([top] if top in above else [])
        return top in above

    maps = _maps_from_ancestors(top_to, meets)
    if not found:
        raise RuntimeError("there is no map between the two: no layers that keep positions lead from one to the other")
    return compose(maps[found[0]], inverse(above[found[0]]))


def _maps_from_ancestors(top: Top, until: Callable[[Top], bool] = lambda top: False) -> dict[Top, Map]:
    """The maps to `top` from every blob that it comes from, nearest first, up to one that `until` names."""
    maps, waiting = {top: _SAME}, [top]
    for each in waiting:
        if until(each):
            break
        try:
            step = coord_map(each.fn)
        except UndefinedMapException:
            continue
        for bottom in each.fn.inputs[: 1 if each.fn.type_name == "Crop" else None]:
            maps[bottom] = compose(maps[each], step)
            waiting.append(bottom)
    return maps


def crop(top_from: Top, top_to: Top) -> Top:
    """A Crop of one blob to the place and size of another.

    Raises CropException where the scales differ, the first blob is too small, or the place is no whole pixel.
    """
    axis, scale, shift = coord_map_from_to(top_from, top_to)
    if not np.all(scale == 1):
        raise CropException(f"cannot crop: the blobs differ in scale by {scale}")
    if not (np.all(shift <= 0) and np.all(np.round(shift) == shift)):
        raise CropException(f"cannot crop by {-shift}: it must be whole pixels, 0 or more")
    offset = [int(each) for each in np.atleast_1d(-np.round(shift))]
    made: Top = layers.Crop(top_from, top_to, crop_param={"axis": (axis or 0) + 1, "offset": offset})
    return made
