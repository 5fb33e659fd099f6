"""Transform: one thing that is done to samples on their way to the net; Layout and Samples: what it is told of them.

A transform works on a whole batch at once. What it draws is a function of (seed, epoch, index of the sample) and of its
place in the list, so that a sample is treated the same in whatever batch, process or resumed run it turns up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from layerkit.blob import Array, Shape, shape_text
from layerkit.datasets.draws import Draws
from layerkit.datasets.picture import Picture
from layerkit.errors import ShapeError
from layerkit.fields import Tagged

BYTE = np.dtype(np.uint8)
FLOAT = np.dtype(np.float32)


@dataclass(frozen=True)
class Layout:
    """What samples are at one point of their way: the shape and type of each array of a sample, data first.

    A height or width of 0 is one that differs from sample to sample.
    """

    shapes: tuple[Shape, ...]
    dtypes: tuple[np.dtype[Any], ...]
    classes: int = 0
    """How many classes the dataset names; 0 where it names none."""

    @property
    def settled(self) -> bool:
        """Whether all samples have one shape."""
        return 0 not in self.shapes[0]

    def image(self) -> tuple[int, int, int]:
        """Channels, height and width of the data. Raises ShapeError for samples that are no images."""
        shape = self.shapes[0]
        if len(shape) != 3:
            what = f"samples of shape {shape_text(shape)}" if shape else "samples that are single numbers"
            raise ShapeError(f"it takes images of channels x height x width, not {what}")
        return shape[0], shape[1], shape[2]

    def expect_no_map(self) -> None:
        """Raise ShapeError where another array says something of each pixel, which would not move along."""
        for shape in self.shapes[1:]:
            if len(shape) >= 2 and shape[-2:] == self.shapes[0][-2:]:
                what = f"the label map of {shape_text(shape)}"
                raise ShapeError(f"it moves the pixels of the data only, and {what} would no longer fit them")

    def with_data(self, shape: Shape | None = None, dtype: np.dtype[Any] | None = None) -> Layout:
        """The same with another shape or type of the data."""
        shapes = self.shapes if shape is None else (shape, *self.shapes[1:])
        dtypes = self.dtypes if dtype is None else (dtype, *self.dtypes[1:])
        return replace(self, shapes=shapes, dtypes=dtypes)


@dataclass
class Samples:
    """A batch on its way: `arrays` are (k, *sample shape) each, data first; a transform puts others in their place."""

    arrays: list[Array]
    epochs: Array
    """Which epoch each sample is read in, int64 (k,)."""
    indices: Array
    """The number of each sample in its source, int64 (k,)."""
    draws: Draws = field(default_factory=Draws)
    classes: int = 0
    """How many classes the dataset names; 0 where it names none."""
    place: Callable[[int], str] = "sample {}".format
    """How messages name a sample, by its number."""
    position: int = 0
    """The transform's place in the list, from 1 on; its numbers differ from those of any other place."""
    own: bool = False
    """Whether the data may be written into: it is an array that a transform has made."""
    picture: Picture | None = None
    """The data where it is one image that was not made an array yet; `data` makes it one."""
    whole: Samples | None = None
    """The batch that this one sample belongs to: its numbers are drawn with all others', which takes no longer."""
    row: int = 0
    """Its place there."""
    room: Array | None = None
    """Where data of this shape that has become floats may lie, so that it need not be copied once more."""

    _kept: dict[tuple[int, int], Array] = field(default_factory=dict)

    @property
    def data(self) -> Array:
        """The first array, (k, ...): to read; see `writable`."""
        if self.picture is not None:
            self.arrays[0], self.picture = self.picture.pixels()[np.newaxis], None
        return self.arrays[0]

    @data.setter
    def data(self, made: Array) -> None:
        self.arrays[0], self.picture, self.own = made, None, True

    @property
    def shape(self) -> Shape:
        """The shape of one sample's data."""
        return self.arrays[0].shape[1:] if self.picture is None else self.picture.shape

    def writable(self) -> Array:
        """The data, to be written into."""
        if not self.own:
            self.data = self.data.copy(order="K")
        return self.arrays[0]

    def floats(self, shape: Shape) -> Array:
        """An array to write floats of this shape into, which is to become the data."""
        room, self.room = self.room, None
        return room if room is not None and room.shape == shape else np.empty(shape, FLOAT)

    def uniform(self, count: int, stream: int = 0) -> Array:
        """`count` numbers in [0, 1) a sample, (k, count); another `stream` gives others."""
        if self.whole is not None:
            return self.whole._drawn(count, self._salt(stream))[self.row : self.row + 1]
        return self.draws.uniform(self.epochs, self.indices, count, self._salt(stream))

    def _drawn(self, count: int, salt: int) -> Array:
        """Numbers of all samples, which are kept for the next one that asks."""
        key = count, salt
        if key not in self._kept:
            self._kept[key] = self.draws.uniform(self.epochs, self.indices, count, salt)
        return self._kept[key]

    def normal(self, count: int, stream: int = 0) -> Array:
        """As `uniform`, but normal with mean 0 and standard deviation 1."""
        return self.draws.normal(self.epochs, self.indices, count, self._salt(stream))

    def beta(self, alpha: float, stream: int = 0) -> Array:
        """A number of Beta(alpha, alpha) a sample, (k,)."""
        return self.draws.beta(self.epochs, self.indices, alpha, self._salt(stream))

    def only(self, rows: Array) -> Samples:
        """These rows alone, for drawing."""
        return replace(self, arrays=[], epochs=self.epochs[rows], indices=self.indices[rows])

    def _salt(self, stream: int) -> int:
        return self.position << 8 | stream


