"""What is done to samples between the source and the net: a list of transforms, then what Caffe does.

A sample as stored -> the list under `transform:` in its order -> Caffe's crop, mirror, mean and scale. Random ones act
in the train phase only; in others they are left out or, where they make the size, do the same in the middle. What is
drawn is a function of (seed, epoch, index).
"""

from __future__ import annotations

from layerkit.datasets.transforms.base import Layout, Samples, Transform, shape_words
from layerkit.datasets.transforms.build import ChannelOrder, build, layout_of, of_info, sample_info
from layerkit.datasets.transforms.finish import Finish
from layerkit.datasets.transforms.mean import read_mean
from layerkit.datasets.transforms.params import AnyTransform, CaffeParams, TransformParams
from layerkit.datasets.transforms.pipeline import Pipeline
from layerkit.datasets.transforms.resize import Resize

__all__ = [
    "AnyTransform",
    "CaffeParams",
    "ChannelOrder",
    "Finish",
    "Layout",
    "Pipeline",
    "Resize",
    "Samples",
    "Transform",
    "TransformParams",
    "build",
    "layout_of",
    "of_info",
    "read_mean",
    "sample_info",
    "shape_words",
]
