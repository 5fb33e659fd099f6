"""What the sources have in common: the stream of their samples, cut into batches, and what is done to images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape
from layerkit.errors import ShapeError, UsageError
from layerkit.layer import LayerParams, Plan, SampleInfo, Scratch, SourceLayer, State

Opened = TypeVar("Opened")


class BatchedSource(SourceLayer):
    """Base of the sources whose samples have numbers, from 0 on; `params.batch_size` is N.

    In the train phase every batch is full and the samples go round for ever: the stream is epoch after epoch, each in
    an order that depends on the seed and the epoch alone. In other phases a pass over the samples ends with a batch of
    those left over, and the next pass begins at the first again.
    """

    _epoch: tuple[int, Array] | None = None  # the current epoch and its order

    def length(self) -> int:
        """How many samples there are; after `open`. Raises UsageError before."""
        raise NotImplementedError(f"{type(self).__name__} does not know its length")

    def shuffles(self) -> bool:
        """Whether each epoch has an order of its own."""
        return bool(self.params.shuffle)

    def plan_batches(self, shapes: Sequence[Shape], length: int | None, scratch: Sequence[Scratch] = ()) -> Plan:
        """The plan for tops of samples of these shapes; `length` is None where only the opened files can tell."""
        n = self.params.batch_size
        return Plan(
            tops=[(n, *shape) for shape in shapes],
            scratch=[Scratch("indices", (n,), "int64"), *scratch],
            state=[State("consumed", (1,), "int64")],
            dynamic=self.phase != "train" and (length is None or length % n != 0),
        )

    def batches(self) -> int:
        """Forward passes that read every sample once; after `open`."""
        return -(-self.length() // int(self.params.batch_size))

    def close(self) -> None:
        self._epoch = None

    def start(self) -> int:
        """How far into the stream the first batch begins."""
        return 0

    def next_indices(self) -> Array:
        """The numbers of the next batch's samples, (n,), with n = N or, at the end of a pass, fewer."""
        length, position = self.length(), self.start() + int(self.state.consumed[0])
        count = self.params.batch_size
        if self.phase != "train":
            count = min(count, length - position % length)
        indices: Array = self.scratch.indices[:count]
        done = 0
        while done < count:
            epoch, start = divmod(position + done, length)
            part = self._order(epoch)[start : start + count - done]
            indices[done : done + len(part)] = part
            done += len(part)
        return indices

    def advance(self, indices: Array) -> None:
        """Note that these samples, the next batch, were read."""
        self.state.consumed[0] += len(indices)

    def draws(self, row: int, index: int) -> np.random.Generator:
        """The generator for sample `index` in row `row` of the next batch: a function of seed, epoch and index."""
        epoch = (self.start() + int(self.state.consumed[0]) + row) // self.length()
        return self.generator(epoch, index)

    def order(self, epoch: int) -> Array:
        """An epoch's order: a pure function of the seed and the epoch, so that nothing else need be saved."""
        return self.generator(epoch).permutation(self.length()) if self.shuffles() else np.arange(self.length())

    def _order(self, epoch: int) -> Array:
        if self._epoch is None or (self.shuffles() and self._epoch[0] != epoch):
            self._epoch = epoch, self.order(epoch)
        return self._epoch[1]


def opened(source: SourceLayer, what: Opened | None) -> Opened:
    """What the source's `open` made. Raises UsageError where it did not run."""
    if what is None:
        raise UsageError(f"the source {source.name!r} is not open")
    return what


class ImageParams(LayerParams):
    """What is done to images, in this order: cropped, mirrored, the mean subtracted, scaled."""

    scale: float = Field(1.0, description="What each value is multiplied by, after the mean is subtracted.")
    mean_value: list[float] = Field(
        [], description="What is subtracted: one value, or one a channel in the net's order, blue, green, red."
    )
    mirror: bool = Field(False, description="Whether half of the images, at random, are turned left to right.")
    crop_size: int = Field(0, ge=0, description="Side of the square that is used of an image; 0 uses all of it.")


def describe_images(params: ImageParams, shape: Shape, *, bgr: bool = True) -> SampleInfo:
    """What images of a shape (C, H, W) are once transformed; stored are red, green and blue."""
    order = "BGR" if bgr else "RGB"
    return SampleInfo(
        shape=list(shape),
        scale=params.scale,
        mean_value=params.mean_value,
        channel_order=order,  # type: ignore[arg-type]
    )


def crop(image: Array, size: int, rng: np.random.Generator | None) -> Array:
    """A square of this side out of an image (C, H, W): where `rng` says, or the middle. Raises ShapeError."""
    room = [length - size for length in image.shape[1:]]
    if min(room) < 0:
        height, width = image.shape[1:]
        raise ShapeError(f"crop_size {size} does not fit into an image of {height}x{width}", "crop_size")
    y, x = (int(rng.integers(each + 1)) if rng is not None else each // 2 for each in room)
    return image[:, y : y + size, x : x + size]
