"""Classifier: a net whose input is images, and that tells their classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from layerkit.blob import Array
from layerkit.pycaffe import images, modes
from layerkit.pycaffe.net import Net
from layerkit.pycaffe.transformer import Transformer


class ImageNet(Net):
    """A net in the test phase with a transformer for its first input, which takes images (H, W, K)."""

    def __init__(
        self,
        model_file: str | os.PathLike[str],
        pretrained_file: str | os.PathLike[str],
        mean: npt.ArrayLike | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ):
        super().__init__(model_file, pretrained_file, modes.TEST)
        name = self.inputs[0]
        self.transformer = Transformer({name: self.blobs[name].shape})
        self.transformer.set_transpose(name, (2, 0, 1))
        setters: list[tuple[Any, Any]] = [
            (self.transformer.set_mean, mean),
            (self.transformer.set_input_scale, input_scale),
            (self.transformer.set_raw_scale, raw_scale),
            (self.transformer.set_channel_swap, channel_swap),
        ]
        for setter, value in setters:
            if value is not None:
                setter(name, value)

    def scores(self, batch: Sequence[Array] | Array) -> Array:
        """The first output for images of any number and size."""
        name = self.inputs[0]
        given: dict[str, Any] = {name: np.stack([self.transformer.preprocess(name, image) for image in batch])}
        return self.forward_all(**given)[self.outputs[0]]


class Classifier(ImageNet):
    """Tells the classes of images, from their middle or from ten crops.

    Source: pycaffe's Classifier.
    """

    def __init__(
        self,
        model_file: str | os.PathLike[str],
        pretrained_file: str | os.PathLike[str],
        image_dims: Sequence[int] | None = None,
        mean: npt.ArrayLike | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ):
        """A net and its weights; images are resized to `image_dims`, by default the net's own size, before cropping.

        `mean`, `input_scale`, `raw_scale` and `channel_swap` are as in Transformer.
        """
        super().__init__(model_file, pretrained_file, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims = tuple(self.crop_dims if image_dims is None else image_dims)

    def predict(self, inputs: Sequence[Array], oversample: bool = True) -> Array:
        """The first output for each image (H, W, K): (N, classes). With `oversample` the mean over ten crops."""
        resized = np.stack([images.resize_image(image, self.image_dims) for image in inputs])
        if not oversample:
            return self.scores(images.centre_crop(resized, self.crop_dims))
        scores = self.scores(images.oversample(resized, self.crop_dims))
        mean: Array = scores.reshape(len(scores) // 10, 10, -1).mean(1)
        return mean
