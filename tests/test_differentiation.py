"""A net as a function: both modes agree with each other and with slopes, and asking changes nothing in the net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import layerkit as lk
from layerkit import engines
from layerkit.errors import LayerkitError, ShapeError, UnknownNameError, UsageError
from layerkit.layer import Layer
from layerkit.registry import family, layer_class, layer_types

MIXED = """
layers:
  - {name: in, type: Input, top: [data, label], shape: [[4, 3], [4]]}
  - {name: fc1, type: InnerProduct, bottom: data, num_output: 3, weight_filler: xavier, param: {name: w}}
  - {name: act, type: TanH, bottom: fc1, top: fc1}
  - {name: fc2, type: InnerProduct, bottom: fc1, num_output: 3, param: {name: w}}
  - {name: mix, type: Expression, bottom: [fc1, fc2], expr: "softmax(fc1 * fc2 @ v)", weights: {v: {shape: [3, 5], filler: xavier}}}
  - {name: both, type: Concat, bottom: [mix, data]}
  - {name: soft, type: Softplus, bottom: both}
  - {name: out, type: InnerProduct, bottom: soft, num_output: 2, weight_filler: xavier, bias_filler: {value: 0.1}}
  - {name: loss, type: SoftmaxWithLoss, bottom: [out, label], loss_weight: 0.5}
"""  # noqa: E501
DRAWING = """
layers:
  - {name: in, type: Input, top: [data, label], shape: [[6, 2, 5, 5], [6]]}
  - {name: conv, type: Convolution, bottom: data, num_output: 3, kernel_size: 3, weight_filler: xavier}
  - {name: bn, type: BatchNorm, scale_bias: true}
  - {name: relu, type: ReLU}
  - {name: pool, type: Pooling, kernel_size: 2}
  - {name: drop, type: Dropout}
  - {name: fc, type: InnerProduct, num_output: 4, weight_filler: xavier}
  - {name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}
"""
RECURRENT = """
layers:
  - {name: in, type: Input, top: [x, cont], shape: [[5, 2, 3], [5, 2]]}
  - {name: lstm, type: LSTM, bottom: [x, cont], num_output: 4, weight_filler: xavier}
  - {name: gru, type: GRU, bottom: [lstm, cont], num_output: 3, weight_filler: xavier}
  - {name: rnn, type: RNN, bottom: [gru, cont], num_output: 2, weight_filler: xavier}
