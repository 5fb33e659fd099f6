"""Data: batches of samples from a dataset."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from layerkit.blob import Shape
from layerkit.datasets import Header, Part, Source, describe, open_source, transform
from layerkit.errors import DataError, ShapeError, UnknownNameError
from layerkit.layer import Bottoms, LayerParams, Plan, SampleInfo, Scratch, Tops
from layerkit.layers.data.batches import BatchedSource, opened
from layerkit.registry import register


@register
class Data(BatchedSource):
    """Samples of a dataset with their labels, batch by batch.

    Top 0 gets (x - mean_value) * scale, further tops are as stored.

    Bottoms: none. Tops: top i is (batch_size, *sample shape of array i): by default `data`, such as (N, C, H, W) in the
    units of the dataset (bytes of 0..255, say), then `label`, (N,), then what else the dataset holds.

    In the train phase every batch is full and the samples go round for ever: the stream is epoch after epoch, each in
    an order that depends on the seed and the epoch alone. In other phases a pass over the samples ends with a batch of
    those left over, and the next pass begins at the first again.

    Raises UnknownNameError for a dataset that does not exist, DataError for one that is missing, broken, not
    finite or has changed since the net was planned, ShapeError for more tops than it has arrays or a transformation
    that cannot be.

    Example: {name: digits, type: Data, top: [data, label], dataset: digits, batch_size: 64, scale: 0.0625}

    Source: Caffe's Data layer and transformation parameters; the sources are layerkit's own.
    """

    class Params(LayerParams):
        """Where the samples come from, how they are batched, and what is done to them."""

        dataset: str | None = Field(
            None,
            description="Name: digits, digit_pairs, shapes, parity, shakespeare, mnist, cifar10, or one that "
            "add_dataset made known.",
        )
        source: str | None = Field(
            None, description="Folder of a named dataset, or by itself an .npz file; from the current directory."
        )
        part: Literal["train", "test"] | None = Field(
            None, description="Part of a named dataset; by default train in the train phase and test in others."
        )
        arrays: list[str] = Field(
            [], description="Names of the dataset's arrays for the tops; by default data, label, then the rest."
        )
        batch_size: int = Field(gt=0, description="Samples a batch, N.")
        shuffle: bool | None = Field(
            None, description="Whether each epoch has an order of its own; by default in the train phase only."
        )
        scale: float = Field(
            1.0, description="What each value of top 0 is multiplied by, after the mean is subtracted."
        )
        mean_value: list[float] = Field(
            [], description="What is subtracted from top 0: one value, or one a channel in the net's order."
        )
        channel_order: Literal["RGB", "BGR"] = Field(
            "RGB", description="Order of three channels in top 0: RGB as stored, or BGR, reversed."
        )

        @model_validator(mode="after")
        def _one_origin(self) -> Data.Params:
            if self.dataset is None and self.source is None:
                raise ValueError("Data needs a dataset (digits, mnist, cifar10 ...) or a source (an .npz file)")
            if self.dataset is None and self.part is not None:
                raise ValueError("part chooses from a named dataset, but an .npz file is one part; name another source")
            return self

    _planned: Header | None = None
    _source: Source | None = None
    _info: SampleInfo

    def plan(self, *bottoms: Shape) -> Plan:
        header = self._planned = self._describe()
        transform.check(self.samples())
        n = self.params.batch_size
        names = self._names(header)
        raw = [Scratch(f"raw{i}", (n, *header.shapes[name]), header.dtypes[name].str) for i, name in enumerate(names)]
        return self.plan_batches([header.shapes[name] for name in names], header.length, raw)

    def samples(self) -> SampleInfo:
        """Top 0's samples, from the dataset's headers. Raises as `plan` does."""
        header = self._describe()
        p = self.params
        return SampleInfo(
            shape=list(header.shapes[self._names(header)[0]]),
            scale=p.scale,
            mean_value=p.mean_value,
            channel_order=p.channel_order,
            class_names=list(header.class_names),
        )

    def missing(self) -> str | None:
        try:
            if self._describe().length is None:  # known by name only
                open_source(self.params.dataset, self.params.source, self._part)
        except DataError as error:
            return str(error)
        return None

    def open(self) -> None:
        source = open_source(self.params.dataset, self.params.source, self._part)
        if self._planned is not None and not _fits(self._planned, source.header):
            raise DataError(f"the samples of {self.name!r} have changed since the net was planned; build the net again")
        self._info = self.samples()
        self._source = source

    def close(self) -> None:
        super().close()
        self._source = None

    def length(self) -> int:
        return len(self._opened())

    def shuffles(self) -> bool:
        return self.phase == "train" if self.params.shuffle is None else bool(self.params.shuffle)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        source = self._opened()
        indices = self.next_indices()
        names = self._names(source.header)
        raw = {name: getattr(self.scratch, f"raw{i}")[: len(indices)] for i, name in enumerate(names)}
        for i, samples in enumerate(source.read(indices, raw)):
            top[i].reshape(*samples.shape)
            if i == 0:
                transform.apply(samples, self._info, out=top[i].data)
            else:
                np.copyto(top[i].data, samples, casting="unsafe")
        self.advance(indices)

    def _describe(self) -> Header:
        try:
            return describe(self.params.dataset, self.params.source, self._part)
        except UnknownNameError as error:
            error.field = "dataset"
            raise

    @property
    def _part(self) -> Part:
        part: Part | None = self.params.part
        return part or ("train" if self.phase == "train" else "test")

    def _names(self, header: Header) -> list[str]:
        """The array that each top takes."""
        names = self.params.arrays or list(header.shapes)
        held = ", ".join(header.shapes)
        for name in names:
            if name not in header.shapes:
                raise ShapeError(f"arrays: there is no array {name!r} in the dataset, which holds: {held}", "arrays")
        if len(names) < self.num_tops:
            listed = (
                f"arrays names only {', '.join(names)}" if self.params.arrays else f"the dataset holds only: {held}"
            )
            raise ShapeError(f"there are {self.num_tops} tops, but {listed}", "top")
        return names[: self.num_tops]

    def _opened(self) -> Source:
        return opened(self, self._source)


def _fits(planned: Header, found: Header) -> bool:
    """Whether what was planned for one header serves another; a length that was unknown may be any."""
    return (
        dict(planned.shapes) == dict(found.shapes)
        and dict(planned.dtypes) == dict(found.dtypes)
        and planned.length in (None, found.length)
    )
