"""BatchMaker: makes any batch of a stream of samples: read, transformed, and written where the net wants it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from layerkit.blob import Array
from layerkit.datasets.prefetch import Made
from layerkit.datasets.source import Source
from layerkit.datasets.stream import Generator, LastBatch, Stream, balanced, by_file, shuffled
from layerkit.datasets.transforms import Pipeline
from layerkit.errors import DataError, UsageError

OnError = Literal["stop", "skip"]


class Opener(Protocol):
    """What opens a source."""

    def open(self) -> Source:
        """The samples. Raises DataError."""
        ...


@dataclass
class BatchMaker:
    """What a source layer reads, in which order, and what is done to it.

    Once it is open, several threads may make batches at once.
    """

    opener: Opener
    arrays: Sequence[str]
    """The source's arrays, one for each top."""
    pipeline: Pipeline
    batch_size: int
    generator: Generator
    shuffle: bool = False
    balanced: bool = False
    """Whether each epoch draws of all classes alike."""
    last_batch: LastBatch = "wrap"
    skip: int = 0
    """How many samples are left out at the very beginning."""
    on_error: OnError = "stop"
    """What a sample that cannot be used does: end the run, or leave the batch with a sample less."""

    _source: Source | None = None
    _stream: Stream | None = None

    def open(self) -> None:
        """Open the source, unless it is open. Raises DataError."""
        if self._source is not None:
            return
        source = self._source = self.opener.open()
        if self.on_error == "stop":
            source.verify()
        order = None
        if self.balanced:
            order = balanced(source.labels())
        elif self.shuffle:
            order = shuffled(len(source)) if source.starts is None else by_file(source.starts)
        self._stream = Stream(
            len(source),
            self.batch_size,
            last_batch=self.last_batch,
            order=order,
            generator=self.generator,
            skip=self.skip,
        )

    def close(self) -> None:
        """Let go of the source."""
        if self._source is not None:
            self._source.close()
        self._source = self._stream = None

    @property
    def source(self) -> Source:
        """The opened source. Raises UsageError before `open`."""
        if self._source is None:
            raise UsageError("the source is not open")
        return self._source

    @property
    def quick(self) -> bool:
        """Whether a batch costs too little to be worth making ahead."""
        return self.source.in_memory and not self.pipeline.steps

    @property
    def stream(self) -> Stream:
        """Which samples come when. Raises UsageError before `open`."""
        if self._stream is None:
            raise UsageError("the source is not open")
        return self._stream

    @property
    def batches(self) -> int:
        """Batches in which every sample comes once."""
        return self.stream.batches

    def after(self, position: int) -> int:
        """The position of the batch that follows the one at `position`."""
        return self.stream.after(position)

    def make(self, position: int, out: Sequence[Array]) -> Made:
        """Write the batch at `position` into the first rows of each of `out`, (batch_size, *shape), a top each.

        Raises DataError, naming the file or sample.
        """
        indices, epochs = self.stream.batch(position)
        follows = self.stream.after(position)
        if self.on_error == "stop":
            self._write(indices, epochs, out)
            return Made(len(indices), follows)
        try:
            self._write(indices, epochs, out)
            return Made(len(indices), follows)
        except DataError:
            good, notes = self._usable(indices, epochs, out)
        if good.any():
            self._write(indices[good], epochs[good], out)
        return Made(int(good.sum()), follows, notes)

    def _write(self, indices: Array, epochs: Array, out: Sequence[Array]) -> None:
        source = self.source
        rows = [each[: len(indices)] for each in out]
        if not source.header.varies:
            self.pipeline.apply(list(self._read(source, indices).values()), epochs, indices, rows, source.place)
            return
        samples = map(source.as_read, indices.tolist())
        arrays = ([sample[name] for name in self.arrays] for sample in samples)
        self.pipeline.apply_each(arrays, epochs, indices, rows, source.place)

    def _read(self, source: Source, indices: Array) -> Mapping[str, Array]:
        header = source.header
        raw = {name: np.empty((len(indices), *header.shapes[name]), header.dtypes[name]) for name in self.arrays}
        source.read(indices, raw)
        return raw

    def _usable(self, indices: Array, epochs: Array, out: Sequence[Array]) -> tuple[Array, tuple[str, ...]]:
        """Which of these samples can be read and transformed, (n,) bool, and what is wrong with the others."""
        good, notes = np.ones(len(indices), bool), []
        for row in range(len(indices)):
            try:
                self._write(indices[row : row + 1], epochs[row : row + 1], out)
            except DataError as error:
                good[row] = False
                notes.append(str(error))
        return good, tuple(notes)
