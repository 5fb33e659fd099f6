"""Blobs as a class written for pycaffe expects them."""

from __future__ import annotations

import numpy as np

from layerkit.blob import Array, Blob, Shape
from layerkit.errors import UsageError


class CaffeAxes:
    """The lengths of a blob's first four axes under Caffe's old names; those that it lacks are 1, as in Caffe."""

    @property
    def shape(self) -> Shape:
        """The shape."""
        raise NotImplementedError

    @property
    def num(self) -> int:
        """Length of axis 0."""
        return self._length(0)

    @property
    def channels(self) -> int:
        """Length of axis 1."""
        return self._length(1)

    @property
    def height(self) -> int:
        """Length of axis 2."""
        return self._length(2)

    @property
    def width(self) -> int:
        """Length of axis 3."""
        return self._length(3)

    def _length(self, axis: int) -> int:
        return self.shape[axis] if axis < len(self.shape) else 1


class CaffeBlob(CaffeAxes):
    """One of layerkit's blobs under pycaffe's names.

    `diff` is the blob's own only where the net asks for it or has set it (`own_diff`), otherwise zeros that nobody
    reads, so that a class that writes more than it is asked for disturbs nothing.
    """

    def __init__(self, blob: Blob, *, own_diff: bool = False, fixed: bool = False):
        self._fixed = fixed
        self.show(blob, own_diff=own_diff)

    def show(self, blob: Blob, *, own_diff: bool = False) -> None:
        """Stand for another blob from now on."""
        self._blob = blob
        self._own_diff = own_diff
        self._diff: Array | None = None

    @property
    def data(self) -> Array:
        """The values, to read and to write into."""
        return self._blob.data

    @property
    def diff(self) -> Array:
        """The gradient, to read and to write into."""
        if self._own_diff:
            return self._blob.diff
        if self._diff is None or self._diff.shape != self.shape:
            self._diff = np.zeros(self.shape, self._blob.dtype)
        return self._diff

    @property
    def shape(self) -> Shape:
        """The shape."""
        return self._blob.shape

    @property
    def count(self) -> int:
        """How many elements there are."""
        return self._blob.count

    def reshape(self, *shape: int) -> None:
        """Take another shape; the contents are lost. Raises UsageError for a bottom or a weight."""
        wanted = tuple(int(length) for length in shape)
        if self._fixed and wanted != self.shape:
            raise UsageError("only tops can be reshaped")
        self._blob.resize(wanted)


class CaffeBlobs(list[CaffeBlob]):
    """`self.blobs` of a class: the layer's weights. `add_blob` makes one, of zeros, during `setup`."""

    open = True
    """Whether weights can still be added."""

    def add_blob(self, *shape: int) -> None:
        """Add a weight of this shape. Raises UsageError after `setup`."""
        if not self.open:
            raise UsageError("weights can be added in setup only")
        self.append(CaffeBlob(Blob(tuple(int(length) for length in shape)), fixed=True))
