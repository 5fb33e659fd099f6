"""Parts of images covered, so that a net does not hang on one of them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from layerkit.blob import Array
from layerkit.datasets.transforms.base import BYTE, Layout, Samples, Transform, as_value
from layerkit.errors import ShapeError

_TRIES = 10  # as many as in torchvision


class RandomErasing(Transform):
    """Cover a part of random place, area and proportions in some images.

    Source: Z. Zhong et al., "Random erasing data augmentation", 2017; torchvision's RandomErasing: of ten tries the
    first that is smaller than the image, else nothing.
    """

    random: ClassVar[bool] = True

    type: Literal["random_erasing"] = "random_erasing"
    p: float = Field(0.5, ge=0, le=1, description="Share of the images, at random.")
    scale: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=2, max_length=2)] = Field(
        [0.02, 0.33], description="Least and greatest part of the image's area that is covered."
    )
    ratio: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=2, max_length=2)] = Field(
        [0.3, 3.3], description="Least and greatest height of the part, by its width."
    )
    value: float | list[float] | Literal["random"] = Field(
        0.0,
        description="What it is covered with: one value, one a channel, or random: any byte, or of floats normal ones.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> RandomErasing:
        self.expect_order("scale", "ratio")
        return self

    def plan(self, layout: Layout) -> Layout:
        channels = layout.image()[0]
        if isinstance(self.value, list) and len(self.value) != channels:
            raise ShapeError(f"value has {len(self.value)} numbers, which do not fit images of {channels} channels")
        return layout

    def apply(self, samples: Samples) -> None:
        images = samples.writable()
        height, width = images.shape[2:]
        drawn = samples.uniform(2 * _TRIES + 3)
        areas = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * drawn[:, :_TRIES])
        low, high = np.log(self.ratio)
        ratios = np.exp(low + (high - low) * drawn[:, _TRIES : 2 * _TRIES])
        tall, wide = np.rint(np.sqrt(areas * ratios)), np.rint(np.sqrt(areas / ratios))  # (k, tries)
        fits = (tall < height) & (wide < width)
        first = fits.argmax(axis=1)
        for i in np.flatnonzero((drawn[:, -1] < self.p) & fits.any(axis=1)):
            h, w = int(tall[i, first[i]]), int(wide[i, first[i]])
            top, left = int(drawn[i, -3] * (height - h + 1)), int(drawn[i, -2] * (width - w + 1))
            part = images[i, :, top : top + h, left : left + w]
            part[...] = self._cover(part, samples.only(np.array([i])))

    def _cover(self, part: Array, sample: Samples) -> Array:
        """The values for a part (C, h, w)."""
        if self.value != "random":
            values = self.value if isinstance(self.value, list) else [self.value]
            return np.array([as_value(value, part.dtype) for value in values], part.dtype).reshape(-1, 1, 1)
        if part.dtype == BYTE:
            return (sample.uniform(part.size, 1) * 256).reshape(part.shape).astype(BYTE)
        return sample.normal(part.size, 1).reshape(part.shape)


class Cutout(Transform):
    """Cover squares in each image, whose middles lie anywhere in it, so that a square may stand out over the edge.

    Source: T. DeVries and G. Taylor, "Improved regularization of convolutional neural networks with cutout", 2017.
    """

    random: ClassVar[bool] = True

    type: Literal["cutout"] = "cutout"
    length: int = Field(gt=0, description="Side of the square, in pixels.")
    n_holes: int = Field(1, gt=0, description="Squares an image.")
    fill: float = Field(0.0, description="Value of the pixels that are covered.")

    def plan(self, layout: Layout) -> Layout:
        layout.image()
        return layout

    def apply(self, samples: Samples) -> None:
        images, half = samples.writable(), self.length // 2
        drawn = samples.uniform(2 * self.n_holes).reshape(-1, self.n_holes, 2)
        first = (drawn * images.shape[2:]).astype(np.int64) - half  # top and left, (k, n_holes, 2)
        fill = as_value(self.fill, images.dtype)
        for image, corners in zip(images, first.tolist(), strict=True):
            for top, left in corners:
                image[:, max(0, top) : top + self.length, max(0, left) : left + self.length] = fill
