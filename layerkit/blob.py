"""Blob: the array that flows between layers, and the gradient that flows back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self, overload

import numpy as np
import numpy.typing as npt

from layerkit.errors import ShapeError, UnknownNameError
from layerkit.words import counted

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


class Stamp:
    """When some arrays changed, so that what was computed from them is computed anew only where it must be."""

    __slots__ = ("handed_out", "number")

    def __init__(self) -> None:
        self.number = 0
        """Another number means other values."""
        self.handed_out = False
        """Whether somebody has the arrays, and so may write into them at any time."""

    def change(self) -> None:
        """Note that the arrays have changed."""
        self.number += 1


ALIGNMENT = 64
"""Bytes: arrays begin at multiples of this, a cache line."""


def aligned(size: int, dtype: npt.DTypeLike = np.float32) -> Array:
    """A new array of `size` zeros, one axis, that begins at a multiple of `ALIGNMENT`."""
    item = np.dtype(dtype).itemsize
    room = np.zeros(size * item + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size * item].view(dtype)


def extent(arrays: Iterable[Array]) -> int:
    """Bytes that arrays take up together: of those that are views of one array, from the first to the last."""
    bounds: dict[int, tuple[int, int]] = {}
    for array in arrays:
        if array.size:
            low, high = np.lib.array_utils.byte_bounds(array)
            whole = id(array if array.base is None else array.base)
            first, last = bounds.get(whole, (low, high))
            bounds[whole] = min(first, low), max(last, high)
    return int(sum(last - first for first, last in bounds.values()))


def laid_out(whole: Array, shape: Shape, channels_last: bool) -> Array:
    """The beginning of an array of one axis as a view of this shape; see Blob for what `channels_last` does."""
    part = whole[: math.prod(shape)]
    if not channels_last or len(shape) not in (4, 5):
        return part.reshape(shape)
    n, c, *spatial = shape
    return np.moveaxis(part.reshape(n, *spatial, c), -1, 1)  # (N, spatial..., C) read as (N, C, spatial...)


class Blob:
    """An array `data` and its gradient `diff` of the same shape.

    `data` and `diff` are live views of the blob's storage: write into them, do not rebind them. With
    `channels_last` a blob of four or five axes (N, C, spatial...) lies as (N, spatial..., C) in memory while
    `data` and `diff` still read (N, C, spatial...), so no code may assume that they are contiguous.
    `diff` is made (of zeros) when it is first asked for.

    Source: Caffe's Blob.
    """

    __slots__ = ("_bound", "_data", "_diff", "_whole_data", "_whole_diff", "channels_last", "moves")

    def __init__(
        self,
        shape: Sequence[int] = (),
        dtype: npt.DTypeLike = np.float32,
        *,
        channels_last: bool = False,
        data: Array | None = None,
        diff: Array | None = None,
    ):
        """A blob of zeros; with `data` or `diff`, arrays of one axis and the right length, over these."""
        self.channels_last = channels_last
        self.moves = 0
        """How often the blob took up more memory."""
        self._bound = math.prod(shape)
        self._whole_data: Array = aligned(self._bound, dtype) if data is None else data
        self._whole_diff = diff
        self._data = self._view(self._whole_data, tuple(shape))
        self._diff: Array | None = None if diff is None else self._view(diff, tuple(shape))

    @classmethod
    def of(cls, data: Array, diff: Array | None = None) -> Self:
        """A blob over arrays that lie elsewhere (a shared weight, a slice of a flat array); it cannot grow."""
        blob = cls.__new__(cls)
        blob.channels_last, blob.moves = False, 0
        blob._bound = data.size
        blob._whole_data = blob._data = data
        blob._whole_diff = blob._diff = diff
        return blob

    @property
    def data(self) -> Array:
        """The values: a live view of shape `shape`."""
        return self._data

    @property
    def values(self) -> Array:
        """The same as `data`, for those who only read, or who tell `stamp` what they wrote."""
        return self._data

    @property
    def stamp(self) -> Stamp | None:
        """When the values changed, where somebody keeps account of it; None where they may have changed at any time."""
        return None

    def note_change(self) -> None:
        """Tell the stamp, if there is one, that `values` were written to."""
        if self.stamp is not None:
            self.stamp.change()

    @property
    def diff(self) -> Array:
        """The gradient of the loss with respect to `data`: a live view of shape `shape`."""
        if self._diff is None:
            self._whole_diff = aligned(self._bound, self._data.dtype)
            self._diff = self._view(self._whole_diff, self.shape)
        return self._diff

    @property
    def has_diff(self) -> bool:
        """Whether `diff` was ever asked for; asking makes it."""
        return self._diff is not None

    @property
    def shape(self) -> Shape:
        """The shape of `data` and `diff`."""
        return self.values.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type of `data` and `diff`."""
        return self.values.dtype

    @property
    def count(self) -> int:
        """How many elements `data` has."""
        return self.values.size

    def reshape(self, *shape: int) -> None:
        """Give the blob another shape, within its first size: storage is kept, contents are as they fall.

        Raises ShapeError if the new shape needs more elements than the blob was made for.
        """
        if shape == self.shape:
            return
        if math.prod(shape) > self._bound or self._whole_data.ndim != 1:
            raise ShapeError(
                f"a blob made for {counted(self._bound, 'element')} cannot take the shape {shape_text(shape)}"
            )
        self._data = self._view(self._whole_data, shape)
        if self._whole_diff is not None:
            self._diff = self._view(self._whole_diff, shape)

    @property
    def bound(self) -> int:
        """How many elements there is room for."""
        return self._bound

    def fits(self, shape: Shape) -> bool:
        """Whether the blob can take a shape without more memory."""
        return math.prod(shape) <= self.bound

    @property
    def arrays(self) -> list[Array]:
        """The arrays of one axis that the blob's data and diff lie in, as far as they are its own."""
        return [each for each in (self._whole_data, self._whole_diff) if each is not None]

    def resize(self, shape: Shape) -> bool:
        """As `reshape`, but take up more memory where needed; views handed out before then no longer follow.

        Returns whether it did.
        """
        grows = not self.fits(shape)
        if grows:
            bound = math.prod(shape)
            data = aligned(bound, self.dtype)
            diff = None if self._whole_diff is None else aligned(bound, self.dtype)
            self._bound, self._whole_data, self._whole_diff = bound, data, diff
            self.moves += 1
            self._data = self._view(self._whole_data, shape)
            self._diff = None if self._whole_diff is None else self._view(self._whole_diff, shape)
        self.reshape(*shape)
        return grows

    def _view(self, whole: Array, shape: Shape) -> Array:
        return laid_out(whole, shape, self.channels_last)

    def __repr__(self) -> str:
        return f"Blob({shape_text(self.shape)}, {self.dtype})"


