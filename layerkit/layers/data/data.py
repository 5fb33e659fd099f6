"""Data: batches of samples from a dataset."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from layerkit.blob import Array, Shape
from layerkit.datasets import Header, Part, Source, describe, open_source, transform
from layerkit.errors import DataError, ShapeError, UnknownNameError, UsageError
from layerkit.layer import Bottoms, LayerParams, Plan, SampleInfo, Scratch, SourceLayer, State, Tops
from layerkit.registry import register


@register
class Data(SourceLayer):
    """Samples of a dataset with their labels, batch by batch.

    Top 0 gets (x - mean_value) * scale, further tops are as stored.

    No bottoms. Top i is (batch_size, *sample shape of array i): by default `data`, such as (N, C, H, W) in the units of
    the dataset (bytes of 0..255, say), then `label`, (N,), then what else the dataset holds.

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

        dataset: str | None = Field(None, description="Name: digits, mnist, or one that add_dataset made known.")
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
                raise ValueError("Data needs a dataset (digits, mnist ...) or a source (an .npz file)")
            if self.dataset is None and self.part is not None:
                raise ValueError("part chooses from a named dataset, but an .npz file is one part; name another source")
            return self

    _planned: Header | None = None
    _source: Source | None = None
    _info: SampleInfo
    _epoch: tuple[int, Array] | None = None  # the current epoch and its order

    def plan(self, *bottoms: Shape) -> Plan:
        header = self._planned = self._describe()
        transform.check(self.samples())
        n = self.params.batch_size
        names = self._names(header)
        return Plan(
            tops=[(n, *header.shapes[name]) for name in names],
            scratch=[
                Scratch("indices", (n,), "int64"),
                *(
                    Scratch(f"raw{i}", (n, *header.shapes[name]), header.dtypes[name].str)
                    for i, name in enumerate(names)
                ),
            ],
            state=[State("consumed", (1,), "int64")],
            dynamic=self.phase != "train" and (header.length is None or header.length % n != 0),
        )

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
        self._source = self._epoch = None

    def batches(self) -> int:
        """Forward passes that read every sample once; after `open`."""
        return -(-len(self._opened()) // int(self.params.batch_size))

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        source = self._opened()
        length = len(source)
        position = int(self.state.consumed[0])
        count = self.params.batch_size
        if self.phase != "train":
            count = min(count, length - position % length)
        indices = self.scratch.indices[:count]
        self._fill(indices, position, length)
        raw = {name: getattr(self.scratch, f"raw{i}")[:count] for i, name in enumerate(self._names(source.header))}
        for i, samples in enumerate(source.read(indices, raw)):
            top[i].reshape(*samples.shape)
            if i == 0:
                transform.apply(samples, self._info, out=top[i].data)
            else:
                np.copyto(top[i].data, samples, casting="unsafe")
        self.state.consumed[0] = position + count

    def _fill(self, indices: Array, position: int, length: int) -> None:
        """The indices of the samples at `position` and on, in the endless stream of epochs."""
        done = 0
        while done < len(indices):
            epoch, start = divmod(position + done, length)
            part = self._order(epoch, length)[start : start + len(indices) - done]
            indices[done : done + len(part)] = part
            done += len(part)

    def _order(self, epoch: int, length: int) -> Array:
        """The order of an epoch: a pure function of the seed and the epoch, so that nothing else need be saved."""
        shuffle = self.phase == "train" if self.params.shuffle is None else self.params.shuffle
        if self._epoch is None or (shuffle and self._epoch[0] != epoch):
            self._epoch = epoch, self.generator(epoch).permutation(length) if shuffle else np.arange(length)
        return self._epoch[1]

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
        if self._source is None:
            raise UsageError(f"the source {self.name!r} is not open")
        return self._source


def _fits(planned: Header, found: Header) -> bool:
    """Whether what was planned for one header serves another; a length that was unknown may be any."""
    return (
        dict(planned.shapes) == dict(found.shapes)
        and dict(planned.dtypes) == dict(found.dtypes)
        and planned.length in (None, found.length)
    )
