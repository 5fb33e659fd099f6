"""The boxes from which SSD's predictions start."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from layerkit.blob import Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops
from layerkit.registry import register

SAME = 1e-6  # aspect ratios closer than this are one


@register
class PriorBox(Layer):
    """Boxes of several sizes and shapes around every place of a feature map.

    Around the center ((w + offset) step_w, (h + offset) step_h) of each place lie, for each min_size in turn, boxes of

        width and height min_size
        width and height sqrt(min_size max_size), if there are max_sizes
        width min_size sqrt(r), height min_size / sqrt(r), for each aspect ratio r other than 1

    in pixels; all are divided by the image's width and height, so that the image is the square from 0 to 1. The step is
    the image's size over the map's unless given. With several offsets each box lies around each of their centers.

    Bottoms: a feature map (N, C, H, W) and the image (N, C, height, width); only their shapes count. No gradient.
    Tops: the priors (1, 2, H W P 4), where P is the number of boxes a place: for row, column, box of a place and
    offset, the corners xmin, ymin, xmax, ymax, and then in the second channel the four variances that predictions are
    divided by.
    Raises ShapeError where a bottom does not have four axes.

    Example: {name: conv4_prior, type: PriorBox, bottom: [conv4, data], min_size: 30, max_size: 60, aspect_ratio: 2,
      flip: true, clip: false, variance: [0.1, 0.1, 0.2, 0.2], step: 8}

    Source: Liu et al., SSD (2016), section 2.2; prior_box_layer.cpp of its Caffe; offset_h and offset_w:
    Liao et al., TextBoxes (2017), as OpenCV reads it.
    """

    class Params(LayerParams):
        """Parameters of PriorBox."""

        min_size: list[Annotated[float, Field(ge=1)]] = Field(
            min_length=1, description="Sizes of the least boxes, in pixels; what is behind the point is cut off."
        )
        max_size: list[Annotated[float, Field(ge=1)]] = Field(
            [], description="None, or one size a min_size, greater than it, in pixels; cut off as well."
        )
        aspect_ratio: list[Annotated[float, Field(gt=0)]] = Field(
            [], description="Widths over heights beside 1; repetitions do not count."
        )
        flip: bool = Field(True, description="Whether 1 / r is added for each aspect ratio r.")
        clip: bool = Field(False, description="Whether corners outside of the image are moved to its border.")
        variance: list[Annotated[float, Field(gt=0)]] = Field(
            [0.1], description="One number for all four coordinates, or four: x, y, width, height."
        )
        img_size: int | None = Field(None, gt=0, description="Side of a square image, if not bottom 1's.")
        img_h: int | None = Field(None, gt=0, description="Height of the image; img_w belongs to it.")
        img_w: int | None = Field(None, gt=0, description="Width of the image; img_h belongs to it.")
        step: float | None = Field(None, gt=0, description="Pixels from one place to the next, both ways.")
        step_h: float | None = Field(None, gt=0, description="Pixels from one row to the next; step_w belongs to it.")
        step_w: float | None = Field(None, gt=0, description="Pixels from column to column; step_h belongs to it.")
        offset: float = Field(0.5, description="Where in its cell a place's center lies; 0.5 is the middle.")
        offset_h: list[float] = Field([], description="Offsets of several centers, down; as many as offset_w.")
        offset_w: list[float] = Field([], description="Offsets of several centers, across; as many as offset_h.")

        @model_validator(mode="after")
        def _fits(self) -> PriorBox.Params:
            if self.max_size and len(self.max_size) != len(self.min_size):
                raise ValueError(f"{len(self.min_size)} min_size need as many max_size, not {len(self.max_size)}")
            for least, most in zip(self.min_size, self.max_size, strict=False):
                if most <= least:
                    raise ValueError(f"max_size {most:g} must be greater than its min_size {least:g}")
            if len(self.variance) not in (1, 4):
                raise ValueError(f"variance must be one number or four, not {len(self.variance)}")
            for one, *two in (("img_size", "img_h", "img_w"), ("step", "step_h", "step_w")):
                given = [name for name in two if getattr(self, name) is not None]
                if len(given) == 1 or (given and getattr(self, one) is not None):
                    raise ValueError(f"give {one}, or {two[0]} and {two[1]}, or none of them")
            if len(self.offset_h) != len(self.offset_w):
                raise ValueError(f"{len(self.offset_h)} offset_h need as many offset_w, not {len(self.offset_w)}")
            if self.offset_h and "offset" in self.model_fields_set:
                raise ValueError("give offset, or offset_h and offset_w, or none of them")
            return self

        @property
        def offsets(self) -> list[tuple[float, float]]:
            """Where in its cell each of a place's centers lies, across and down."""
            return list(zip(self.offset_w, self.offset_h, strict=True)) or [(self.offset, self.offset)]

        @property
        def ratios(self) -> list[float]:
            """The aspect ratios other than 1, in order, each once."""
            found: list[float] = [1.0]
            for ratio in self.aspect_ratio:
                if all(abs(ratio - other) >= SAME for other in found):
                    found += [ratio, 1 / ratio] if self.flip else [ratio]
            return found[1:]

        @property
        def shapes(self) -> list[tuple[float, float]]:
            """Width and height of each box of a place, in pixels."""
            found: list[tuple[float, float]] = []
            for i, least in enumerate(map(int, self.min_size)):  # SSD keeps sizes as integers here
                found.append((least, least))
                if self.max_size:
                    found.append((math.sqrt(least * int(self.max_size[i])),) * 2)
                found += [(least * math.sqrt(ratio), least / math.sqrt(ratio)) for ratio in self.ratios]
            return found

    bottoms = (2, 2)

    def plan(self, *bottoms: Shape) -> Plan:
        for i, shape in enumerate(bottoms):
            if len(shape) != 4:
                raise ShapeError(f"bottom {i} must have four axes (N, C, H, W), not {shape_text(shape)}", "bottom")
        height, width = bottoms[0][2:]
        return Plan(
            tops=[(1, 2, height * width * len(self.params.shapes) * len(self.params.offsets) * 4)],
            gradients=(False, False),
            reads_bottoms=(),
            reads_tops=(),
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        p = self.params
        (height, width), image = bottom[0].shape[2:], self._image(bottom[1].shape)
        steps = self._steps((width, height), image)
        places = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1)[:, :, None, None]  # (H, W, 1, 1, 2)
        middle = (places + np.array(p.offsets)) * steps  # (H, W, 1, offsets, 2), in pixels
        half = np.array(p.shapes)[:, None] / 2  # (shapes, 1, 2)
        boxes = np.concatenate([(middle - half) / image, (middle + half) / image], -1)  # (H, W, shapes, offsets, 4)
        priors, variances = top[0].data.reshape(2, *boxes.shape, copy=False)
        priors[...] = boxes.clip(0, 1) if p.clip else boxes
        variances[...] = p.variance

    def _image(self, shape: Shape) -> tuple[int, int]:
        """Width and height of the image."""
        p = self.params
        return (p.img_size or p.img_w or shape[3], p.img_size or p.img_h or shape[2])

    def _steps(self, places: tuple[int, int], image: tuple[int, int]) -> tuple[float, float]:
        """Pixels from one place to the next, across and down."""
        p = self.params
        return (p.step or p.step_w or image[0] / places[0], p.step or p.step_h or image[1] / places[1])
