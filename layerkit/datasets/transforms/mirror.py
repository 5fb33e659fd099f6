"""Images turned over."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from layerkit.blob import Array
from layerkit.datasets.transforms.base import Layout, Samples, Transform


class Mirror(Transform):
    """Turn some images over, left to right or upside down."""

    random: ClassVar[bool] = True

    type: Literal["mirror"] = "mirror"
    p: float = Field(0.5, ge=0, le=1, description="Share of the images, at random.")
    direction: Literal["horizontal", "vertical"] = Field(
        "horizontal", description="horizontal: left to right; vertical: upside down."
    )

    def plan(self, layout: Layout) -> Layout:
        layout.image()
        layout.expect_no_map()
        return layout

    def apply(self, samples: Samples) -> None:
        rows = np.flatnonzero(samples.uniform(1)[:, 0] < self.p)
        turn(samples.writable(), rows, -1 if self.direction == "horizontal" else -2)


def turn(images: Array, rows: Array, axis: int) -> None:
    """Reverse these rows of images (k, C, H, W) along an axis, where they are."""
    for channel in range(images.shape[1]):  # one by one: many times faster where channels lie beside each other
        images[rows, channel] = np.flip(images[rows, channel], axis)