class Alias(Blob):
    """A blob whose data is another's, with a diff of its own or a third blob's.

    So each reader of a blob that several layers read has its own diff, and a name with in-place versions shows the
    last version's data and the first version's diff.
    """

    __slots__ = ("_data_of", "_diff_of")

    def __init__(self, data_of: Blob, diff_of: Blob | None = None, *, whole_diff: Array | None = None):
        self._data_of = data_of
        self._diff_of = diff_of
        self.moves = 0
        self._whole_diff = whole_diff
        self._diff = None
        self.channels_last = data_of.channels_last

    @property
    def data(self) -> Array:
        """The other blob's data."""
        return self._data_of.data

    @property
    def values(self) -> Array:
        """The other blob's data."""
        return self._data_of.values

    @property
    def diff(self) -> Array:
        """The third blob's diff, or this alias's own."""
        if self._diff_of is not None:
            return self._diff_of.diff
        shape = self.shape
        if self._whole_diff is None or self._whole_diff.size < self.count:
            self._whole_diff = aligned(max(self.count, self._data_of.bound), self.dtype)
            self._diff = None
        if self._diff is None or self._diff.shape != shape:
            self._diff = self._view(self._whole_diff, shape)
        return self._diff

    @property
    def has_diff(self) -> bool:
        """Whether the diff was ever asked for."""
        return self._diff is not None if self._diff_of is None else self._diff_of.has_diff

    def reshape(self, *shape: int) -> None:
        """Reshape the blob whose data this is."""
        self._data_of.reshape(*shape)
        if self._diff_of is not None:
            self._diff_of.reshape(*shape)

    @property
    def bound(self) -> int:
        """How many elements the blob whose data this is has room for."""
        return self._data_of.bound

    @property
    def arrays(self) -> list[Array]:
        """The array that the alias's own diff lies in, if there is one."""
        return [] if self._whole_diff is None else [self._whole_diff]

    def resize(self, shape: Shape) -> bool:
        """Resize the blob whose data this is; returns whether it took up more memory."""
        moved = self._data_of.resize(shape)
        return (self._diff_of is not None and self._diff_of.resize(shape)) or moved


class WeightBlob(Blob):
    """A weight: whoever takes its `data` may write into it at any time, which its stamp notes."""

    __slots__ = ("_stamp",)
    _stamp: Stamp

    @classmethod
    def stamped(cls, stamp: Stamp, data: Array, diff: Array | None = None) -> WeightBlob:
        """A weight over arrays that lie elsewhere."""
        blob = cls.of(data, diff)
        blob._stamp = stamp
        return blob

    @property
    def data(self) -> Array:
        """The values: a live view of shape `shape`."""
        self._stamp.handed_out = True
        return self._data

    @property
    def stamp(self) -> Stamp:
        """When the values changed."""
        return self._stamp


class Weights(Sequence[Blob]):
    """A layer's weights in Caffe's order, also by name: `weights[0]` and `weights.weight` are the same blob."""

    __slots__ = ("_blobs",)

    def __init__(self, blobs: dict[str, Blob] | None = None):
        self._blobs = dict(blobs or {})

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in Caffe's order."""
        return tuple(self._blobs)

    def items(self) -> Iterator[tuple[str, Blob]]:
        """Pairs of name and blob, in Caffe's order."""
        return iter(self._blobs.items())

    @overload
    def __getitem__(self, key: int | str) -> Blob: ...
    @overload
    def __getitem__(self, key: slice) -> list[Blob]: ...
    def __getitem__(self, key: int | str | slice) -> Blob | list[Blob]:
        if not isinstance(key, str):
            return list(self._blobs.values())[key]
        if key not in self._blobs:
            raise UnknownNameError("weight", key, self._blobs)
        return self._blobs[key]

    def __getattr__(self, name: str) -> Blob:
        try:
            return self._blobs[name]
        except KeyError:
            raise AttributeError(
                f"there is no weight {name!r}; there are: {', '.join(self._blobs) or 'none'}"
            ) from None

    def __len__(self) -> int:
        return len(self._blobs)

    def __repr__(self) -> str:
        return f"Weights({', '.join(f'{name}: {shape_text(blob.shape)}' for name, blob in self._blobs.items())})"


def shape_text(shape: Sequence[int]) -> str:
    """A shape as people write it: `64x3x32x32`, `scalar` for no axes."""
    return "x".join(map(str, shape)) or "scalar"
