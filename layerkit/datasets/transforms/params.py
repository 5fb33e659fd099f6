"""The parameters of layers that read samples: Caffe's TransformationParameter, and the list `transform`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from layerkit.datasets.transforms.affine import Affine, Rotate
from layerkit.datasets.transforms.color_jitter import ColorJitter
from layerkit.datasets.transforms.crops import CenterCrop, PadCrop, RandomCrop
from layerkit.datasets.transforms.erasing import Cutout, RandomErasing
from layerkit.datasets.transforms.labels import Cutmix, Mixup, OneHot
from layerkit.datasets.transforms.mirror import Mirror
from layerkit.datasets.transforms.normalize import Normalize
from layerkit.datasets.transforms.resize import RandomResizedCrop, Resize
from layerkit.layer import LayerParams

AnyTransform = Annotated[
    Affine
    | CenterCrop
    | ColorJitter
    | Cutmix
    | Cutout
    | Mirror
    | Mixup
    | Normalize
    | OneHot
    | PadCrop
    | RandomCrop
    | RandomErasing
    | RandomResizedCrop
    | Resize
    | Rotate,
    Field(discriminator="type"),
]


class CaffeParams(LayerParams):
    """What is done to samples last, in this order: cropped, mirrored, the mean subtracted, scaled."""

    scale: float = Field(1.0, description="What each value is multiplied by, after the mean is subtracted.")
    mean_value: list[float] = Field(
        [], description="What is subtracted: one value, or one a channel in the net's order of channels."
    )
    mean_file: str | None = Field(
        None,
        description="Mean image to subtract, of the size before the crop, with channels in the net's order: "
        ".binaryproto, .npy or .npz.",
    )
    mirror: bool = Field(False, description="Whether half of the images, at random, are turned left to right.")
    crop_size: int = Field(
        0, ge=0, description="Side of the square used: anywhere to train, else in the middle; 0 uses all."
    )

    @model_validator(mode="after")
    def _one_mean(self) -> CaffeParams:
        if self.mean_file is not None and self.mean_value:
            raise ValueError("give mean_file or mean_value, not both")
        return self


class TransformParams(CaffeParams):
    """What is done to samples: the transforms of a list in their order, then what Caffe does."""

    transform: list[AnyTransform] = Field(
        [], description="What is done before all that, in this order; random ones act in the train phase only."
    )
