"""Detector: a net that classifies windows of images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from layerkit.blob import Array
from layerkit.pycaffe.classifier import ImageNet
from layerkit.pycaffe.images import load_image, resize_image

Window = Sequence[float] | Array
"""ymin, xmin, ymax, xmax in pixels."""


class Detector(ImageNet):
    """Classifies windows of images, as in R-CNN; the windows are the caller's.

    Source: pycaffe's Detector; Girshick et al., Rich feature hierarchies (2014).
    """

    def __init__(
        self,
        model_file: str | os.PathLike[str],
        pretrained_file: str | os.PathLike[str],
        mean: npt.ArrayLike | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ):
        """A net and its weights; with `context_pad` each window is cropped with as many pixels of the net's input of
        its surroundings on every side, the mean where the image ends."""
        super().__init__(model_file, pretrained_file, mean, input_scale, raw_scale, channel_swap)
        self.context_pad = context_pad or 0

    def detect_windows(
        self, images_windows: Iterable[tuple[str | os.PathLike[str], Sequence[Window]]]
    ) -> list[dict[str, Any]]:
        """The first output for each window of each image file: dicts of `window`, `prediction` and `filename`."""
        listed = [(name, window, load_image(name)) for name, windows in images_windows for window in [*windows]]
        scores = self.scores([self.crop(image, window) for _, window, image in listed])
        flat = scores.reshape(len(scores), -1)
        return [
            {"window": window, "prediction": score, "filename": name}
            for (name, window, _), score in zip(listed, flat, strict=True)
        ]

    def crop(self, im: Array, window: Window) -> Array:
        """The part of an image (H, W, K) within a window, with its context."""
        box = np.asarray(window, float)
        if not self.context_pad:
            top, left, bottom, right = box.round().astype(int)
            return im[max(top, 0) : bottom, max(left, 0) : right]
        size = self.blobs[self.inputs[0]].shape[2]
        grown = (box[2:] - box[:2] + 1) * (size / (size - 2 * self.context_pad))
        middle = (box[:2] + box[2:] + 1) / 2
        top, left = np.floor(middle - grown / 2).astype(int)
        bottom, right = np.ceil(middle + grown / 2).astype(int)
        inside = im[max(top, 0) : bottom, max(left, 0) : right]
        whole = np.tile(self._background(im), (bottom - top, right - left, 1))
        y, x = max(-top, 0), max(-left, 0)
        whole[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
        return resize_image(whole, (size, size))

    def _background(self, im: Array) -> Array:
        """A pixel that is nothing after the transformer has subtracted the mean."""
        name = self.inputs[0]
        mean = self.transformer.mean.get(name)
        if mean is None:
            return np.zeros(im.shape[2], np.float32)
        pixel = np.broadcast_to(mean.mean(axis=(1, 2), keepdims=True), (im.shape[2], 1, 1))
        order = self.transformer.channel_swap.get(name)
        pixel = pixel if order is None else pixel[np.argsort(order)]
        return np.asarray(pixel[:, 0, 0] / self.transformer.raw_scale.get(name, 1.0), np.float32)
