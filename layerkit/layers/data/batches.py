"""What the sources have in common whose samples have numbers: their stream, cut into batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from layerkit.blob import Shape, shape_text
from layerkit.datasets import Source
from layerkit.datasets.batches import BatchMaker
from layerkit.datasets.draws import Draws
from layerkit.datasets.stream import LastBatch
from layerkit.datasets.transforms import Pipeline
from layerkit.errors import DataError, ShapeError
from layerkit.layer import Plan, SourceLayer, State
from layerkit.layers.data.ahead import AheadSource, opened

_LOOK = 64  # headers of images that are read to tell whether they fit


class BatchedSource(AheadSource):
    """Base of the sources whose samples have numbers, from 0 on; `params.batch_size` is N.

    A subclass says by `maker` what its batches are made of. In the train phase every batch is full and the samples go
    round for ever: the stream is epoch after epoch, each in an order that depends on the seed and the epoch alone. In
    other phases a pass over the samples ends with a batch of those left over, and the next pass begins at the first
    again. `last_batch`, where a source has it, says otherwise.
    """

    _maker: BatchMaker | None = None

    def maker(self) -> BatchMaker:
        """What makes the batches; not opened yet."""
        raise NotImplementedError(f"{type(self).__name__} makes no batches")

    def shuffles(self) -> bool:
        """Whether each epoch has an order of its own."""
        return bool(self.params.shuffle)

    def last_batch(self) -> LastBatch:
        """What becomes of the samples that are left over at the end of an epoch."""
        given: LastBatch | None = getattr(self.params, "last_batch", None)
        return given or ("wrap" if self.phase == "train" else "keep")

    def plan_batches(self, shapes: Sequence[Shape], length: int | None) -> Plan:
        """The plan for tops of samples of these shapes; `length` is None where only the opened files can tell."""
        n = self.params.batch_size
        partial = self.last_batch() == "keep" and (length is None or length % n != 0)
        return Plan(
            tops=[(n, *shape) for shape in shapes],
            state=[State("consumed", (1,), "int64")],
            dynamic=partial or getattr(self.params, "on_error", "stop") == "skip",
        )

    def length(self) -> int:
        return len(opened(self, self._maker).source)

    def rand_skip(self) -> int:
        """How many samples are left out at the very beginning: fewer than the parameter says, in the train phase."""
        most = self.params.rand_skip if self.phase == "train" else 0
        return int(self.generator().integers(most)) if most else 0


def unfit_image(maker: BatchMaker) -> str | None:
    """What is wrong with an image that does not become what the first one does, so that the run would stop there.

    A few are looked at, by their headers, evenly spread over all of them.
    """
    if maker.on_error == "skip":
        return None
    source = maker.opener.open()
    try:
        return _unfit(source, maker.pipeline)
    finally:
        source.close()


def _unfit(source: Source, pipeline: Pipeline) -> str | None:
    first: Shape | None = None
    for index in np.unique(np.linspace(0, len(source) - 1, _LOOK).astype(np.int64)).tolist():
        try:
            shape = source.shape_of(index)
            made = pipeline.at(shape).shapes[0]
        except ShapeError as error:
            return f"{source.place(index)}: {error}"
        except DataError as error:
            return str(error)
        first = first or made
        if made != first:
            sizes = f"{source.place(index)}: it is {shape_text(made)}, not {shape_text(first)} as the first"
            return f"{sizes}; give all images one size, by a resize or a crop"
    return None


def top_arrays(arrays: Sequence[str], held: Mapping[str, Any], tops: int, what: str) -> list[str]:
    """The array that each top takes: those that `arrays` names, or else those that are held, in their order.

    Raises ShapeError where there is no such array, or are not so many.
    """
    names, listed = list(arrays or held), ", ".join(held)
    for name in names:
        if name not in held:
            raise ShapeError(f"arrays: there is no array {name!r} in the {what}, which holds: {listed}", "arrays")
    if len(names) < tops:
        have = f"arrays names only {', '.join(names)}" if arrays else f"the {what} holds only: {listed}"
        raise ShapeError(f"there are {tops} tops, but {have}", "top")
    return names[:tops]


def draws_of(source: SourceLayer) -> Draws:
    """The random numbers of a source's samples: a function of the net's seed and the layer's name."""
    return Draws(int(source.generator(0, 0).integers(1 << 63)))
