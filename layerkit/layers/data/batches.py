"""What the sources have in common: the stream of their samples, cut into batches."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, TypeVar, cast

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape
from layerkit.datasets import prefetch
from layerkit.datasets.batches import BatchMaker
from layerkit.datasets.draws import Draws
from layerkit.datasets.stream import LastBatch
from layerkit.errors import DataError, ShapeError, UsageError
from layerkit.layer import Bottoms, Generators, LayerParams, Plan, SourceLayer, State, Tops
from layerkit.registry import layer_class

Opened = TypeVar("Opened")

AHEAD = 3
"""Batches made ahead where the file does not say; Caffe's Data layer has four in memory, too."""


class LoadingParams(LayerParams):
    """How a source makes its batches: none of it changes what is in them."""

    prefetch: int | None = Field(
        None,
        ge=0,
        description="Batches made ahead while the net computes; by default 3, and 0 where samples lie in memory.",
    )
    workers: int = Field(1, gt=0, description="How many batches are made at the same time.")
    worker_type: Literal["threads", "processes"] = Field(
        "threads", description="What makes them: threads, or processes where much of the work is Python's own."
    )


class BatchedSource(SourceLayer):
    """Base of the sources whose samples have numbers, from 0 on; `params.batch_size` is N.

    A subclass says by `maker` what its batches are made of. In the train phase every batch is full and the samples go
    round for ever: the stream is epoch after epoch, each in an order that depends on the seed and the epoch alone. In
    other phases a pass over the samples ends with a batch of those left over, and the next pass begins at the first
    again. `last_batch`, where a source has it, says otherwise.
    """

    _maker: BatchMaker | None = None
    _ahead: prefetch.Batches | None = None

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

    def open(self) -> None:
        self.close()
        maker = self.maker()
        maker.open()
        self._maker = maker

    def close(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
        if self._maker is not None:
            self._maker.close()
        self._ahead = self._maker = None

    def length(self) -> int:
        return len(opened(self, self._maker).source)

    def batches(self) -> int:
        """Forward passes that read every sample once; after `open`."""
        return opened(self, self._maker).stream.batches

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        maker, position = opened(self, self._maker), int(self.state.consumed[0])
        started = time.perf_counter()
        if self.depth(maker) == 0:
            for blob in top:
                blob.reshape(maker.after(position) - position, *blob.shape[1:])
            made = maker.make(position, [blob.data for blob in top])
        else:
            made, arrays = self._batches(maker, top).take(position)
            for blob, array in zip(top, arrays, strict=True):
                blob.reshape(*array.shape)
                np.copyto(blob.data, array)
        for blob in top:
            blob.reshape(made.rows, *blob.shape[1:])
        self.state.consumed[0] = made.next
        self.waited += time.perf_counter() - started
        for note in made.notes:
            self.skipped[note] = self.skipped.get(note, 0) + 1

    def _batches(self, maker: BatchMaker, top: Tops) -> prefetch.Batches:
        """What makes batches ahead."""
        if self._ahead is None:
            p = self.params
            for blob in top:
                blob.reshape(p.batch_size, *blob.shape[1:])
            like = [np.empty_like(blob.data) for blob in top]
            self._ahead = prefetch.Batches(
                LayerMaker.of(maker, spec_of(self) if p.worker_type == "processes" else {}),
                lambda: [np.empty_like(each) for each in like],  # they lie in memory as the blobs do
                depth=self.depth(maker),
                workers=p.workers,
                kind=p.worker_type,
            )
        return self._ahead

    def depth(self, maker: BatchMaker) -> int:
        """How many batches are made ahead."""
        given: int | None = getattr(self.params, "prefetch", None)
        return given if given is not None else 0 if maker.quick else AHEAD

    def rand_skip(self) -> int:
        """How many samples are left out at the very beginning: fewer than the parameter says, in the train phase."""
        most = self.params.rand_skip if self.phase == "train" else 0
        return int(self.generator().integers(most)) if most else 0

    def only_here(self) -> bool:
        """Whether another process cannot open the samples."""
        return False


class LayerMaker:
    """The maker of a layer's batches, which another process makes anew from what the layer was given; see `spec_of`.

    It does not hold the layer, whose end is the end of its threads.
    """

    def __init__(self, **spec: Any):
        cls = layer_class(spec["type"])
        layer = cast(BatchedSource, cls(cls.Params.model_validate(spec["params"]), spec["phase"], len(spec["tops"])))
        layer.top_names = spec["tops"]
        layer.generator = Generators(spec["seed"], tuple(spec["prefix"]))
        self._spec, self._maker = spec, layer.maker()

    @classmethod
    def of(cls, maker: BatchMaker, spec: dict[str, Any]) -> Self:
        """That of an open one in this process."""
        made = cls.__new__(cls)
        made._spec, made._maker = spec, maker
        return made

    def spec(self) -> dict[str, Any]:
        """What another process needs to make it anew; see `prefetch.Maker`."""
        return self._spec

    def open(self) -> None:
        """Open the source."""
        self._maker.open()

    def close(self) -> None:
        """Let go of it."""
        self._maker.close()

    def after(self, position: int) -> int:
        """The position of the batch that follows."""
        return self._maker.after(position)

    def make(self, position: int, out: Sequence[Array]) -> prefetch.Made:
        """Write a batch."""
        return self._maker.make(position, out)


def spec_of(layer: BatchedSource) -> dict[str, Any]:
    """What a layer was given, in JSON's values. Raises DataError where another process could not open its samples."""
    generator = layer.generator
    if layer.only_here() or not isinstance(generator, Generators):
        raise DataError("its samples exist in this process only; use worker_type: threads")
    return {
        "type": type(layer).__name__,
        "params": layer.params.model_dump(mode="json"),
        "phase": layer.phase,
        "tops": list(layer.top_names),
        "seed": generator.seed,
        "prefix": list(generator.prefix),
    }


def opened(source: SourceLayer, what: Opened | None) -> Opened:
    """What the source's `open` made. Raises UsageError where it did not run."""
    if what is None:
        raise UsageError(f"the source {source.name!r} is not open")
    return what


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
