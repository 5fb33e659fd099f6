"""Rules of the sources. Their tops are the model's inputs; values that a rule gives stand in where none are fed."""

from __future__ import annotations

from collections.abc import Sequence

from layerkit.blob import Blob
from layerkit.convert.onnx.here import Here
from layerkit.convert.onnx.rules import rule
from layerkit.convert.onnx.values import Value


@rule("Data", "HDF5Data", "ImageData", "Input", "MemoryData", "WindowData")
def _input(here: Here) -> Sequence[Value]:
    return []


@rule("DummyData")
def _dummy_data(here: Here) -> Sequence[Value]:
    plan = here.layer.plan()
    if plan.random:
        here.impossible("it draws its values at random; a constant filler, or an Input, can be expressed")
    tops = [Blob(shape) for shape in plan.tops]
    here.layer.forward([], tops)
    return [here.constant(top.data) for top in tops]


@rule("Parameter")
def _parameter(here: Here) -> Value:
    return here.weight("weight")
