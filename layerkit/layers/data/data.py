"""Data: batches of samples from a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from layerkit.blob import Shape, shape_text
from layerkit.datasets import AnyDataset, Header, Selection, select
from layerkit.datasets.batches import BatchMaker
from layerkit.datasets.transforms import Pipeline, TransformParams, build, layout_of, sample_info
from layerkit.datasets.transforms.base import channels_hint
from layerkit.errors import DataError, ShapeError, UnknownNameError
from layerkit.layer import Plan
from layerkit.layers.data.ahead import LoadingParams, opened
from layerkit.layers.data.batches import BatchedSource, draws_of, top_arrays, unfit_image
from layerkit.registry import register
from layerkit.samples import SampleInfo


@register
class Data(BatchedSource):
    """Samples of a dataset with their labels, batch by batch.

    Top 0 gets (x - mean) * scale, further tops are as stored. Before that come the transforms of the list `transform`,
    then a crop (anywhere in the train phase, else in the middle), and half are mirrored, as in Caffe; what is random is
    a function of the seed, the epoch and the sample.

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

    class Params(TransformParams, LoadingParams):
        """Where the samples come from, how they are batched, and what is done to them."""

        dataset: AnyDataset | None = Field(
            None,
            description="Name of a known set, one that add_dataset made known, or a kind of files; in a mapping, "
            "{type: NAME}, with fields of its own.",
        )
        source: str | None = Field(
            None,
            description="Path of the samples, from the current directory: the files of a known set, or by itself a "
            "file or folder whose kind its name tells.",
        )
        part: str | None = Field(
            None,
            description="Part of the dataset; by default train in the train phase, and test (where there is none, "
            "validation) in others.",
        )
        parts: dict[str, float | str] = Field(
            {},
            description="Parts by name, each a share of the samples, as 0.8, or a path. Shares are of the dataset's "
            "train part, or of its only one.",
        )
        split: Literal["random", "stratified", "in_order"] | None = Field(
            None,
            description="How samples are divided into shares: at random, at random within each class, or in their "
            "order; by default at random, and a text in its order.",
        )
        split_seed: int = Field(0, ge=0, description="Another seed divides otherwise.")
        arrays: list[str] = Field(
            [], description="Names of the dataset's arrays for the tops; by default data, label, then the rest."
        )
        batch_size: int = Field(gt=0, description="Samples a batch, N.")
        shuffle: bool | None = Field(
            None, description="Whether each epoch has an order of its own; by default in the train phase only."
        )
        channel_order: Literal["RGB", "BGR"] | None = Field(
            None,
            description="Order of three channels in top 0, after the transforms: RGB, or BGR, which is the default for "
            "Caffe's databases (lmdb) only, as they are stored so.",
        )
        force_color: bool = Field(
            False, description="Whether encoded images become three channels, whatever they are in their files."
        )
        force_gray: bool = Field(False, description="Whether encoded images become one channel.")
        rand_skip: int = Field(
            0, ge=0, description="Train phase: leave out at random fewer samples than this, once, at the beginning."
        )
        balanced: bool = Field(
            False, description="Whether each epoch draws equally many samples of every class; it shuffles too."
        )
        last_batch: Literal["wrap", "keep", "drop"] | None = Field(
            None,
            description="What is left at the end of an epoch: wrap fills the batch up from the next one, keep makes a "
            "smaller batch, drop leaves it out; by default wrap in the train phase and keep in others.",
        )
        on_error: Literal["stop", "skip"] = Field(
            "stop",
            description="What a sample that cannot be read, or does not fit a crop or transform, does: stop the run, "
            "or be left out of its batch.",
        )

        by_part: ClassVar[frozenset[str]] = frozenset({"parts"})

        @model_validator(mode="after")
        def _one_color(self) -> Data.Params:
            if self.force_color and self.force_gray:
                raise ValueError("give force_color or force_gray, not both")
            return self

        @model_validator(mode="after")
        def _one_origin(self) -> Data.Params:
            paths = [each for each in self.parts.values() if isinstance(each, str)]
            if self.dataset is None and self.source is None and not paths:
                raise ValueError("Data needs a dataset (digits, mnist, cifar10 ...) or a source (an .npz file ...)")
            if paths and (len(paths) < len(self.parts) or self.source is not None):
                also = "a source" if self.source is not None else "a share"
                raise ValueError(
                    f"parts: a part has either a path or a share of one source, but beside paths is {also}"
                )
            return self

        @field_validator("parts")
        @classmethod
        def _whole(cls, parts: dict[str, float | str]) -> dict[str, float | str]:
            shares = [each for each in parts.values() if not isinstance(each, str)]
            if any(not 0 < share <= 1 for share in shares) or sum(shares) > 1 + 1e-9:
                raise ValueError("must be shares between 0 and 1 that are not more than 1 in all")
            return parts

    _planned: Header | None = None

    def plan(self, *bottoms: Shape) -> Plan:
        header = self._planned = self._describe()
        return self.plan_batches(self._shapes(header), header.length)

    def samples(self) -> SampleInfo:
        """Top 0's samples, from the dataset's headers. Raises as `plan` does."""
        header = self._describe()
        table = header.table if self._names(header)[0] == "data" else None
        return sample_info(self._pipeline(header), self._shapes(header)[0], header.class_names, table)

    def class_names(self) -> Sequence[str]:
        return () if self._planned is None else self._planned.class_names

    def missing(self) -> str | None:
        try:
            if self._describe().length is None:  # known by name only
                self._selection().open().close()
        except DataError as error:
            return str(error)
        return None

    def doubts(self) -> str | None:
        header = self._describe()
        shape = header.shapes[self._names(header)[0]]
        if hint := channels_hint(shape):
            return f"its samples are {shape_text(shape)}{hint}"
        return unfit_image(self.maker()) if header.varies else None

    def maker(self) -> BatchMaker:
        p, header = self.params, self._describe()
        return BatchMaker(
            self._selection(),
            self._names(header),
            self._pipeline(header),
            p.batch_size,
            self.generator,
            shuffle=self.shuffles(),
            balanced=p.balanced,
            last_batch=self.last_batch(),
            on_error=p.on_error,
            skip=self.rand_skip(),
        )

    def open(self) -> None:
        super().open()
        if self._planned is not None and not _fits(self._planned, opened(self, self._maker).source.header):
            self.close()
            raise DataError(f"the samples of {self.name!r} have changed since the net was planned; build the net again")

    def shuffles(self) -> bool:
        return self.phase == "train" if self.params.shuffle is None else bool(self.params.shuffle)

    def only_here(self) -> bool:
        return self._selection().dataset.in_memory

    def _selection(self) -> Selection:
        p = self.params
        try:
            chosen = select(p.dataset, p.source, self._part, parts=p.parts, split=p.split, seed=p.split_seed)
        except UnknownNameError as error:
            error.field = "dataset"
            raise
        if p.part is not None and not p.parts and not chosen.dataset.parts_at(chosen.source):
            raise ShapeError(f"part: {chosen.dataset.type!r} is one part by itself; divide it with 'parts'", "part")
        if not (p.force_color or p.force_gray):
            return chosen
        if "color" not in type(chosen.dataset).model_fields:
            field = "force_color" if p.force_color else "force_gray"
            raise ShapeError(f"{field}: {chosen.dataset.type!r} holds no encoded images", field)
        return replace(chosen, dataset=chosen.dataset.model_copy(update={"color": p.force_color}))

    def _pipeline(self, header: Header) -> Pipeline:
        names = self._names(header)
        layout, order = layout_of(header, names), self.params.channel_order
        if order is None:
            order = header.channel_order if names[0] == "data" else "RGB"
        return build(self.params, self.phase, layout, channel_order=order, draws=draws_of(self))

    def _shapes(self, header: Header) -> Sequence[Shape]:
        """The shapes of the tops' samples."""
        return self._pipeline(header).shapes_for(lambda: header.shapes[self._names(header)[0]])

    def _describe(self) -> Header:
        return self._selection().describe()

    @property
    def _part(self) -> str:
        p = self.params
        if p.part is not None:
            return str(p.part)
        if self.phase == "train":
            return "train"
        return "validation" if "validation" in p.parts and "test" not in p.parts else "test"

    def _names(self, header: Header) -> list[str]:
        return top_arrays(self.params.arrays, header.shapes, self.num_tops, "dataset")


def _fits(planned: Header, found: Header) -> bool:
    """Whether what was planned for one header serves another; a length that was unknown may be any."""
    return (
        dict(planned.shapes) == dict(found.shapes)
        and dict(planned.dtypes) == dict(found.dtypes)
        and planned.length in (None, found.length)
    )
