"""Windows that slide over the spatial axes: where they lie, and how they become the columns of a matrix.

Convolution and Pooling (and their relatives) see the bottom through windows: window j of an axis covers the elements
j * stride - pad + k * dilation for k = 0 .. kernel - 1; those that fall outside the bottom are padding.

Source: Caffe's base_conv_layer.cpp, im2col.cpp and pooling_layer.cpp.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import LayerParams
from layerkit.words import counted

Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
Index = tuple[Any, ...]

BUFFER = 1 << 19
"""Elements of a bottom that windows are slid over at a time, at least one image: about a cache's worth."""


class WindowParams(LayerParams):
    """How windows slide: kernel, stride and pad, each once for all spatial axes, once an axis, or as _h and _w."""

    kernel_size: list[Positive] = Field([], description="Kernel size in elements: one value, or one per spatial axis.")
    kernel_h: Positive | None = Field(None, description="Kernel height, with kernel_w; two spatial axes only.")
    kernel_w: Positive | None = Field(None, description="Kernel width, with kernel_h; two spatial axes only.")
    stride: list[Positive] = Field([], description="Step between windows: one value (1), or one per spatial axis.")
    stride_h: Positive | None = Field(None, description="Step downwards, with stride_w; two spatial axes only.")
    stride_w: Positive | None = Field(None, description="Step to the right, with stride_h; two spatial axes only.")
    pad: list[NotNegative] = Field([], description="Padding on each side: one value (0), or one per spatial axis.")
    pad_h: NotNegative | None = Field(None, description="Padding above and below; two spatial axes only.")
    pad_w: NotNegative | None = Field(None, description="Padding left and right; two spatial axes only.")


class Step(NamedTuple):
    """One element of the kernel: indices of the windows in which it meets the bottom, and of where it does."""

    row: Index
    """Its rows in the columns that im2col makes."""
    windows: Index
    """On the last axes of an array (..., count...)."""
    bottom: Index
    """On the last axes of an array (..., size...)."""
    partial: bool
    """Whether in some windows this element falls into the padding."""


@dataclass(frozen=True)
class Windows:
    """`count` windows over spatial axes of sizes `size`; one number per spatial axis everywhere."""

    size: Shape
    count: Shape
    kernel: Shape
    stride: Shape
    pad: Shape
    dilation: Shape

    @property
    def steps(self) -> tuple[Step, ...]:
        """The kernel's elements in scan order (row by row)."""
        return _steps(self)

    @property
    def areas(self) -> Array:
        """How many elements each window covers, padding included but nothing beyond it, of shape (count...)."""
        sides = []
        for size, count, kernel, stride, pad in zip(
            self.size, self.count, self.kernel, self.stride, self.pad, strict=True
        ):
            start = np.arange(count) * stride - pad
            sides.append(np.minimum(start + kernel, size + pad) - start)
        return functools.reduce(np.multiply.outer, sides)

    @property
    def pointwise(self) -> bool:
        """Whether the windows are the elements themselves, so that the columns are the images."""
        return self.count == self.size and math.prod(self.kernel) == 1 and not any(self.pad)


@functools.lru_cache(maxsize=256)
def _steps(windows: Windows) -> tuple[Step, ...]:
    axes = zip(windows.size, windows.count, windows.stride, windows.pad, windows.kernel, windows.dilation, strict=True)
    along = [
        [_reach(k * dilation - pad, size, count, stride) for k in range(kernel)]
        for size, count, stride, pad, kernel, dilation in axes
    ]
    steps = []
    for kernel in itertools.product(*(range(k) for k in windows.kernel)):
        reached = [along[axis][k] for axis, k in enumerate(kernel)]
        partial = any(to.stop - to.start < count for (to, _), count in zip(reached, windows.count, strict=True))
        to, bottom = (..., *(to for to, _ in reached)), (..., *(bottom for _, bottom in reached))
        steps.append(Step((slice(None), *kernel), to, bottom, partial))
    return tuple(steps)


