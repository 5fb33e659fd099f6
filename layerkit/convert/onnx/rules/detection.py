"""Rules of the detection layers."""

from __future__ import annotations

from layerkit.blob import Blob
from layerkit.convert.onnx.here import Here
from layerkit.convert.onnx.rules import rule
from layerkit.convert.onnx.values import Value


@rule("PriorBox")
def _prior_box(here: Here, features: Value, image: Value) -> Value:
    """Only shapes count, so the boxes are a constant."""
    shapes = [here.shape(0, 2), here.shape(1, 2)]
    (shape,) = here.layer.plan(*shapes).tops
    top = Blob(shape)
    here.layer.forward([Blob(each) for each in shapes], [top])
    return here.constant(top.data)
