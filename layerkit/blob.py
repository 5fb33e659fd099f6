"""Blob: the array that flows between layers, and the gradient that flows back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from layerkit.errors import ShapeError, UnknownNameError

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


class Blob:
    """An array `data` and its gradient `diff` of the same shape.

    `data` and `diff` are live views of the blob's storage: write into them, do not rebind them. With
    `channels_last` a blob of four or five axes (N, C, spatial...) lies as (N, spatial..., C) in memory while
    `data` and `diff` still read (N, C, spatial...), so no code may assume that they are contiguous.
    `diff` is made (of zeros) when it is first asked for.

    Source: Caffe's Blob.
    """

    __slots__ = ("_bound", "_data", "_diff", "_whole_data", "_whole_diff", "channels_last")

    def __init__(self, shape: Sequence[int] = (), dtype: npt.DTypeLike = np.float32, *, channels_last: bool = False):
        self.channels_last = channels_last
        self._bound = math.prod(shape)
        self._whole_data: Array = np.zeros(self._bound, dtype)
        self._whole_diff: Array | None = None
        self._data = self._view(self._whole_data, tuple(shape))
        self._diff: Array | None = None

    @classmethod
    def of(cls, data: Array, diff: Array | None = None) -> Blob:
        """A blob over arrays that lie elsewhere (a shared weight, a slice of a flat array); it cannot grow."""
        blob = cls.__new__(cls)
        blob.channels_last = False
        blob._bound = data.size
        blob._whole_data = blob._data = data
        blob._whole_diff = blob._diff = diff
        return blob

    @property
    def data(self) -> Array:
        """The values: a live view of shape `shape`."""
        return self._data

    @property
    def diff(self) -> Array:
        """The gradient of the loss with respect to `data`: a live view of shape `shape`."""
        if self._diff is None:
            self._whole_diff = np.zeros(self._bound, self._data.dtype)
            self._diff = self._view(self._whole_diff, self.shape)
        return self._diff

    @property
    def has_diff(self) -> bool:
        """Whether `diff` was ever asked for; asking makes it."""
        return self._diff is not None

    @property
    def shape(self) -> Shape:
        """The shape of `data` and `diff`."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type of `data` and `diff`."""
        return self.data.dtype

    @property
    def count(self) -> int:
        """How many elements `data` has."""
        return self.data.size

    def reshape(self, *shape: int) -> None:
        """Give the blob another shape, within its first size: storage is kept, contents are as they fall.

        Raises ShapeError if the new shape needs more elements than the blob was made for.
        """
        if shape == self.shape:
            return
        if math.prod(shape) > self._bound or self._whole_data.ndim != 1:
            raise ShapeError(f"a blob made for {self._bound} elements cannot take the shape {shape_text(shape)}")
        self._data = self._view(self._whole_data, shape)
        if self._whole_diff is not None:
            self._diff = self._view(self._whole_diff, shape)

    def resize(self, shape: Shape) -> None:
        """As `reshape`, but take up more memory where needed; views handed out before then no longer follow."""
        if math.prod(shape) > self._bound:
            self._bound = math.prod(shape)
            self._whole_data = np.zeros(self._bound, self.dtype)
            self._whole_diff = None if self._whole_diff is None else np.zeros(self._bound, self.dtype)
            self._data = self._view(self._whole_data, shape)
            self._diff = None if self._whole_diff is None else self._view(self._whole_diff, shape)
        self.reshape(*shape)

    def _view(self, whole: Array, shape: Shape) -> Array:
        part = whole[: math.prod(shape)]
        if not self.channels_last or len(shape) < 4:
            return part.reshape(shape)
        n, c, *spatial = shape
        return np.moveaxis(part.reshape(n, *spatial, c), -1, 1)  # (N, spatial..., C) read as (N, C, spatial...)

    def __repr__(self) -> str:
        return f"Blob({shape_text(self.shape)}, {self.dtype})"


class Alias(Blob):
    """A blob whose data is another's, with a diff of its own or a third blob's.

    So each reader of a blob that several layers read has its own diff, and a name with in-place versions shows the
    last version's data and the first version's diff.
    """

    __slots__ = ("_data_of", "_diff_of")

    def __init__(self, data_of: Blob, diff_of: Blob | None = None):
        self._data_of = data_of
        self._diff_of = diff_of
        self._whole_diff = None
        self._diff = None
        self.channels_last = data_of.channels_last

    @property
    def data(self) -> Array:
        """The other blob's data."""
        return self._data_of.data

    @property
    def diff(self) -> Array:
        """The third blob's diff, or this alias's own."""
        if self._diff_of is not None:
            return self._diff_of.diff
        shape = self.shape
        if self._whole_diff is None or self._whole_diff.size < self.count:
            self._whole_diff = np.zeros(self.count, self.dtype)
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

    def resize(self, shape: Shape) -> None:
        """Resize the blob whose data this is."""
        self._data_of.resize(shape)
        if self._diff_of is not None:
            self._diff_of.resize(shape)


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
