"""Sources that can make their batches ahead of the net."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal, Protocol, Self, TypeVar, cast

import numpy as np
from pydantic import Field

from layerkit.blob import Array
from layerkit.datasets import prefetch
from layerkit.errors import DataError, UsageError
from layerkit.layer import Bottoms, Generators, LayerParams, SourceLayer, Tops
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


class SourceMaker(Protocol):
    """What makes a source's batches: a `prefetch.Maker` but for `spec`, which `LayerMaker` adds."""

    @property
    def quick(self) -> bool:
        """Whether a batch costs too little to be worth making ahead; asked once it is open."""
        ...

    @property
    def batches(self) -> int:
        """Batches in which every sample comes once; asked once it is open."""
        ...

    def open(self) -> None:
        """Open files, unless they are open."""
        ...

    def close(self) -> None:
        """Close them again."""
        ...

    def after(self, position: int) -> int:
        """Position of the batch after the one at `position`."""
        ...

    def make(self, position: int, out: Sequence[Array]) -> prefetch.Made:
        """Write the batch at `position`."""
        ...


class AheadSource(SourceLayer):
    """Base of the sources whose batches are a function of their position, so that they can be made ahead.

    A subclass says by `maker` what makes them.
    """

    _maker: SourceMaker | None = None
    _ahead: prefetch.Batches | None = None

    def maker(self) -> SourceMaker:
        """What makes the batches; not opened yet."""
        raise NotImplementedError(f"{type(self).__name__} makes no batches")

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

    def batches(self) -> int:
        """Forward passes that read every sample once; after `open`."""
        return opened(self, self._maker).batches

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        maker, position = opened(self, self._maker), int(self.state.consumed[0])
        started = time.perf_counter()
        if self.depth() == 0:
            _set_rows(top, maker.after(position) - position)
            made = maker.make(position, [blob.data for blob in top])
        else:
            made, arrays = self._batches(maker, top).take(position)
            for blob, array in zip(top, arrays, strict=True):
                blob.reshape(*array.shape)
                np.copyto(blob.data, array)
        _set_rows(top, made.rows)
        self.state.consumed[0] = made.next
        self.waited += time.perf_counter() - started
        for note in made.notes:
            self.skipped[note] = self.skipped.get(note, 0) + 1

    def _batches(self, maker: SourceMaker, top: Tops) -> prefetch.Batches:
        """What makes batches ahead."""
        if self._ahead is None:
            p = self.params
            _set_rows(top, p.batch_size)
            like = [np.empty_like(blob.data) for blob in top]
            self._ahead = prefetch.Batches(
                LayerMaker.of(maker, spec_of(self) if p.worker_type == "processes" else {}),
                lambda: [np.empty_like(each) for each in like],  # they lie in memory as the blobs do
                depth=self.depth(),
                workers=p.workers,
                kind=p.worker_type,
            )
        return self._ahead

    def depth(self) -> int:
        """How many batches are made ahead."""
        given: int | None = getattr(self.params, "prefetch", None)
        return given if given is not None else 0 if opened(self, self._maker).quick else AHEAD

    def only_here(self) -> bool:
        """Whether another process cannot open the samples."""
        return False


class LayerMaker:
    """The maker of a layer's batches, which another process makes anew from what the layer was given; see `spec_of`.

    It does not hold the layer, whose end is the end of its threads.
    """

    def __init__(self, **spec: Any):
        cls = layer_class(spec["type"])
        layer = cast(AheadSource, cls(cls.Params.model_validate(spec["params"]), spec["phase"], len(spec["tops"])))
        layer.top_names = spec["tops"]
        layer.generator = Generators(spec["seed"], tuple(spec["prefix"]))
        self._spec, self._maker = spec, layer.maker()

    @classmethod
    def of(cls, maker: SourceMaker, spec: dict[str, Any]) -> Self:
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


def _set_rows(top: Tops, rows: int) -> None:
    for blob in top:
        if blob.shape[0] != rows:
            blob.reshape(rows, *blob.shape[1:])


def spec_of(layer: AheadSource) -> dict[str, Any]:
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
