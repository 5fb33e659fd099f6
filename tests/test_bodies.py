"""Nets inside a layer: the contract that recurrence and control flow will stand on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import Field

import layerkit as lk
from layerkit.blob import Shape
from layerkit.layer import Bottoms, Tops


@lk.register
class ApplyTwice(lk.Layer):
    """y = f(f(x)), with f a body from `x` to `y` of one shape."""

    class Params(lk.LayerParams):
        body: list[Any] = Field(description="The layers of f.")

    def plan(self, *bottoms: Shape) -> lk.Plan:
        (shape,) = bottoms
        body = lk.Body("f", self.params.body, {"x": shape}, ["y"])
        return lk.Plan(
            tops=[self.body_shapes(body)["y"]], scratch=[lk.Scratch("middle", shape, keep=True)], bodies=[body]
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        f = self.bodies["f"]
        self.scratch.middle[...] = f.forward(x=bottom[0].data)["y"]
        top[0].data[...] = f.forward(x=self.scratch.middle)["y"]

    def backward(self, top: Tops, propagate_down: Any, bottom: Bottoms) -> None:
        f = self.bodies["f"]
        f.forward(x=self.scratch.middle)  # f holds the activations of one call only
        middle_diff = f.backward(y=top[0].diff)["x"].copy()
        f.forward(x=bottom[0].data)
        bottom[0].diff[...] = f.backward(y=middle_diff, accumulate=True)["x"]


BODY = """
layers:
  - {name: data, type: Input, shape: [4, 3]}
  - name: twice
    type: ApplyTwice
    body:
      - {name: fc, type: InnerProduct, bottom: x, num_output: 3, weight_filler: xavier,
         param: [{lr_mult: 1}, {lr_mult: 0}]}
      - {name: y, type: TanH}
  - {name: loss, type: EuclideanLoss, bottom: [twice, data], propagate_down: [true, false]}
"""
FLAT = """
layers:
  - {name: data, type: Input, shape: [4, 3]}
  - {name: fc1, type: InnerProduct, num_output: 3, param: [{name: w}, {name: b, lr_mult: 0}]}
  - {name: y1, type: TanH}
  - {name: fc2, type: InnerProduct, num_output: 3, param: [{name: w}, {name: b, lr_mult: 0}]}
  - {name: y2, type: TanH}
  - {name: loss, type: EuclideanLoss, bottom: [y2, data], propagate_down: [true, false]}
"""


def test_a_body_equals_the_same_layers_written_out() -> None:
    inside, flat = lk.Net(BODY, dtype="float64"), lk.Net(FLAT, dtype="float64")
    assert inside.params["twice"].names == ("f/fc.weight", "f/fc.bias")
    flat.params["fc1"].weight.data[...] = inside.params["twice"]["f/fc.weight"].data
    x = np.random.default_rng(0).normal(size=(4, 3))
    for net in (inside, flat):
        net.forward(data=x)
        net.backward()
    assert inside.loss == pytest.approx(flat.loss, rel=1e-12)
    np.testing.assert_allclose(
        inside.params["twice"]["f/fc.weight"].diff, flat.params["fc1"].weight.diff, rtol=1e-10, atol=1e-14
    )
    seed = np.arange(12.0).reshape(4, 3)
    np.testing.assert_allclose(inside.backward(twice=seed)["data"], flat.backward(y2=seed)["data"], rtol=1e-10)


def test_the_weights_of_a_body_lie_in_the_flat_array_of_the_net() -> None:
    net = lk.Net(BODY)
    assert net.flat.data.size == 9  # the bias is frozen
    net.flat.data[...] = 7
    assert (net.params["twice"]["f/fc.weight"].data == 7).all()
    assert (net.layers["twice"].bodies["f"].net.params["fc"].weight.data == 7).all()
    assert [name for name, _ in net.nodes()] == ["data", "twice", "twice/f/x", "twice/f/fc", "twice/f/y", "loss"]


def test_a_body_follows_another_batch_size() -> None:
    net = lk.Net(BODY)
    assert net.forward(data=np.ones((7, 3)))["loss"].shape == ()
    assert net.blobs["twice"].shape == (7, 3)
    net.backward()


def test_an_error_in_a_body_names_both_layers_and_its_place() -> None:
    with pytest.raises(lk.ConfigError) as caught:
        lk.Net(BODY.replace("num_output: 3", "num_outputs: 3"))
    assert str(caught.value) == (
        "7:51: layer 'twice' (ApplyTwice): layer 'fc' (InnerProduct): "
        "unknown field 'num_outputs'; did you mean 'num_output'?"
    )
    with pytest.raises(lk.ConfigError, match=r"the body 'f' has no blob 'y'"):
        lk.Net(BODY.replace("name: y, ", "name: z, "))
