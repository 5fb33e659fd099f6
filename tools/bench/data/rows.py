"""The rows: which images are read, and what is done to them, as either side is told it.

layerkit's side is the fields of a Data layer. torch's is what someone writes who follows its tutorials: a Dataset that
holds PIL images or tensors, and transforms of torchvision by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What torchvision's models are trained with, for values in 0..1."""

Step = tuple[str, Mapping[str, Any]]
"""A transform of torchvision: its name and keyword arguments."""


@dataclass(frozen=True)
class Row:
    """One kind of work, done by both sides."""

    name: str
    label: str
    files: str
    """What is read: one of `made.MADE`."""
    batch: int
    layer: Mapping[str, Any]
    """Fields of layerkit's Data layer."""
    dataset: Literal["images", "tensors", "folder"]
    """torch's Dataset: `images` makes a PIL image of an array in memory, as torchvision's MNIST and CIFAR10 do, and
    `folder` of a file; `tensors` is a TensorDataset of floats that were transformed beforehand.
    """
    steps: Sequence[Step] = field(default=(("ToTensor", {}),))
    """torch's transforms."""
    random: bool = False
    """Whether the transforms draw, so that the sides agree in their statistics only."""
    off_by: float = 1e-5
    """How far values may lie apart where nothing is drawn."""


_TENSOR: Step = ("ToTensor", {})
_NORMAL: Step = ("Normalize", {"mean": MEAN, "std": STD})
_SCALE = {"scale": 1 / 255}
_NORMALIZE = {
    "type": "normalize",
    "mean": [255 * each for each in MEAN],
    "std": [255 * each for each in STD],
}
_LEVEL = 1 / 255 / min(STD)
"""One of 256 levels after the normalization."""

ROWS = {
    row.name: row
    for row in (
        Row("mnist", "28x28, scaled", "mnist", 64, _SCALE, "images"),
        Row("mnist_tensors", "28x28, scaled; torch's lie ready in a TensorDataset", "mnist", 64, _SCALE, "tensors"),
        Row(
            "mnist_shifted", "28x28, padded by 2 and cropped", "mnist", 64,
            {**_SCALE, "transform": [{"type": "pad_crop", "padding": 2}]},
            "images", (("RandomCrop", {"size": 28, "padding": 2}), _TENSOR), random=True,
        ),
        Row(
            "mnist_affine", "28x28, turned and shifted, bilinear", "mnist", 64,
            {**_SCALE, "transform": [{"type": "affine", "degrees": [10], "translate": [0.1]}]},
            "images",
            (("RandomAffine", {"degrees": 10, "translate": (0.1, 0.1), "interpolation": "bilinear"}), _TENSOR),
            random=True,
        ),
        Row("cifar", "3x32x32, normalized", "cifar", 100, {"transform": [_NORMALIZE]}, "images", (_TENSOR, _NORMAL)),
        Row(
            "cifar_tensors", "3x32x32, normalized; torch's lie ready in a TensorDataset", "cifar", 100,
            {"transform": [_NORMALIZE]}, "tensors", (_TENSOR, _NORMAL),
        ),
        Row(
            "cifar_augmented", "3x32x32, padded by 4 and cropped, mirrored, normalized", "cifar", 100,
            {"transform": [{"type": "pad_crop", "padding": 4}, {"type": "mirror"}, _NORMALIZE]},
            "images",
            (("RandomCrop", {"size": 32, "padding": 4}), ("RandomHorizontalFlip", {}), _TENSOR, _NORMAL),
            random=True,
        ),
        Row(
            "jpeg", "JPEG 224x224, normalized", "small", 32, {"transform": [_NORMALIZE]},
            "folder", (_TENSOR, _NORMAL),
        ),
        Row(
            "jpeg_test", "JPEG 500x375, resized to 256, the middle 224, normalized", "photos", 32,
            {"transform": [{"type": "resize", "size": 256}, {"type": "center_crop", "size": 224}, _NORMALIZE]},
            "folder", (("Resize", {"size": 256}), ("CenterCrop", {"size": 224}), _TENSOR, _NORMAL),
            off_by=2.01 * _LEVEL,
        ),
        Row(
            "jpeg_train", "JPEG 500x375, a random part resized to 224, mirrored, normalized", "photos", 32,
            {"transform": [{"type": "random_resized_crop", "size": 224}, {"type": "mirror"}, _NORMALIZE]},
            "folder", (("RandomResizedCrop", {"size": 224}), ("RandomHorizontalFlip", {}), _TENSOR, _NORMAL),
            random=True,
        ),
    )
}  # fmt: skip
"""In the order of measuring."""
