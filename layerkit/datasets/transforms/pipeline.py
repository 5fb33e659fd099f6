"""Pipeline: all that is done to a source's samples in one phase, from what is stored to what the net gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.datasets.draws import Draws
from layerkit.datasets.picture import Picture
from layerkit.datasets.transforms.base import Layout, Samples, Transform, shape_words
from layerkit.datasets.transforms.finish import Finish
from layerkit.datasets.transforms.resize import ResizedMiddle
from layerkit.errors import DataError, LayerkitError, ShapeError

_NONE = np.empty(0)  # stands where a picture is not an array yet


class Pipeline:
    """Transforms in their order, then Caffe's crop, mirror, mean and scale; it can be sent to another process.

    `layout` says what the source stores; `shapes` what the net gets of each array, without the batch axis, a height or
    width being 0 where it differs from sample to sample. Raises ShapeError, naming the parameter, where samples cannot
    be transformed so.
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

    @property
    def settled(self) -> bool:
        """Whether all samples have one size when the net gets them."""
        return 0 not in self.shapes[0]

    def at(self, shape: Shape) -> Pipeline:
        """The same for samples whose data is stored in this shape."""
        return Pipeline(self.layout.with_data(shape), self.steps, self.finish, self.draws)

    def shapes_for(self, first: Callable[[], Shape]) -> tuple[Shape, ...]:
        """`shapes`; where sizes differ, those of the sample whose data is stored in the shape that `first` gives."""
        return self.shapes if self.settled else self.at(first()).shapes

    def apply(
        self,
        arrays: Sequence[Array],
        epochs: Array,
        indices: Array,
        out: Sequence[Array],
        place: Callable[[int], str] = "sample {}".format,
    ) -> None:
        """Write transformed samples to `out`, (k, *shapes[i]) each, in any memory layout.

        `arrays` are what the source stores, data first, (k, ...) each; they stay as they are. `epochs` and `indices`
        say where each sample stands, int64 (k,). Raises ShapeError for data that does not fit, DataError for a label
        that is no class, of a sample that `place` names by its index.
        """
        self._expect(arrays[0].shape[1:])
        self._run(self._samples(list(arrays), epochs, indices, place), 0, out)

    def apply_each(
        self,
        samples: Iterable[Sequence[Array | Picture]],
        epochs: Array,
        indices: Array,
        out: Sequence[Array],
        place: Callable[[int], str] = "sample {}".format,
    ) -> None:
        """As `apply`, for samples whose data differs in size: each gives its arrays, without the batch axis.

        Raises DataError for one that does not fit, which `place` names by its index.
        """
        until = self._settled if self._settled <= len(self.steps) else 0
        whole, together = self._samples([], epochs, indices, place), []
        for i, arrays in enumerate(samples):
            row = slice(i, i + 1)
            one = self._one(arrays, whole, i)
            try:
                self._expect(one.shape)
                if until or one.shape == out[0].shape[1:]:  # these can go on together, and take little memory
                    self._walk(one, 0, until)
                    together.append((row, [one.data, *one.arrays[1:]]))
                else:
                    self._run(one, 0, [each[row] for each in out])
            except ShapeError as error:
                raise DataError(f"{place(int(indices[i]))}: {error}") from None
        if len(together) == len(indices):
            all_of_them = [np.concatenate(parts) for parts in zip(*(held for _, held in together), strict=True)]
            self._run(self._samples(all_of_them, epochs, indices, place), until, out)
            return
        for row, held in together:  # beside images of other sizes
            self._run(self._samples(held, epochs[row], indices[row], place), until, [each[row] for each in out])

    def _samples(self, arrays: list[Array], epochs: Array, indices: Array, place: Callable[[int], str]) -> Samples:
        return Samples(arrays, epochs, indices, self.draws, self.layout.classes, place)

    def _one(self, arrays: Sequence[Array | Picture], whole: Samples, row: int) -> Samples:
        """A batch of one sample, the one in this row of a whole batch."""
        held = [_NONE if isinstance(array, Picture) else np.asarray(array)[np.newaxis] for array in arrays]
        one = self._samples(held, whole.epochs[row : row + 1], whole.indices[row : row + 1], whole.place)
        one.whole, one.row = whole, row
        one.picture = arrays[0] if isinstance(arrays[0], Picture) else None
        return one

    def _walk(self, samples: Samples, start: int, end: int) -> None:
        """Take these steps."""
        i = start
        while i < end:
            step: Transform | ResizedMiddle = self.steps[i]
            both = ResizedMiddle.of(*self.steps[i : i + 2]) if i + 1 < end else None
            if both is not None:
                i, step = i + 1, both
            samples.position = i + 1
            with _naming(i, step):
                step.apply(samples)
            i += 1

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
            raise ShapeError(f"it is {shape_words(shape)}, not {shape_words(planned)} as was planned")


@contextmanager
def _naming(i: int, step: Any) -> Iterator[None]:
    """Name the transform in an error that is raised inside."""
    try:
        yield
    except LayerkitError as error:
        named = type(error)(f"transform[{i}] ({step.type}): {error}")
        named.field = "transform"
        raise named from None
