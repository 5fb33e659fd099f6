"""ImageData: batches of images from files that a list names."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from layerkit.blob import Shape
from layerkit.datasets import Source
from layerkit.datasets.batches import BatchMaker
from layerkit.datasets.files import decode, images
from layerkit.datasets.files.lists import Listed, expect_files, read_labelled
from layerkit.datasets.transforms import ChannelOrder, Layout, Pipeline, Resize, TransformParams, build, sample_info
from layerkit.errors import DataError, ShapeError
from layerkit.layer import Bottoms, Plan, Tops
from layerkit.layers.data.ahead import LoadingParams, opened
from layerkit.layers.data.batches import BatchedSource, draws_of, unfit_image
from layerkit.registry import register
from layerkit.samples import SampleInfo


@register
class ImageData(BatchedSource):
    """Images and labels from files that a list names, batch by batch.

        top 0 = (x - mean) * scale, where x is blue, green and red, each 0..255

    Before that each image is resized to new_height x new_width, transformed as the list `transform` says (as red, green
    and blue), cropped (anywhere in the train phase, else in the middle), and mirrored at random. Where none of this
    gives it a size, all images must have that of the first one; but with batch_size 1 each may have its own. Batches
    and their ends are as in Data; what is random is a function of the seed, the epoch and the image. Needs Pillow:
    pip install 'layerkit[data]'.

    Bottoms: none. Tops: images (N, 3, H, W), or (N, 1, H, W) without is_color, and labels (N,), which may be left out.
    Raises DataError, naming the line of the list, for a line or file that cannot be used, or a crop that does not fit.

    Example: {name: data, type: ImageData, top: [data, label], source: train.txt, batch_size: 32, new_height: 256,
      new_width: 256, crop_size: 227, mirror: true, mean_value: [104, 117, 123], shuffle: true}

    Source: Caffe's ImageData (image_data_layer.cpp) and its transformation (data_transformer.cpp).
    """

    class Params(TransformParams, LoadingParams):
        source: str = Field(description="Text file with a path, a space and a label a line, a whole number.")
        batch_size: int = Field(1, gt=0, description="Images a batch, N.")
        rand_skip: int = Field(
            0, ge=0, description="Train phase: leave out at random fewer images than this, once, at the beginning."
        )
        shuffle: bool = Field(False, description="Whether each epoch has an order of its own.")
        new_height: int = Field(0, ge=0, description="Height that images are resized to; 0 leaves them as they are.")
        new_width: int = Field(0, ge=0, description="Width that images are resized to.")
        is_color: bool = Field(True, description="Whether to read colours; otherwise one channel of grey.")
        root_folder: str = Field("", description="What is put in front of every path; a folder must end in '/'.")

        on_error: Literal["stop", "skip"] = Field(
            "stop",
            description="What an image that cannot be read, or does not fit a crop or transform, does: stop the run, "
            "or be left out of its batch.",
        )

        @model_validator(mode="after")
        def _both_sizes(self) -> ImageData.Params:
            if (self.new_height == 0) != (self.new_width == 0):
                raise ValueError("give both new_height and new_width, or neither")
            if self.new_height and self.crop_size > min(self.new_height, self.new_width):
                size = f"{self.new_height}x{self.new_width}"
                raise ValueError(f"crop_size {self.crop_size} does not fit into an image of {size}")
            return self

    tops = (1, 2)

    def plan(self, *bottoms: Shape) -> Plan:
        pipeline = self._pipeline()
        length = len(self._list()) if Path(self.params.source).is_file() else None
        plan = self.plan_batches(pipeline.shapes_for(self._first), length)
        if not self._own_sizes(pipeline):
            return plan
        return Plan(plan.tops, state=plan.state, dynamic=True, unbounded=True)

    def samples(self) -> SampleInfo:
        """An image's shape, by the parameters or by the header of the first one, and what is done to it."""
        pipeline = self._pipeline()
        return sample_info(pipeline, pipeline.shapes_for(self._first)[0])

    def missing(self) -> str | None:
        try:
            decode.expect_pillow()
            expect_files(self._list())
        except DataError as error:
            return str(error)
        return None

    def maker(self) -> BatchMaker:
        p = self.params
        return BatchMaker(
            _Opener(p.source, p.root_folder, p.is_color),
            self._names,
            self._pipeline(),
            p.batch_size,
            self.generator,
            shuffle=self.shuffles(),
            last_batch=self.last_batch(),
            on_error=p.on_error,
            skip=self.rand_skip(),
        )

    def doubts(self) -> str | None:
        return None if self._own_sizes(self._pipeline()) else unfit_image(self.maker())

    def depth(self) -> int:
        return 0 if self._own_sizes(opened(self, self._maker).pipeline) else super().depth()

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        maker = opened(self, self._maker)
        if self._own_sizes(maker.pipeline):
            index = int(maker.stream.batch(int(self.state.consumed[0]))[0][0])
            with contextlib.suppress(DataError, ShapeError):  # the maker says what is wrong with it, or leaves it out
                top[0].resize((1, *maker.pipeline.at(maker.source.sample(index)["data"].shape).shapes[0]))
        super().forward(bottom, top)

    def _pipeline(self) -> Pipeline:
        p = self.params
        shapes = ((3 if p.is_color else 1, 0, 0), ())
        layout = Layout(shapes[: self.num_tops], (np.dtype(np.uint8), np.dtype(np.int64))[: self.num_tops])
        caffe = [Resize(size=[p.new_height, p.new_width], antialias=False)] if p.new_height else []
        order: ChannelOrder = "BGR" if p.is_color else "RGB"
        return build(p, self.phase, layout, channel_order=order, before=caffe, draws=draws_of(self))

    def _first(self) -> Shape:
        """The shape of the first image that can be read."""
        return images.first_shape(self._list(), self.params.is_color)

    def _list(self) -> list[Listed]:
        return read_labelled(self.params.source, self.params.root_folder)

    @property
    def _names(self) -> list[str]:
        return ["data", "label"][: self.num_tops]

    def _own_sizes(self, pipeline: Pipeline) -> bool:
        """Whether each image, alone in its batch, may have a size of its own."""
        return self.params.batch_size == 1 and not pipeline.settled


class _Opener(NamedTuple):
    source: str
    root_folder: str
    color: bool

    def open(self) -> Source:
        return images.ImageFiles(read_labelled(self.source, self.root_folder), self.color)
