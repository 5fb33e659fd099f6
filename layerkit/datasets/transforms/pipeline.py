"""Pipeline: all that is done to a source's samples in one phase, from what is stored to what the net gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from layerkit.blob import Array, Shape, shape_text
from layerkit.datasets.draws import Draws
from layerkit.datasets.transforms.base import Layout, Samples, Transform
from layerkit.datasets.transforms.finish import Finish
from layerkit.errors import DataError, LayerkitError, ShapeError

Batch = Array | Sequence[Array]
"""Data of samples that share a shape, (k, *shape), or of samples of their own sizes, one array each."""


class Pipeline:
    """Transforms in their order, then Caffe's crop, mirror, mean and scale; it can be sent to another process.

    `layout` says what the source stores; `shapes` what the net gets of each array, without the batch axis, a height or
    width being 0 where it differs from sample to sample.

    Raises ShapeError, naming the parameter, where the samples cannot be transformed so.
    """

    def __init__(self, layout: Layout, steps: Sequence[Transform], finish: Finish, draws: Draws | None = None):
        self.layout = layout
        self.steps = tuple(steps)
        self.finish = finish
        self.draws = draws or Draws()
        self._settled = 0 if layout.settled else len(self.steps) + 1
        """After how many steps, the last being Caffe's, all samples have one size."""
        for i, step in enumerate(self.steps):
            with _naming(i, step):
                layout = step.plan(layout)
            if layout.settled:
                self._settled = min(self._settled, i + 1)
        data = finish.plan(layout)
        self.shapes: tuple[Shape, ...] = (data, *layout.shapes[1:])

    def at(self, shape: Shape) -> Pipeline:
        """The same for samples whose data has this shape."""
        return Pipeline(self.layout.with_data(shape), self.steps, self.finish, self.draws)

    def apply(
        self,
        arrays: Sequence[Batch],
        epochs: Array,
        indices: Array,
        out: Sequence[Array],
        name: Callable[[int], str] = "sample {}".format,
    ) -> None:
        """Write transformed samples to `out`, (k, *shapes[i]) each, in any memory layout.

        `arrays` are what the source stores, data first, (k, ...) each, which stay as they are; the data may be a list
        of images that differ in size. `epochs` and `indices` say where each sample stands, int64 (k,).

        Raises ShapeError for data that does not fit; DataError for one image that does not, which `name` names by its
        index, and for a label that is no class.
        """
        data = arrays[0]
        if isinstance(data, np.ndarray):
            self._expect(data.shape[1:])
            samples = self._samples([data, *map(np.asarray, arrays[1:])], epochs, indices)
            self._run(samples, 0, out)
            return
        alone = []
        for i, image in enumerate(data):
            row = slice(i, i + 1)
            labels = [np.asarray(array)[row] for array in arrays[1:]]
            samples = self._samples([image[np.newaxis], *labels], epochs[row], indices[row])
            try:
                self._expect(image.shape)
                if self._settled > len(self.steps):
                    self._run(samples, 0, [each[row] for each in out])
                else:
                    self._walk(samples, 0, self._settled)
            except ShapeError as error:
                raise DataError(f"{name(int(indices[i]))}: {error}") from None
            alone.append(samples.arrays)
        if self._settled <= len(self.steps):
            together = [np.concatenate(parts) for parts in zip(*alone, strict=True)]
            self._run(self._samples(together, epochs, indices), self._settled, out)

    def _samples(self, arrays: list[Array], epochs: Array, indices: Array) -> Samples:
        return Samples(arrays, epochs, indices, self.draws, self.layout.classes)

    def _walk(self, samples: Samples, start: int, end: int) -> None:
        """Take these steps."""
        for i in range(start, end):
            samples.position = i + 1
            with _naming(i, self.steps[i]):
                self.steps[i].apply(samples)

    def _run(self, samples: Samples, start: int, out: Sequence[Array]) -> None:
        """Take all steps from `start` on, to the end."""
        samples.room = out[0]
        self._walk(samples, start, len(self.steps))
        samples.position = 0
        self.finish.apply(samples, out[0])
        for made, target in zip(samples.arrays[1:], out[1:], strict=True):
            np.copyto(target, made, casting="unsafe")

    def _expect(self, shape: Shape) -> None:
        """Raise ShapeError unless a sample has the shape that was planned, where that is known."""
        planned = self.layout.shapes[0]
        if len(shape) != len(planned) or any(want not in (0, have) for want, have in zip(planned, shape, strict=True)):
            raise ShapeError(f"samples are {shape_text(shape)}, but were planned as {shape_text(planned)}")


@contextmanager
def _naming(i: int, step: Any) -> Iterator[None]:
    """Name the transform in an error that is raised inside."""
    try:
        yield
    except LayerkitError as error:
        raise type(error)(f"transform[{i}] ({step.type}): {error}", *_field(error)) from None


def _field(error: LayerkitError) -> list[str]:
    return ["transform"] if isinstance(error, ShapeError) else []
