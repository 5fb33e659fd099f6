"""WindowData: batches of windows out of images."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from layerkit.blob import Array, Shape, shape_text
from layerkit.datasets.files import decode, images
from layerkit.datasets.files.lists import Windows, expect_files, read_windows
from layerkit.datasets.transforms import CaffeParams, Finish, Layout, Pipeline, Samples, read_mean, sample_info
from layerkit.datasets.transforms.resampling import bilinear
from layerkit.errors import DataError, ShapeError
from layerkit.layer import Bottoms, Plan, SampleInfo, SourceLayer, State, Tops
from layerkit.layers.data.batches import opened
from layerkit.registry import register


class Place(NamedTuple):
    """Where a window is cut out of its image, and where it goes in the square; the ends are not included."""

    left: int
    top: int
    right: int
    bottom: int
    x: int
    y: int
    width: int
    height: int


@register
class WindowData(SourceLayer):
    """Windows of images with their labels, drawn at random, as detectors are trained on.

        top 0 = (x - mean) * scale inside of the image, 0 outside

    A batch is background first, then a share of fg_fraction from the foreground. Each window is cut out, warped to
    crop_size x crop_size, and mirrored at random. Windows are drawn with replacement, in every phase, as a function of
    the seed and the position alone, so there are no epochs; a test draws as many windows as there are. Needs Pillow:
    pip install 'layerkit[data]'.

    Bottoms: none. Tops: windows (N, 3, crop_size, crop_size) in blue, green and red of 0..255 before mean and scale,
    and labels (N,), 0 for background, which may be left out.
    Raises DataError, naming the line of the window file, for a line or image that cannot be used.

    Example: {name: data, type: WindowData, top: [data, label], source: windows.txt, batch_size: 128, crop_size: 227,
      context_pad: 16, mirror: true, mean_value: [104, 117, 123]}

    Source: Caffe's WindowData (window_data_layer.cpp); R. Girshick et al., "Rich feature hierarchies for accurate
    object detection", 2014.
    """

    class Params(CaffeParams):
        source: str = Field(description="Window file: images and, of each, windows with their overlaps.")
        batch_size: int = Field(gt=0, description="Windows a batch, N.")
        crop_size: int = Field(
            gt=0, description="Side of the square that windows are warped to, more than twice context_pad."
        )
        fg_threshold: float = Field(0.5, description="Least overlap of a foreground window.")
        bg_threshold: float = Field(0.5, description="What a background window's overlap must be less than.")
        fg_fraction: float = Field(0.25, ge=0, le=1, description="Share of foreground windows in a batch.")
        context_pad: int = Field(0, ge=0, description="Pixels around the window, as they are after warping.")
        crop_mode: Literal["warp", "square"] = Field(
            "warp", description="warp: the window as it is; square: the tightest square around it."
        )
        cache_images: bool = Field(False, description="Whether to keep the image files in memory, as they are.")
        root_folder: str = Field("", description="What is put in front of every path; a folder must end in '/'.")

        @model_validator(mode="after")
        def _has_room(self) -> WindowData.Params:
            if self.crop_size <= 2 * self.context_pad:
                given = f"{self.crop_size} and {self.context_pad}"
                raise ValueError(f"crop_size must be more than twice context_pad, but they are {given}")
            return self

    tops = (1, 2)

    _windows: Windows | None = None
    _contents: list[bytes]
    _done: Finish

    def plan(self, *bottoms: Shape) -> Plan:
        info = self.samples()
        if Path(self.params.source).is_file():
            self._read()
        n = self.params.batch_size
        return Plan(tops=[(n, *info.shape), (n,)][: self.num_tops], state=[State("consumed", (1,), "int64")])

    def samples(self) -> SampleInfo:
        finish, size = self._finish(), self.params.crop_size
        return sample_info(Pipeline(Layout(((3, size, size),), (np.dtype(np.uint8),)), (), finish))

    def missing(self) -> str | None:
        try:
            decode.expect_pillow()
            expect_files(self._read().images)
        except DataError as error:
            return str(error)
        return None

    def open(self) -> None:
        decode.expect_pillow()
        windows = self._read()
        expect_files(windows.images)
        self._contents = [images.read_bytes(image) for image in windows.images] if self.params.cache_images else []
        self._done = self._finish()
        self._windows = windows

    def close(self) -> None:
        self._windows, self._contents = None, []

    def batches(self) -> int:
        windows = opened(self, self._windows)
        return -(-(len(windows.foreground) + len(windows.background)) // int(self.params.batch_size))

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        windows = opened(self, self._windows)
        p, position = self.params, int(self.state.consumed[0])
        foreground = self._foreground
        top[0].data[...] = 0
        for row in range(p.batch_size):
            table = windows.background if row < p.batch_size - foreground else windows.foreground
            rng = self.generator(position + row)
            image, label, *corners = table[rng.integers(len(table))].tolist()
            mirrored = bool(p.mirror and rng.random() < 0.5)
            pixels = images.read(
                windows.images[image], content=self._contents[image] if self._contents else None
            ).pixels()
            self._show(pixels, corners, mirrored, windows.images[image].place, top[0].data[row])
            if len(top) > 1:
                top[1].data[row] = label
        self.state.consumed[0] = position + p.batch_size

    def _show(self, pixels: Array, corners: list[int], mirrored: bool, where: str, square: Array) -> None:
        """Write a window into its square, (3, crop_size, crop_size)."""
        height, width = pixels.shape[1:]
        place = self._place(corners, height, width, mirrored)
        if place is None:
            raise DataError(f"{where}: the window {corners} does not lie within the image of {height}x{width}")
        part = pixels[:, place.top : place.bottom, place.left : place.right]
        part = bilinear(part, place.height, place.width)
        if mirrored:
            part = part[:, :, ::-1]
        inside = (..., slice(place.y, place.y + place.height), slice(place.x, place.x + place.width))
        mean = self._done.mean_image
        done = self._done if mean is None else replace(self._done, mean_image=mean[inside])
        none = np.zeros(1, np.int64)
        done.apply(Samples([part[np.newaxis]], none, none), square[inside][np.newaxis])

    def _finish(self) -> Finish:
        """What is done to the pixels last; of the mean image, the square of crop_size in its middle."""
        p, mean = self.params, None
        if p.mean_file is not None:
            whole = read_mean(p.mean_file)
            first = (whole.shape[2] - p.crop_size) // 2  # downwards, too, as in Caffe
            mean = whole[:, first : first + p.crop_size, first : first + p.crop_size]
            if first < 0 or mean.shape != (3, p.crop_size, p.crop_size):
                size = f"{shape_text(whole.shape)}, which holds no 3x{p.crop_size}x{p.crop_size}"
                raise ShapeError(f"mean_file: the mean image is {size}", "mean_file")
        return Finish(scale=p.scale, mean_value=tuple(p.mean_value), mean_image=mean, reverse=True)

    def _place(self, corners: list[int], height: int, width: int, mirrored: bool) -> Place | None:
        """Where the window is in an image of this size and in the square; None where it is not in the image."""
        size, pad = self.params.crop_size, self.params.context_pad
        x1, y1, x2, y2 = corners
        if not pad and self.params.crop_mode == "warp":
            inside = x1 >= 0 and y1 >= 0 and x2 < width and y2 < height
            return Place(x1, y1, x2 + 1, y2 + 1, 0, 0, size, size) if inside else None
        half_width, half_height = (x2 - x1 + 1) / 2, (y2 - y1 + 1) / 2
        centre_x, centre_y = x1 + half_width, y1 + half_height
        if self.params.crop_mode == "square":
            half_width = half_height = max(half_width, half_height)
        grown = size / (size - 2 * pad)  # so that after warping there are `pad` pixels around the window
        left, right, x, across = _side(centre_x, half_width * grown, width, size, mirrored)
        top, bottom, y, down = _side(centre_y, half_height * grown, height, size, False)
        inside = right > left and bottom > top and across > 0 and down > 0
        return Place(left, top, right, bottom, x, y, across, down) if inside else None

    @property
    def _foreground(self) -> int:
        """How many windows of a batch are foreground, in float32 as in Caffe."""
        return int(np.float32(self.params.batch_size) * np.float32(self.params.fg_fraction))

    def _read(self) -> Windows:
        p = self.params
        windows = read_windows(p.source, p.root_folder, p.fg_threshold, p.bg_threshold)
        for what, table, wanted in (
            ("background", windows.background, p.batch_size - self._foreground),
            ("foreground", windows.foreground, self._foreground),
        ):
            if wanted and not len(table):
                raise DataError(f"'{p.source}' has no {what} windows, of which a batch needs {wanted}")
        return windows


def _side(centre: float, half: float, length: int, size: int, turned: bool) -> tuple[int, int, int, int]:
    """Along one axis: the pixels of the image from .. to, and of the square, how many are left free, then filled."""
    first, last = _round(centre - half), _round(centre + half)
    scale = size / (last - first + 1)
    start, stop = max(0, first), min(last, length - 1) + 1
    free = _round((last + 1 - stop if turned else start - first) * scale)
    return start, stop, free, min(_round((stop - start) * scale), size - free)


def _round(value: float) -> int:
    """To the nearest whole number, halves away from zero, as in C."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))
