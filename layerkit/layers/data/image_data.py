"""ImageData: batches of images from files that a list names."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pydantic import Field, model_validator

from layerkit.blob import Shape
from layerkit.datasets import Source, decode, images, transform
from layerkit.datasets.batches import BatchMaker
from layerkit.datasets.lists import Listed, expect_files, read_labelled
from layerkit.datasets.transform import Pipeline
from layerkit.errors import DataError
from layerkit.layer import Bottoms, Plan, SampleInfo, Tops
from layerkit.layers.data.batches import BatchedSource, ImageParams, describe_images, opened
from layerkit.registry import register


@register
class ImageData(BatchedSource):
    """Images and labels from files that a list names, batch by batch.

        top 0 = (x - mean_value) * scale, where x is blue, green and red, each 0..255

    Before that each image is resized to new_height x new_width, cropped (anywhere in the train phase, else in the
    middle), and mirrored at random. Without new_height, new_width and crop_size all images must have the size of the
    first one; but with batch_size 1 each may have its own. Batches and their ends are as in Data; what is random is a
    function of the seed, the epoch and the image. Needs Pillow: pip install 'layerkit[data]'.

    Bottoms: none. Tops: images (N, 3, H, W), or (N, 1, H, W) without is_color, and labels (N,), which may be left out.
    Raises DataError, naming the line of the list, for a line or file that cannot be used, or a crop that does not fit.

    Example: {name: data, type: ImageData, top: [data, label], source: train.txt, batch_size: 32, new_height: 256,
      new_width: 256, crop_size: 227, mirror: true, mean_value: [104, 117, 123], shuffle: true}

    Source: Caffe's ImageData (image_data_layer.cpp) and its transformation (data_transformer.cpp).
    """

    class Params(ImageParams):
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
        info = self.samples()
        transform.check(info)
        length = len(self._list()) if Path(self.params.source).is_file() else None
        plan = self.plan_batches([tuple(info.shape), ()][: self.num_tops], length)
        if not self._own_sizes:
            return plan
        return Plan(plan.tops, state=plan.state, dynamic=True, unbounded=True)

    def samples(self) -> SampleInfo:
        """An image's shape, by the parameters or by the header of the first one, and what is done to it."""
        p = self.params
        if p.crop_size:
            size = p.crop_size, p.crop_size
        elif p.new_height:
            size = p.new_height, p.new_width
        else:
            size = images.size_of(self._list()[0])
        return describe_images(p, (3 if p.is_color else 1, *size), bgr=p.is_color)

    def missing(self) -> str | None:
        try:
            decode.expect_pillow()
            expect_files(self._list())
        except DataError as error:
            return str(error)
        return None

    def maker(self) -> BatchMaker:
        p, train = self.params, self.phase == "train"
        size = (p.new_height, p.new_width) if p.new_height else None
        return BatchMaker(
            _Opener(p.source, p.root_folder, p.is_color, size),
            ["data", "label"][: self.num_tops],
            Pipeline(self.samples(), p.crop_size, p.mirror, train, self.generator),
            p.batch_size,
            self.generator,
            shuffle=self.shuffles(),
            last_batch=self.last_batch(),
            skip=int(self.generator().integers(p.rand_skip)) if train and p.rand_skip else 0,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        if self._own_sizes:
            maker = opened(self, self._maker)
            index = int(maker.stream.batch(int(self.state.consumed[0]))[0][0])
            top[0].resize((1, *maker.source.sample(index)["data"].shape))
        super().forward(bottom, top)

    def _list(self) -> list[Listed]:
        return read_labelled(self.params.source, self.params.root_folder)

    @property
    def _own_sizes(self) -> bool:
        """Whether each image, alone in its batch, may have a size of its own."""
        p = self.params
        return p.batch_size == 1 and not p.new_height and not p.crop_size


class _Opener(NamedTuple):
    source: str
    root_folder: str
    color: bool
    size: tuple[int, int] | None

    def open(self) -> Source:
        return images.ImageFiles(read_labelled(self.source, self.root_folder), self.color, self.size)