class Transform(Tagged):
    """Base of the transforms. Each is a class of its own with a `type`, described fields, `plan` and `apply`."""

    random: ClassVar[bool] = False
    """Whether it draws, and so acts in the train phase only."""
    of_labels: ClassVar[bool] = False
    """Whether it leaves the data as it is."""

    type: str = ""

    def plan(self, layout: Layout) -> Layout:
        """What samples are after it. Pure. Raises ShapeError for samples that it cannot serve."""
        return layout

    def apply(self, samples: Samples) -> None:
        """Put what it makes of the batch in its place. Writes into no array that it was given, see Samples.own.

        Raises ShapeError for an image that is too small, DataError for a label that is no class.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what it does")

    def expect_order(self, *names: str) -> None:
        """Raise ValueError unless each of these fields, where it is two numbers, begins with the smaller one."""
        for name in names:
            ends = getattr(self, name)
            if len(ends) == 2 and ends[0] > ends[1]:
                raise ValueError(f"{name} must begin with the smaller number, but is [{ends[0]:g}, {ends[1]:g}]")

    def outside_training(self) -> Transform | None:
        """What takes its place in phases other than train: itself, or nothing if it draws."""
        return None if self.random else self


def channels_last(images: Array) -> bool:
    """Whether images (k, C, H, W) lie in memory with the channels of a pixel beside each other."""
    return images.shape[1] > 1 and images.transpose(0, 2, 3, 1).flags.c_contiguous


def shape_words(shape: Shape) -> str:
    """A sample's shape as people write it, with letters for a height or width that may be any: `3xHxW`."""
    if 0 not in shape:
        return shape_text(shape)
    letters = {len(shape) - 2: "H", len(shape) - 1: "W"}
    return "x".join(str(length or letters.get(i, "?")) for i, length in enumerate(shape))


def channels_hint(shape: Shape) -> str:
    """What to do with samples of this shape if they look like images with their channels last; or nothing."""
    if len(shape) != 3 or shape[-1] not in (1, 3) or shape[0] in (1, 3):
        return ""
    return "; the channels seem to come last: x.transpose(0, 3, 1, 2) puts them first"


def two(value: Sequence[float], low: float | None = None) -> tuple[float, float]:
    """A range that is written as one number or two: of one number x it is -x..x, or `low`..x."""
    if len(value) == 2:
        return value[0], value[1]
    return (-value[0] if low is None else low), value[0]


def as_value(fill: float, dtype: np.dtype[Any]) -> Any:
    """A number as a value of this type: the nearest one that it has."""
    if dtype.kind in "iu":
        ends = np.iinfo(dtype)
        fill = min(max(round(fill), ends.min), ends.max)
    return dtype.type(fill)