"""
WITHOUT = {"MultiHeadAttention", "Python"}
"""Types that have gradients, but no forward mode yet."""


def filled(layers: str, **options: Any) -> lk.Net:
    """A net with random inputs; labels and marks are 0 or 1."""
    net = lk.Net(layers, **{"dtype": "float64", **options})
    rng = np.random.default_rng(1)
    inputs = {}
    for name in net.inputs:
        shape = net.blobs[name].shape
        inputs[name] = rng.integers(0, 2, shape) if name in ("label", "cont") else rng.normal(size=shape)
    net.forward(**inputs)
    return net


def directions(net: lk.Net, seed: int = 2) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    names = [name for name in net.inputs if name not in ("label", "cont")]
    moving = {name: rng.normal(size=net.blobs[name].shape) for name in names}
    slots = net.flat.slots.items()
    return moving | {key: rng.normal(size=slot.shape) for key, slot in slots if slot.trained}


def outputs(net: lk.Net) -> dict[str, Any]:
    rng = np.random.default_rng(4)
    return {name: rng.normal(size=net.blobs[name].shape) for name in net.outputs}


def state_of(net: lk.Net) -> list[bytes]:
    arrays = [blob.data for blob in net.blobs.values()] + [*net.flat.arrays().values(), net.flat.diff]
    arrays += [each for layer in net.layers.values() for each in vars(layer.state).values()]
    draws = [str(layer.rng.bit_generator.state).encode() for layer in net.layers.values()]
    return [array.tobytes() for array in arrays] + draws


def test_the_lectures_function_in_forward_mode() -> None:
    net = lk.Net("""
    layers:
      - {name: in, type: Input, top: [x1, x2], shape: [[], []]}
      - {name: f, type: Expression, bottom: [x1, x2], expr: "x1 * x2 + sin(x2)"}
    """, dtype="float64")  # fmt: skip
    net.forward(x1=2, x2=5)
    assert net.jvp(x1=1)["f"] == pytest.approx(5)
    assert net.jvp(x2=1)["f"] == pytest.approx(2 + np.cos(5))
    assert net.vjp(f=1) == {"x1": pytest.approx(5), "x2": pytest.approx(2 + np.cos(5))}
    assert net.hvp({"x2": 1}, {"f": 1}) == {"x1": pytest.approx(1), "x2": pytest.approx(-np.sin(5))}


@pytest.mark.parametrize("layers", [MIXED, DRAWING, RECURRENT], ids=["mixed", "drawing", "recurrent"])
def test_both_modes_agree_and_change_nothing(layers: str) -> None:
    net = filled(layers)
    v, u = directions(net), outputs(net)
    before = state_of(net)
    moved, back = net.jvp(v), net.vjp(u)
    assert state_of(net) == before
    left = sum(np.vdot(u[name], moved[name]) for name in u)
    assert left == pytest.approx(sum(np.vdot(back[name], v[name]) for name in v), rel=1e-12, abs=1e-12)
    alone = next(iter(v))
    assert any(np.any(tangent) for tangent in net.jvp({alone: v[alone]}).values())


def test_tangents_are_slopes_of_a_shared_weight_too() -> None:
    net = filled(MIXED)
    v, step = directions(net), 1e-6
    moved = net.jvp(v)
    assert net.jvp({**v, "fc2.weight": v["fc1.weight"]})["loss"] == moved["loss"]  # the same weight under either name
    ends = []
    for sign in (1, -1):
        other = filled(MIXED)
        for key, slot in other.flat.slots.items():
            slot.blob.data[...] += sign * step * v.get(key, 0)
        ends.append(other.forward(data=net.blobs["data"].data + sign * step * v["data"], label=net.blobs["label"].data))
    assert moved["loss"] == pytest.approx((ends[0]["loss"] - ends[1]["loss"]) / (2 * step), rel=1e-7)


def test_vjp_gives_what_backward_does() -> None:
    net = filled(DRAWING.replace("Dropout", "Split"))
    net.forward()
    back = net.vjp(loss=1.0)
    net.backward(loss=1.0)
    for key, slot in net.flat.slots.items():
        if slot.trained:
            np.testing.assert_allclose(back[key], slot.blob.diff, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(back["data"], net.blobs["data"].diff, rtol=1e-10, atol=1e-14)
    assert "label" not in back


def test_what_has_no_axes_stays_an_array_where_gradients_or_tangents_add_up() -> None:
    net = filled("""
layers:
  - {name: in, type: Input, top: x, shape: [3]}
  - {name: total, type: Expression, bottom: x, expr: sum(x)}
  - {name: once, type: Expression, bottom: total, expr: total * a, weights: {a: {shape: []}}, param: {name: a}}
  - {name: twice, type: Expression, bottom: total, expr: 2 * total * a, weights: {a: {shape: []}}, param: {name: a}}
