"""What was done to samples before the net saw them: as a model's metadata, or as nodes of the model.

By default it is metadata, so that a model takes what its net takes and both can be compared; a model that takes raw
samples is wanted where no program of one's own stands before it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from layerkit.convert.onnx.here import Dims, NotExpressibleError
from layerkit.convert.onnx.values import Nodes, Value
from layerkit.samples import SampleInfo

ORDER = "transform, channel_order, crop_size in the middle, - mean, * scale"
"""What is done to samples, in words of the metadata's keys."""
OWN = ("shape", "class_names")
"""What a model says in another place."""


def describe(samples: Mapping[str, SampleInfo], notes: Sequence[str], *, prepared: bool) -> dict[str, str]:
    """The metadata of a model: for each input `NAME.scale`, `NAME.mean_value` ..., and `class_names`, as JSON.

    The keys are those of SampleInfo. A model that prepares its samples itself says what order of channels it takes.
    """
    found = {"notes": json.dumps(list(notes))} if notes else {}
    for name, info in samples.items():
        if prepared:
            found[f"{name}.raw.channel_order"] = json.dumps("RGB")
        else:
            found[f"{name}.order"] = json.dumps(ORDER)
            given = info.model_dump(exclude_none=True)
            found |= {f"{name}.{key}": json.dumps(value) for key, value in given.items() if key not in OWN}
        if info.class_names:
            found["class_names"] = json.dumps(info.class_names)
    return found


def raw_dims(info: SampleInfo, dims: Dims) -> Dims:
    """The dimensions of raw samples, whose batch is that of `dims`; a height or width that may be any has a name."""
    shape = info.raw_shape or info.shape
    if info.mean_image is not None:
        shape = list(info.mean_image.shape)
    return (dims[0], *(length or f"raw_axis_{i}" for i, length in enumerate(shape, 1)))


def prepare(nodes: Nodes, raw: Value, info: SampleInfo) -> Value:
    """What the net sees of raw samples, as `layerkit.datasets.transforms` makes it.

    Raises NotExpressibleError for a transform that is not written here.
    """
    x = raw
    for step in info.transform:
        x = _transformed(nodes, x, step, len(info.shape))
    if info.channel_order == "BGR":
        x = nodes.op("Gather", x, [2, 1, 0], axis=1)
    if info.mean_image is not None:
        x = x - np.asarray(info.mean_image, np.float32)
    if info.crop_size:
        x = _middle(nodes, x, info.crop_size, info.crop_size)
    if info.mean_value and info.mean_image is None:
        x = x - _by_channel(info.mean_value, len(info.shape))
    return x * info.scale


def _transformed(nodes: Nodes, x: Value, step: Mapping[str, Any], axes: int) -> Value:
    """x after one of a snapshot's transforms, for samples with so many axes."""
    if step["type"] == "normalize":
        mean, std = (_by_channel(step.get(name, default), axes) for name, default in (("mean", [0.0]), ("std", [1.0])))
        return (x - mean) / std
    if step["type"] == "center_crop":
        size = step["size"]
        return _middle(nodes, x, size[0], size[-1])
    raise NotExpressibleError(
        f"what its transform {step['type']!r} does to raw samples is not written; without preprocessing the model "
        f"takes prepared ones"
    )


def _by_channel(values: Sequence[float], axes: int) -> np.ndarray[Any, Any]:
    """One value, or one for each channel of samples with so many axes."""
    array = np.asarray(values, np.float32)
    return array[0] if len(array) == 1 else array.reshape(-1, *[1] * (axes - 1))


def _middle(nodes: Nodes, x: Value, height: int, width: int) -> Value:
    """The middle of images (N, C, H, W) of any size."""
    room = nodes.op("Sub", nodes.op("Shape", x, start=2), [height, width])
    first = nodes.op("Div", room, [2, 2])
    return nodes.op("Slice", x, first, nodes.op("Add", first, [height, width]), [2, 3])
