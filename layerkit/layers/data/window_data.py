"""WindowData: batches of windows out of images."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from layerkit.blob import Shape, shape_text
from layerkit.datasets.files import decode
from layerkit.datasets.files.lists import expect_files
from layerkit.datasets.transforms import CaffeParams, Finish, Layout, Pipeline, read_mean, sample_info
from layerkit.datasets.windows import Framing, WindowFile, WindowMaker
from layerkit.errors import DataError, ShapeError
from layerkit.layer import Plan, State
from layerkit.layers.data.ahead import AheadSource, LoadingParams
from layerkit.registry import register
from layerkit.samples import SampleInfo


@register
class WindowData(AheadSource):
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

    class Params(CaffeParams, LoadingParams):
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

    def plan(self, *bottoms: Shape) -> Plan:
        info = self.samples()
        if Path(self.params.source).is_file():
            self._file().read()
        n = self.params.batch_size
        return Plan(tops=[(n, *info.shape), (n,)][: self.num_tops], state=[State("consumed", (1,), "int64")])

    def samples(self) -> SampleInfo:
        finish, size = self._finish(), self.params.crop_size
        return sample_info(Pipeline(Layout(((3, size, size),), (np.dtype(np.uint8),)), (), finish))

    def missing(self) -> str | None:
        try:
            decode.expect_pillow()
            expect_files(self._file().read().images)
        except DataError as error:
            return str(error)
        return None

    def maker(self) -> WindowMaker:
        p = self.params
        framing = Framing(p.crop_size, p.context_pad, p.crop_mode == "square")
        return WindowMaker(self._file(), framing, self._finish(), p.mirror, p.cache_images, self.generator)

    def _file(self) -> WindowFile:
        p = self.params
        foreground = int(np.float32(p.batch_size) * np.float32(p.fg_fraction))  # in float32 as in Caffe
        background = p.batch_size - foreground
        return WindowFile(p.source, p.root_folder, p.fg_threshold, p.bg_threshold, background, foreground)

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