def _reach(offset: int, size: int, count: int, stride: int) -> tuple[slice, slice]:
    """The windows j with 0 <= j * stride + offset < size, and the elements j * stride + offset they meet."""
    first = max(0, -(offset // stride))  # ceil(-offset / stride)
    last = min(count - 1, (size - 1 - offset) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    return slice(first, last + 1), slice(first * stride + offset, last * stride + offset + 1, stride)


def per_axis(params: LayerParams, field: str, axes: int, default: int | None = None) -> Shape:
    """The parameter `field` for each of `axes` spatial axes. Raises ShapeError where it is given in a wrong way."""
    values: list[int] = getattr(params, field)
    base = field.removesuffix("_size")
    pair = [getattr(params, f"{base}_{side}", None) for side in "hw"]
    if pair != [None, None]:
        if axes != 2:
            raise ShapeError(
                f"{base}_h and {base}_w are for two spatial axes, not for {axes}; use {field}", f"{base}_h"
            )
        if values:
            raise ShapeError(f"give either {field} or {base}_h and {base}_w, not both", field)
        if None in pair and base != "pad":
            raise ShapeError(f"{base}_h and {base}_w must be given together", f"{base}_{'hw'[pair[0] is None]}")
        return tuple(value or 0 for value in pair)
    if len(values) == axes:
        return tuple(values)
    if len(values) > 1:
        for_axes = counted(axes, "spatial axis", "spatial axes")
        raise ShapeError(f"{field} has {len(values)} values for {for_axes}; give one, or one per axis", field)
    if values:
        return tuple(values) * axes
    if default is None:
        raise ShapeError(f"{field} is missing", field)
    return (default,) * axes


def sliding(params: WindowParams, size: Shape, dilation: Shape) -> Windows:
    """All windows that fit wholly into the padded axes. Raises ShapeError where not even one does."""
    axes = len(size)
    kernel = per_axis(params, "kernel_size", axes)
    stride = per_axis(params, "stride", axes, 1)
    pad = per_axis(params, "pad", axes, 0)
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    padded = tuple(s + 2 * p for s, p in zip(size, pad, strict=True))
    if any(e > s for e, s in zip(extent, padded, strict=True)):
        raise too_large(extent, padded)
    count = tuple((s - e) // step + 1 for s, e, step in zip(padded, extent, stride, strict=True))
    return Windows(size, count, kernel, stride, pad, dilation)


def too_large(extent: Shape, padded: Shape) -> ShapeError:
    """The error for a kernel that is larger than what it slides over."""
    return ShapeError(
        f"a kernel that covers {shape_text(extent)} is larger than the padded input {shape_text(padded)}", "kernel_size"
    )


def im2col(images: Array, windows: Windows, columns: Array) -> None:
    """Lay out every window as a column: `images` (C, size..., N) -> `columns` (C, kernel..., count..., N)."""
    pixels, rows = _spatial_last(images, windows), _spatial_last(columns, windows)
    for step in windows.steps:
        row = rows[step.row]  # (C, N, count...)
        if step.partial:
            row[...] = 0  # the padding
        row[step.windows] = pixels[step.bottom]


def col2im(columns: Array, windows: Windows, images: Array) -> None:
    """The transpose of im2col: overwrite each element of `images` with the sum over all its places in `columns`."""
    pixels, rows = _spatial_last(images, windows), _spatial_last(columns, windows)
    pixels[...] = 0
    for step in windows.steps:
        pixels[step.bottom] += rows[step.row][step.windows]


def _spatial_last(array: Array, windows: Windows) -> Array:
    """A view of (..., spatial axes, N) as (..., N, spatial axes)."""
    return np.moveaxis(array, -1, -1 - len(windows.size))


def gather(ufunc: np.ufunc, x: Array, windows: Windows, y: Array, start: float) -> None:
    """y = `ufunc` over each window's elements, beginning with `start`."""
    if math.prod(windows.count) == 1:
        ufunc.reduce(x[_only(windows)], axis=tuple(range(2, x.ndim)), out=y, keepdims=True)
        return
    y[...] = start
    for few in few_images(x.shape):
        for step in windows.steps:
            part = y[few][step.windows]
            ufunc(part, x[few][step.bottom], out=part)


def scatter(y: Array, windows: Windows, x: Array) -> None:
    """The transpose of summing: add each window's y to all its elements of x."""
    if math.prod(windows.count) == 1:
        x[_only(windows)] += y
        return
    for few in few_images(x.shape):
        for step in windows.steps:
            x[few][step.bottom] += y[few][step.windows]


def few_images(shape: Shape) -> Iterator[slice]:
    """The images of a bottom in runs that a cache can hold, since each step of the windows goes over all of a run."""
    at_once = images_at_once(shape)
    return (slice(start, start + at_once) for start in range(0, shape[0], at_once))


def images_at_once(shape: Shape) -> int:
    """How many images of a bottom of this shape such a run has."""
    return max(1, min(shape[0], BUFFER // max(1, math.prod(shape[1:]))))


def _only(windows: Windows) -> Index:
    """What the only window covers: one step instead of one per kernel element."""
    return (..., *(slice(0, kernel - pad) for kernel, pad in zip(windows.kernel, windows.pad, strict=True)))
