"""Blob: data and diff of a net's blob or weight, under pycaffe's names."""

from __future__ import annotations

from collections.abc import Callable

from layerkit import blob as blobs
from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import UsageError
from layerkit.layers.python.blobs import CaffeAxes


class Blob(CaffeAxes):
    """A blob of a net: `data` and `diff` are live views, to read and to write into.

    Source: pycaffe's Blob (_caffe.cpp).
    """

    def __init__(
        self,
        find: Callable[[], blobs.Blob],
        *,
        diff: Callable[[], Array] | None = None,
        name: str = "",
        given: bool = False,
    ):
        """What `find` gives, each time anew; `diff` where that lies elsewhere. `given` ones can be reshaped."""
        self._find = find
        self._elsewhere = diff
        self._name = name
        self._given = given

    @property
    def data(self) -> Array:
        """The values."""
        return self._find().data

    @property
    def diff(self) -> Array:
        """The gradient of the loss with respect to the values."""
        return self._find().diff if self._elsewhere is None else self._elsewhere()

    @property
    def shape(self) -> Shape:
        """The shape."""
        return self._find().shape

    @property
    def count(self) -> int:
        """How many elements there are."""
        return self._find().count

    def reshape(self, *shape: int) -> None:
        """Give an input another shape, to which `net.reshape` or the next forward pass fits the net.

        Raises UsageError for a blob that is no input of the net: its shape follows from theirs.
        """
        wanted = tuple(int(length) for length in shape)
        if wanted == self.shape:
            return
        if not self._given:
            raise UsageError(
                f"blob {self._name!r} cannot be reshaped to {shape_text(wanted)}: its shape follows from the net; "
                "reshape the net's inputs"
            )
        self._find().resize(wanted)

    def __repr__(self) -> str:
        return f"<Blob {self._name!r} {shape_text(self.shape)}>"
