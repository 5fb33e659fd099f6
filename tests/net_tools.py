"""What the tests of nets share: small nets from a few lines of YAML, and gradients by finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

import layerkit as lk
from layerkit.blob import Shape
from layerkit.layer import Bottoms, Tops

Array = npt.NDArray[Any]


MLP = """
- {name: data, type: Input, top: [data, label], shape: [[4, 3], [4]]}
- {name: fc1, type: InnerProduct, bottom: data, num_output: 5, weight_filler: xavier}
- {name: relu, type: ReLU, top: fc1}
- {name: fc2, type: InnerProduct, num_output: 2, weight_filler: xavier}
- {name: loss, type: SoftmaxWithLoss, bottom: [fc2, label]}
"""
NET = """
- {name: data, type: Input, shape: [4, 3]}
- {name: fc, type: InnerProduct, num_output: 2, weight_filler: xavier}
- {name: out, type: TanH}
"""
CONFIG = """
name: small
layers:
  - {name: digits, type: Data, top: [data, label], dataset: digits, batch_size: 32, scale: 0.0625}
  - {name: fc1, type: InnerProduct, bottom: data, num_output: 8, weight_filler: xavier}
  - {name: relu, type: ReLU, top: act}
  - {name: fc2, type: InnerProduct, num_output: 10, weight_filler: xavier}
  - {name: loss, type: SoftmaxWithLoss, bottom: [fc2, label]}
"""


def rows(count: int, columns: int = 3) -> Any:
    return np.random.default_rng(count).uniform(-1, 1, (count, columns))


@lk.register
class TestFilter(lk.Layer):
    """Keeps the rows of bottom 0 whose entry in bottom 1 is not 0; how many there are depends on the data."""

    bottoms = (2, 2)

    def plan(self, *bottoms: Shape) -> lk.Plan:
        rows = bottoms[0][0]
        kept = lk.Scratch("kept", (rows,), "bool", keep=True)
        return lk.Plan(tops=[bottoms[0]], scratch=[kept], gradients=(True, False), dynamic=True)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        kept = np.not_equal(bottom[1].data, 0, out=self.scratch.kept)
        top[0].reshape(int(kept.sum()), *bottom[0].shape[1:])
        top[0].data[...] = bottom[0].data[kept]

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            bottom[0].diff[...] = 0
            bottom[0].diff[self.scratch.kept] = top[0].diff


@lk.register
class TestWalk(lk.Layer):
    """Adds a random walk: its position is state, its steps come from the layer's generator."""

    class Params(lk.LayerParams):
        size: float = Field(1.0, description="Length of a step.")

    def plan(self, *bottoms: Shape) -> lk.Plan:
        return lk.Plan(tops=[bottoms[0]], state=[lk.State("position", bottoms[0][1:])], random=True)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        self.state.position += self.params.size * self.rng.standard_normal(self.state.position.shape)
        top[0].data[...] = bottom[0].data + self.state.position

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff


def make(layers: str, phase: str = "train", **options: Any) -> lk.Net:
    """A float64 net from layers, one `- {...}` a line."""
    return lk.Net(f"layers:\n{layers}", phase, **{"dtype": "float64", **options})


def fill(net: lk.Net, seed: int = 1) -> None:
    """Random numbers in every weight and every input blob; labels (name `label`) are 0 or 1."""
    rng = np.random.default_rng(seed)
    for weights in net.params.values():
        for blob in weights:
            blob.data[...] = rng.uniform(-1, 1, blob.shape)
    for name in net.inputs:
        blob = net.blobs[name]
        blob.data[...] = rng.integers(0, 2, blob.shape) if name == "label" else rng.uniform(-1, 1, blob.shape)


def differences(value: Callable[[], float], array: Array, step: float = 1e-6) -> Array:
    """The gradient of `value()` by `array`, each element moved up and down by `step`."""
    gradient = np.zeros(array.shape)
    for index in np.ndindex(array.shape):
        before = array[index]
        array[index] = before + step
        up = value()
        array[index] = before - step
        gradient[index] = (up - value()) / (2 * step)
        array[index] = before
    return gradient


def check_gradients(net: lk.Net, *inputs: str) -> None:
    """Every trained weight's diff, and those of `inputs`, against finite differences of the loss."""

    def loss() -> float:
        net.forward()
        return net.loss

    loss()
    net.backward()
    arrays = {slot.key: slot.blob for slot in net.flat.trained} | {name: net.blobs[name] for name in inputs}
    found = {name: blob.diff.copy() for name, blob in arrays.items()}
    for name, blob in arrays.items():
        np.testing.assert_allclose(
            found[name], differences(loss, blob.data), rtol=1e-5, atol=1e-7, err_msg=f"the gradient of {name}"
        )
