"""ImageData: batches of images from files that a list names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field, model_validator

from layerkit.blob import Array, Shape, shape_text
from layerkit.datasets import images, transform
from layerkit.datasets.lists import Listed, expect_files, read_labelled
from layerkit.errors import DataError, ShapeError
from layerkit.layer import Bottoms, Plan, SampleInfo, Tops
from layerkit.layers.data.batches import BatchedSource, ImageParams, crop, describe_images, opened
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

    _listed: list[Listed] | None = None
    _info: SampleInfo

    def plan(self, *bottoms: Shape) -> Plan:
        info = self.samples()
        transform.check(info)
        length = len(self._list()) if Path(self.params.source).is_file() else None
        plan = self.plan_batches([tuple(info.shape), ()][: self.num_tops], length)
        if not self._own_sizes:
            return plan
        return Plan(plan.tops, scratch=plan.scratch, state=plan.state, dynamic=True, unbounded=True)

    def samples(self) -> SampleInfo:
        """An image's shape, by the parameters or by the header of the first one, and what is done to it."""
        p = self.params
        if p.crop_size:
            size = p.crop_size, p.crop_size
        elif p.new_height:
            size = p.new_height, p.new_width
        else:
            size = images.size(self._list()[0])
        return describe_images(p, (3 if p.is_color else 1, *size), bgr=p.is_color)

    def missing(self) -> str | None:
        try:
            images.expect_pillow()
            expect_files(self._list())
        except DataError as error:
            return str(error)
        return None

    def open(self) -> None:
        images.expect_pillow()
        listed = self._list()
        expect_files(listed)
        self._info = self.samples()
        self._listed = listed

    def close(self) -> None:
        super().close()
        self._listed = None

    def length(self) -> int:
        return len(opened(self, self._listed))

    def start(self) -> int:
        if self.phase != "train" or not self.params.rand_skip:
            return 0
        return int(self.generator().integers(self.params.rand_skip))

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        listed, indices = opened(self, self._listed), self.next_indices()
        info = self._info
        top[0].reshape(len(indices), *info.shape)
        for row, index in enumerate(indices):
            image = self._read(listed[index], row, int(index))
            if self._own_sizes:
                info = info.model_copy(update={"shape": list(image.shape)})
                top[0].resize((1, *image.shape))
            elif image.shape != tuple(info.shape):
                sizes = f"{shape_text(image.shape[1:])}, not {shape_text(info.shape[1:])} as the first"
                hint = "give new_height and new_width, or crop_size"
                raise DataError(f"{listed[index].place}: the image {listed[index].path!r} is {sizes}; {hint}")
            transform.apply(image[np.newaxis], info, out=top[0].data[row : row + 1])
        for blob in top[1:]:
            blob.reshape(len(indices))
            blob.data[...] = [listed[index].label for index in indices]
        self.advance(indices)

    def _read(self, listed: Listed, row: int, index: int) -> Array:
        """The image for a row of the batch, (C, H, W) bytes: read, resized, cropped and mirrored."""
        p = self.params
        image = images.read(listed, p.is_color)
        if p.new_height:
            image = images.resize(image, p.new_height, p.new_width)
        rng = self.draws(row, index) if p.mirror or p.crop_size else None
        if p.crop_size:
            try:
                image = crop(image, p.crop_size, rng if self.phase == "train" else None)
            except ShapeError as error:
                raise DataError(f"{listed.place}: {error} ({listed.path!r})") from None
        mirrored = p.mirror and rng is not None and rng.random() < 0.5
        return image[:, :, ::-1] if mirrored else image

    def _list(self) -> list[Listed]:
        return self._listed or read_labelled(self.params.source, self.params.root_folder)

    @property
    def _own_sizes(self) -> bool:
        """Whether each image, alone in its batch, may have a size of its own."""
        p = self.params
        return p.batch_size == 1 and not p.new_height and not p.crop_size
