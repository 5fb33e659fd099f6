"""Layer: the base of layers written in Python, and what `net.layers` shows of all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from layerkit.layer import Layer as NetsLayer
from layerkit.layers.python.blobs import CaffeBlob, CaffeBlobs
from layerkit.layers.python.python import Python
from layerkit.pycaffe.blob import Blob


class Layer:
    """Base of a layer of type Python. A subclass writes `setup`, `reshape`, `forward` and `backward`.

    Bottoms and tops have `data`, `diff`, `shape`, `num` ... and tops `reshape(*shape)`. In `backward` the diffs of
    bottoms and weights are zero at first and may be written or added to. What a net's file names as a Python layer is
    code of the script's own, and so is run without being asked for, as in Caffe.

    Source: Caffe's PythonLayer; pycaffe's Layer.
    """

    param_str: str = ""
    """The text that the net's file gives."""
    phase: int = 0
    """caffe.TRAIN or caffe.TEST."""
    blobs: CaffeBlobs
    """The weights; `blobs.add_blob(*shape)` makes one in `setup`."""
    type = "Python"

    def setup(self, bottom: Sequence[CaffeBlob], top: Sequence[CaffeBlob]) -> None:
        """Read `param_str` and make weights: called once."""

    def reshape(self, bottom: Sequence[CaffeBlob], top: Sequence[CaffeBlob]) -> None:
        """Shape the tops: called before each forward pass."""
        raise self._lacks("reshape")

    def forward(self, bottom: Sequence[CaffeBlob], top: Sequence[CaffeBlob]) -> None:
        """Write the tops' data."""
        raise self._lacks("forward")

    def backward(self, top: Sequence[CaffeBlob], propagate_down: Sequence[bool], bottom: Sequence[CaffeBlob]) -> None:
        """Write the diffs of the bottoms that are asked for, and of the weights."""
        raise self._lacks("backward")

    def _lacks(self, method: str) -> NotImplementedError:
        return NotImplementedError(f"{type(self).__name__} has no method {method!r}")


class NetLayer:
    """A layer of a net as `net.layers` shows it: its type and its weights."""

    def __init__(self, name: str, kind: str, blobs: list[Blob]):
        self._name = name
        self.type = kind
        self.blobs = blobs

    def __repr__(self) -> str:
        return f"<Layer {self._name!r} ({self.type})>"


def shown(layer: NetsLayer, name: str, kind: str, blobs: list[Blob]) -> Any:
    """What `net.layers` shows of a layer: of one in Python the object of the user's class."""
    if not isinstance(layer, Python):
        return NetLayer(name, kind, blobs)
    layer.show_weights()
    return layer.user
