"""What is done to samples between the source and the net: a list of transforms, then what Caffe does.

A sample as stored -> the list under `transform:` in its order -> Caffe's crop, mirror, mean and scale. Random ones act
in the train phase only; in others they are left out or, where they make the size, do the same in the middle. What is
drawn is a function of (seed, epoch, index).
"""

from __future__ import annotations

from layerkit.datasets.transforms.base import Layout, Samples, Transform
from layerkit.datasets.transforms.finish import Finish
from layerkit.datasets.transforms.mean import read_mean
from layerkit.datasets.transforms.params import AnyTransform, CaffeParams, TransformParams
from layerkit.datasets.transforms.pipeline import Pipeline

__all__ = [
    "AnyTransform",
    "CaffeParams",
    "Finish",
    "Layout",
    "Pipeline",
    "Samples",
    "Transform",
    "TransformParams",
    "read_mean",
]