""")
    back = net.vjp(once=1.0, twice=1.0)
    moved = net.jvp(total=1.0, x=np.ones(3))
    sums = net.hvp({"once.a": 1.0}, {"once": 1.0, "twice": 1.0})
    for found in (back["once.a"], moved["once"], moved["twice"], net.jvp(once=1.0)["once"]):
        assert isinstance(found, np.ndarray)
    assert back["once.a"] == pytest.approx(3 * net.blobs["x"].data.sum())
    np.testing.assert_allclose(sums["x"], np.full(3, 3.0))


def test_a_tangent_or_diff_of_a_blob_inside() -> None:
    net = filled(MIXED)
    u = np.random.default_rng(5).normal(size=(4, 2))
    t = np.random.default_rng(6).normal(size=(4, 5))
    moved = net.jacobian("out", "mix")
    assert moved.shape == (4, 2, 4, 5)
    by_loss = net.jvp(mix=t)["loss"]
    np.testing.assert_allclose(by_loss, np.vdot(net.jacobian("loss", "out"), np.tensordot(moved, t, 2)), rtol=1e-12)
    np.testing.assert_allclose(net.vjp(out=u)["data"], np.tensordot(u, net.jacobian("out", "data"), 2), rtol=1e-12)


def test_a_jacobian_by_rows_is_the_one_by_columns() -> None:
    net = filled(MIXED)
    wide, narrow = net.jacobian("fc2", "fc1.weight"), net.jacobian("loss", "fc1.weight")
    assert (wide.shape, narrow.shape) == ((4, 3, 3, 3), (3, 3))
    rows = [net.vjp(fc2=row.reshape(4, 3))["fc1.weight"] for row in np.eye(12)]
    np.testing.assert_allclose(wide.reshape(12, 3, 3), rows, rtol=1e-11, atol=1e-14)


def test_a_stopped_gradient_stops_in_both_modes() -> None:
    net = filled(MIXED.replace("bottom: [mix, data]", "bottom: [mix, data], propagate_down: [false, true]"))
    assert "mix.v" not in net.vjp(loss=1)
    assert net.jvp({"mix.v": np.ones((3, 5))})["loss"] == 0


def test_the_hessian_is_symmetric_and_the_slope_of_gradients() -> None:
    net = filled(MIXED)
    v, w, step = directions(net), directions(net, 7), 1e-5
    before = state_of(net)
    product, other = net.hvp(v), net.hvp(w)
    assert state_of(net) == before
    dots = [sum(np.vdot(found[name], along[name]) for name in along) for found, along in ((product, w), (other, v))]
    assert dots[0] == pytest.approx(dots[1], rel=1e-11)
    ends = []
    for sign in (1, -1):
        moved = filled(MIXED)
        for key, slot in moved.flat.slots.items():
            slot.blob.data[...] += sign * step * v[key]
        moved.blobs["data"].data[...] += sign * step * v["data"]
        ends.append(moved.vjp(loss=0.5))
    for name, found in product.items():
        np.testing.assert_allclose(found, (ends[0][name] - ends[1][name]) / (2 * step), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("engine", engines.names())
def test_any_engine_and_any_memory_serves(engine: str) -> None:
    if engines.missing(engine) is not None:
        pytest.skip(f"{engine} cannot run here: {engines.missing(engine)}")
    want = filled(DRAWING)
    got = filled(DRAWING, engine=engine, keep=(), dtype="float32" if engine == "onednn" else "float64")
    v = directions(want)
    tolerance = 1e-4 if engine == "onednn" else 1e-12
    np.testing.assert_allclose(got.jvp(v)["loss"], want.jvp(v)["loss"], rtol=tolerance)


def test_what_has_no_derivative_is_refused_by_name() -> None:
    attention = "layers: [{type: Input, top: x, shape: [2, 3, 4]}, {name: a, type: MultiHeadAttention, num_heads: 2}]"
    net = filled(attention)
    with pytest.raises(LayerkitError, match=r"layer 'a' \(MultiHeadAttention\).* has no forward-mode rule"):
        net.jvp(x=np.ones((2, 3, 4)))
    net = filled("layers: [{type: Input, top: x, shape: [2, 3, 4]}, {name: n, type: LRN}]")
    with pytest.raises(UsageError, match=r"layer 'n' \(LRN\): there is no second derivative"):
        net.hvp({"x": np.ones((2, 3, 4))}, {"n": np.ones((2, 3, 4))})
    with pytest.raises(UsageError, match="the net has no loss"):
        net.hvp(x=np.ones((2, 3, 4)))


def test_names_and_shapes_are_checked() -> None:
    net = filled(MIXED)
    with pytest.raises(UnknownNameError, match=r"no blob or weight 'fc1.wieght'; did you mean 'fc1.weight'"):
        net.jvp({"fc1.wieght": 1})
    with pytest.raises(ShapeError, match="'data' is 4x3, not 4x2"):
        net.jvp(data=np.ones((4, 2)))
    with pytest.raises(UnknownNameError, match="no blob or weight 'nowhere'"):
        net.jacobian("out", "nowhere")


def test_every_type_with_gradients_has_a_forward_mode() -> None:
    types = {name: layer_class(name) for name in layer_types() if family(name) != "plug-in"}
    inner = {name: cls for name, cls in types.items() if (0, 0) not in (cls.bottoms, cls.tops)}
    able = {name for name, cls in inner.items() if cls.backward is not Layer.backward}
    assert {name for name in able if inner[name].jvp is Layer.jvp} == WITHOUT


def test_shipped_nets_have_forward_modes() -> None:
    for name in ("mlp", "siamese", "lstm_sequence"):
        path = Path(__file__).parents[1] / "configs" / f"{name}.yaml"
        net = lk.Net(path, dtype="float64", keep="all")
        net.forward()
        v = {key: value for key, value in directions(net).items() if key in net.flat.slots}
        moved, back = net.jvp(v), net.vjp({name: np.ones(net.blobs[name].shape) for name in net.outputs})
        left, right = sum(np.sum(each) for each in moved.values()), sum(np.vdot(back[key], v[key]) for key in v)
        assert left == pytest.approx(right, rel=1e-9), name
        assert left != 0
