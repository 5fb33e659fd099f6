"""What was done to samples before the net saw them: as a model's metadata, or as nodes of the model.

By default it is metadata, so that a model takes what its net takes and both can be compared; a model that takes raw
samples is wanted where no program of one's own stands before it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from layerkit.convert.onnx.values import Nodes, Value
from layerkit.layer import SampleInfo


def describe(samples: Mapping[str, SampleInfo], notes: Sequence[str], *, prepared: bool) -> dict[str, str]:
    """The metadata of a model: for each input `NAME.scale`, `NAME.mean_value`, `NAME.channel_order`, `class_names`.

    Lists are JSON. A model that prepares its samples itself says only what order of channels it takes: RGB.
    """
    found = {"notes": json.dumps(list(notes))} if notes else {}
    for name, info in samples.items():
        if prepared:
            found[f"{name}.raw.channel_order"] = "RGB"
        else:
            found[f"{name}.formula"] = "(x - mean_value) * scale"
            found[f"{name}.scale"] = json.dumps(info.scale)
            found[f"{name}.mean_value"] = json.dumps(info.mean_value)
            found[f"{name}.channel_order"] = info.channel_order
        if info.class_names:
            found["class_names"] = json.dumps(info.class_names)
    return found


def prepare(nodes: Nodes, raw: Value, info: SampleInfo) -> Value:
    """What the net sees of raw samples, as `layerkit.datasets.transform` makes it."""
    x = raw
    if info.channel_order == "BGR":
        x = nodes.op("Gather", x, [2, 1, 0], axis=1)
    if info.mean_value:
        mean = np.array(info.mean_value, np.float32)
        x = x - (mean.reshape(-1, *(1 for _ in info.shape[1:])) if len(mean) > 1 else mean[0])
    return x * info.scale
