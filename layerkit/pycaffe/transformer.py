"""Transformer: images to what a net takes, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError, UnknownNameError
from layerkit.pycaffe.images import resize_image


class Transformer:
    """Prepares images for the inputs of a net: `Transformer({"data": net.blobs["data"].data.shape})`.

    `preprocess` resizes to the input's size, then transposes, reorders channels, multiplies by raw_scale, subtracts the
    mean and multiplies by input_scale, as far as each was set; `deprocess` goes back, without resizing.

    Source: pycaffe's io.Transformer.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]):
        """`inputs` are the shapes of the net's inputs by name."""
        self.inputs: dict[str, Shape] = {name: tuple(shape) for name, shape in inputs.items()}
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, Array] = {}
        self.input_scale: dict[str, float] = {}

    def preprocess(self, in_: str, data: npt.ArrayLike) -> Array:
        """An image (H', W', K) as the input takes it, mostly (K, H, W), float32."""
        shape = self._shape(in_)
        made = np.asarray(data, np.float32)
        if made.shape[:2] != shape[2:]:
            made = resize_image(made, shape[2:])
        if in_ in self.transpose:
            made = made.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            made = made[list(self.channel_swap[in_])]
        if in_ in self.raw_scale:
            made = made * np.float32(self.raw_scale[in_])
        if in_ in self.mean:
            made = made - self.mean[in_]
        if in_ in self.input_scale:
            made = made * np.float32(self.input_scale[in_])
        return np.array(made, np.float32)

    def deprocess(self, in_: str, data: npt.ArrayLike) -> Array:
        """What `preprocess` was given, in the input's size."""
        self._shape(in_)
        made = np.array(data, np.float32).squeeze()
        if in_ in self.input_scale:
            made = made / np.float32(self.input_scale[in_])
        if in_ in self.mean:
            made = made + self.mean[in_]
        if in_ in self.raw_scale:
            made = made / np.float32(self.raw_scale[in_])
        if in_ in self.channel_swap:
            made = made[np.argsort(self.channel_swap[in_])]
        if in_ in self.transpose:
            made = made.transpose(np.argsort(self.transpose[in_]))
        return np.asarray(made, np.float32)

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """The order of the image's axes in the input: (2, 0, 1) puts channels first."""
        self._expect(len(order) == len(self._shape(in_)) - 1, "transpose needs as many axes as a sample has")
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """The order of the channels, which come first by now: (2, 1, 0) makes BGR of RGB."""
        self._expect(len(order) == self._shape(in_)[1], "channel_swap needs as many channels as the input has")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """A factor before the mean is subtracted: 255 for nets that were trained on bytes."""
        self._shape(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: npt.ArrayLike) -> None:
        """What is subtracted: a number a channel (K,), or an image (K, H, W) or (H, W), resized to the input's size."""
        wanted, found = self._shape(in_)[1:], np.asarray(mean, np.float32)
        if found.ndim == 1:
            self._expect(len(found) in (1, wanted[0]), f"the mean has {len(found)} channels, the input {wanted[0]}")
            found = found[:, np.newaxis, np.newaxis]
        else:
            found = found[np.newaxis] if found.ndim == 2 else found
            fits = found.ndim == 3 and found.shape[0] in (1, wanted[0])
            self._expect(fits, f"the mean is {shape_text(found.shape)}, the input {shape_text(wanted)}")
            if found.shape[1:] != wanted[1:]:
                found = resize_image(found.transpose(1, 2, 0), wanted[1:]).transpose(2, 0, 1)
        self.mean[in_] = found

    def set_input_scale(self, in_: str, scale: float) -> None:
        """A factor after the mean was subtracted."""
        self._shape(in_)
        self.input_scale[in_] = scale

    def _shape(self, in_: str) -> Shape:
        if in_ not in self.inputs:
            raise UnknownNameError("input", in_, self.inputs)
        return self.inputs[in_]

    def _expect(self, fits: bool, message: str) -> None:
        if not fits:
            raise ShapeError(message)
