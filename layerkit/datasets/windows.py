"""Batches of windows out of images, drawn at random, as detectors are trained on.

Source: Caffe's window_data_layer.cpp; R. Girshick et al., "Rich feature hierarchies for accurate object detection",
2014.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from layerkit.blob import Array
from layerkit.datasets.files import decode, images
from layerkit.datasets.files.lists import Windows, expect_files, read_windows
from layerkit.datasets.prefetch import Made
from layerkit.datasets.stream import Generator
from layerkit.datasets.transforms import Finish, Samples
from layerkit.datasets.transforms.resampling import bilinear
from layerkit.errors import DataError, UsageError


@dataclass(frozen=True)
class WindowFile:
    """A window file, and which windows are wanted of it."""

    path: str
    root: str
    fg_threshold: float
    bg_threshold: float
    background: int
    """Background windows in a batch."""
    foreground: int
    """Foreground windows in a batch."""

    def read(self) -> Windows:
        """What it says. Raises DataError, naming the line, or where a batch needs windows of which there are none."""
        windows = read_windows(self.path, self.root, self.fg_threshold, self.bg_threshold)
        for what, table, wanted in (
            ("background", windows.background, self.background),
            ("foreground", windows.foreground, self.foreground),
        ):
            if wanted and not len(table):
                raise DataError(f"'{self.path}' has no {what} windows, of which a batch needs {wanted}")
        return windows


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


@dataclass(frozen=True)
class Framing:
    """How a window becomes a square."""

    size: int
    """Side of the square."""
    pad: int
    """Pixels around the window, as they are in the square."""
    square: bool
    """Whether the window is first made the tightest square around it."""

    def place(self, corners: Sequence[int], height: int, width: int, mirrored: bool) -> Place | None:
        """Where the window is in an image of this size and in the square; None where it is not in the image."""
        size = self.size
        x1, y1, x2, y2 = corners
        if not self.pad and not self.square:
            inside = x1 >= 0 and y1 >= 0 and x2 < width and y2 < height
            return Place(x1, y1, x2 + 1, y2 + 1, 0, 0, size, size) if inside else None
        half_width, half_height = (x2 - x1 + 1) / 2, (y2 - y1 + 1) / 2
        centre_x, centre_y = x1 + half_width, y1 + half_height
        if self.square:
            half_width = half_height = max(half_width, half_height)
        grown = size / (size - 2 * self.pad)  # so that after warping there are `pad` pixels around the window
        left, right, x, across = _side(centre_x, half_width * grown, width, size, mirrored)
        top, bottom, y, down = _side(centre_y, half_height * grown, height, size, False)
        inside = right > left and bottom > top and across > 0 and down > 0
        return Place(left, top, right, bottom, x, y, across, down) if inside else None


@dataclass
class WindowMaker:
    """Makes batches of windows: background first, then foreground; each is drawn as a function of its position alone.

    Once it is open, several threads may make batches at once.
    """

    file: WindowFile
    framing: Framing
    finish: Finish
    """What is done to the pixels of the whole square."""
    mirror: bool
    """Whether half of the windows, at random, are turned left to right."""
    cache: bool
    """Whether the image files are kept in memory."""
    generator: Generator
    quick = False
    """Whether a batch costs too little to be worth making ahead."""

    _windows: Windows | None = None
    _contents: Sequence[bytes] = ()

    def open(self) -> None:
        """Read the window file, unless it was read. Raises DataError, also for an image that is missing."""
        if self._windows is not None:
            return
        decode.expect_pillow()
        windows = self.file.read()
        expect_files(windows.images)
        self._contents = [images.read_bytes(image) for image in windows.images] if self.cache else ()
        self._windows = windows

    def close(self) -> None:
        """Let go of what was read."""
        self._windows, self._contents = None, ()

    @property
    def batches(self) -> int:
        """Batches that have as many windows as there are."""
        windows = self._opened()
        return -(-(len(windows.foreground) + len(windows.background)) // self._count)

    def after(self, position: int) -> int:
        """The position of the batch that follows the one at `position`."""
        return position + self._count

    def make(self, position: int, out: Sequence[Array]) -> Made:
        """Write the windows from `position` on, (N, 3, size, size), and if `out` has two arrays, their labels, (N,).

        Raises DataError, naming the line of the window file, for an image that cannot be used.
        """
        windows = self._opened()
        out[0][...] = 0
        for row in range(self._count):
            table = windows.background if row < self.file.background else windows.foreground
            rng = self.generator(position + row)
            number, label, *corners = table[rng.integers(len(table))].tolist()
            mirrored = self.mirror and rng.random() < 0.5
            listed = windows.images[number]
            pixels = images.read(listed, content=self._contents[number] if self._contents else None).pixels()
            self._show(pixels, corners, mirrored, listed.place, out[0][row])
            for labels in out[1:]:
                labels[row] = label
        return Made(self._count, self.after(position))

    @property
    def _count(self) -> int:
        """Windows in a batch, N."""
        return self.file.background + self.file.foreground

    def _opened(self) -> Windows:
        if self._windows is None:
            raise UsageError("the window file is not open")
        return self._windows

    def _show(self, pixels: Array, corners: Sequence[int], mirrored: bool, where: str, square: Array) -> None:
        """Write a window into its square, (3, size, size)."""
        height, width = pixels.shape[1:]
        place = self.framing.place(corners, height, width, mirrored)
        if place is None:
            raise DataError(f"{where}: the window {corners} does not lie within the image of {height}x{width}")
        part = pixels[:, place.top : place.bottom, place.left : place.right]
        part = bilinear(part, place.height, place.width)
        if mirrored:
            part = part[:, :, ::-1]
        inside = (..., slice(place.y, place.y + place.height), slice(place.x, place.x + place.width))
        mean = self.finish.mean_image
        done = self.finish if mean is None else replace(self.finish, mean_image=mean[inside])
        none = np.zeros(1, np.int64)
        done.apply(Samples([part[np.newaxis]], none, none), square[inside][np.newaxis])


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
